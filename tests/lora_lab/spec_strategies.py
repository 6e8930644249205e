"""Any setting a learner can make, for tests of what must always hold."""

from typing import get_args

from hypothesis import strategies as st

from lora_lab.spec import (
    BATCH_LIMITS,
    BITS,
    OPTIMIZERS,
    OWN_DATA,
    RANK_LIMITS,
    SEED_LIMITS,
    SEQ_LEN_LIMITS,
    STEPS_LIMITS,
    TARGET_SETS,
    VARIANTS,
    ComputeType,
    RunSpec,
)

_above_zero = st.floats(min_value=0, exclude_min=True, allow_infinity=False)
_visible = st.text(min_size=1).filter(str.strip)

any_spec: st.SearchStrategy[RunSpec] = st.builds(
    RunSpec,
    model=st.sampled_from(("smollm2-135m", "tiny-random", "owner/name", "/models/a b&c=d", "m-2.0"))
    | _visible,
    bits=st.sampled_from(BITS),
    rank=st.integers(*RANK_LIMITS),
    alpha=_above_zero,
    targets=st.sampled_from((*TARGET_SETS, "q_proj,down_proj", r".*layers\.0\..*v_proj")),
    steps=st.integers(*STEPS_LIMITS),
    batch=st.integers(*BATCH_LIMITS),
    seq_len_tokens=st.integers(*SEQ_LEN_LIMITS),
    learning_rate=_above_zero,
    seed=st.integers(*SEED_LIMITS),
    data=st.just(OWN_DATA) | st.text("0123456789abcdef", min_size=12, max_size=12),
    compute_dtype=st.sampled_from(get_args(ComputeType)),
    variant=st.sampled_from(VARIANTS),
    optimizer=st.sampled_from(OPTIMIZERS),
    checkpointing=st.booleans(),
)
