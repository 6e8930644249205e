"""Trainable parameters: what papers and tools printed, what PEFT counts, and what must always hold."""

import re
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from peft import LoraConfig, get_peft_model

from lora_lab.parameters.adapter_config import AdapterSetting
from lora_lab.parameters.counts import (
    Count,
    count_adapter,
    count_parameters,
    format_formula,
    lora_parameters,
    lora_parameters_matrix,
)
from lora_lab.parameters.shapes import ModelShape, find_shape, load_catalogue
from lora_lab.spec import EMBEDDED_MODEL, TARGET_SETS, TargetSet
from lora_lab.worker.model.read_shape import read_config_shape
from study.base.checks import Check, prints_number
from study.base.errors import LearnerError
from tests.golden.counts import (
    COUNTS,
    EMBEDDED,
    MATRICES,
    SIZES,
    PublishedCount,
    PublishedMatrices,
    PublishedSize,
)
from tests.lora_lab.families import FAMILIES, model_of, shape_of

# PEFT 0.21 asks transformers 5.24 under a name that it has given up.
pytestmark = [
    pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated"),
    pytest.mark.filterwarnings("ignore:The following (rank|alpha)_pattern keys"),
]

RANKS = (1, 2, 4, 8, 64, 256)
PRINTED: tuple[PublishedCount | PublishedMatrices | PublishedSize, ...] = (*COUNTS, *MATRICES, *SIZES)
NO_PEFT_DEFAULT = {"phi3", "gemma4_text", "distilbert", "vit", "whisper", "llava", "qwen2_moe"}
# PEFT 0.21 empties a list that was not given when it looks for fused experts, and then
# finds nothing to adapt.
LOSES_ITS_DEFAULT = {"mixtral"}

ranks = st.integers(1, 256)
models = st.sampled_from(sorted(name for name, shape in load_catalogue().items() if not shape.fused_experts))
target_sets = st.sampled_from(TARGET_SETS)


def shape_named(model: str | dict[str, Any], kind: str) -> ModelShape:
    if isinstance(model, str):
        return find_shape(model)
    return read_config_shape(model, name=model["model_type"], kind=kind)


def agrees(printed: str, exact: int) -> bool:
    return prints_number(printed, Check(quantity="count", arguments={}, expect=exact))


# ---- published numbers


@pytest.mark.parametrize("row", COUNTS, ids=[row.case for row in COUNTS])
def test_a_published_lora_count_is_computed_exactly(row: PublishedCount) -> None:
    shape = shape_named(row.model, row.kind)
    assert count_parameters(shape, rank=row.rank, targets=row.targets).trainable == row.exact, row.source


@pytest.mark.parametrize("row", MATRICES, ids=[row.case for row in MATRICES])
def test_a_published_count_on_separate_matrices_is_computed_exactly(row: PublishedMatrices) -> None:
    layer = sum(lora_parameters_matrix(d_in=i, d_out=o, rank=row.rank) for i, o in row.matrices)
    assert row.layers * layer == row.exact, row.source


@pytest.mark.parametrize("row", SIZES, ids=[f"{row.exact:,}" for row in SIZES])
def test_a_published_model_size_is_computed_exactly(row: PublishedSize) -> None:
    assert shape_named(row.model, row.kind).total_parameters == row.exact, row.source


@pytest.mark.parametrize("row", PRINTED, ids=[f"{row.printed} is {row.exact:,}" for row in PRINTED])
def test_print_and_computation_agree_or_the_table_says_why_not(
    row: PublishedCount | PublishedMatrices | PublishedSize,
) -> None:
    assert agrees(row.printed, row.exact) == (not row.differs), (
        f"{row.printed} in {row.source}: {row.differs}"
    )


def test_the_embedded_model_trains_2442240_of_136957248() -> None:
    counted = count_parameters(find_shape(EMBEDDED_MODEL), rank=8, targets="all-linear")
    assert (counted.trainable, counted.total) == EMBEDDED
    assert f"{counted.percent:.2f}" == "1.78"


# ---- PEFT is the oracle


@pytest.mark.parametrize("targets", TARGET_SETS)
@pytest.mark.parametrize("family", FAMILIES)
def test_counts_are_what_peft_trains(family: str, targets: TargetSet) -> None:
    shape = shape_of(family)
    for rank in RANKS:
        named = "all-linear" if targets == "all-linear" else shape.list_target_modules(targets)
        trained = peft_counts(family, lora(family, rank, named))
        assert trained == count_parameters(shape, rank=rank, targets=targets), f"rank {rank}"
        by_name = named if isinstance(named, str) else tuple(named)
        assert trained == count_adapter(shape, AdapterSetting(targets=by_name), rank=rank), f"rank {rank}"


@pytest.mark.parametrize("targets", [".*self_attn.*", ".*(q_proj|lm_head)", ".*(q_proj|embed_tokens)"])
def test_a_pattern_that_also_means_other_modules_trains_the_counted_layers(targets: str) -> None:
    """PEFT would refuse the attention's own module, and adapt the head and the embeddings."""
    shape = shape_of("llama")
    trained = peft_counts("llama", lora("llama", 4, shape.list_target_modules(targets)))
    assert trained == count_parameters(shape, rank=4, targets=targets)


@pytest.mark.parametrize("family", sorted(FAMILIES.keys() - NO_PEFT_DEFAULT - LOSES_ITS_DEFAULT))
def test_without_targets_pefts_own_defaults_are_counted(family: str) -> None:
    assert peft_counts(family, lora(family, 4, None)) == count_parameters(
        shape_of(family), rank=4, targets=None
    )


@pytest.mark.parametrize("family", sorted(NO_PEFT_DEFAULT))
def test_a_model_without_peft_defaults_says_what_it_has(family: str) -> None:
    with pytest.raises(LearnerError, match=rf"no default targets for {family}\. It has: .*o"):
        shape_of(family).select(None)


def lora(family: str, rank: int, names: str | list[str] | None) -> LoraConfig:
    """GPT-2 keeps its weights transposed, which PEFT wants to be told."""
    return LoraConfig(r=rank, target_modules=names, fan_in_fan_out=family == "gpt2")


def peft_counts(family: str, config: LoraConfig) -> Count:
    with torch.device("meta"):
        adapted = get_peft_model(model_of(family), config)
    trainable, total = adapted.get_nb_trainable_parameters()
    return Count(trainable=trainable, total=total)


# ---- what must always hold


@given(models, ranks, target_sets)
def test_twice_the_rank_is_twice_the_count(model: str, rank: int, targets: TargetSet) -> None:
    shape = find_shape(model)
    once, twice = (count_parameters(shape, rank=r, targets=targets).trainable for r in (rank, 2 * rank))
    assert twice == 2 * once


@given(models, ranks)
def test_adapting_more_matrices_never_trains_less(model: str, rank: int) -> None:
    counted = [
        count_parameters(find_shape(model), rank=rank, targets=targets).trainable for targets in TARGET_SETS
    ]
    assert counted == sorted(counted)


@given(models, ranks, target_sets)
def test_the_total_is_the_base_and_its_adapters(model: str, rank: int, targets: TargetSet) -> None:
    shape = find_shape(model)
    counted = count_parameters(shape, rank=rank, targets=targets)
    assert counted.total == shape.total_parameters + counted.trainable
    assert 0 < counted.percent < 100
    assert counted.percent == pytest.approx(100 * counted.trainable / counted.total)


@given(models, ranks)
def test_counting_matrix_by_matrix_gives_the_whole(model: str, rank: int) -> None:
    shape = find_shape(model)
    one_by_one = sum(lora_parameters([linear], rank=rank) for linear in shape.linears)
    assert one_by_one == count_parameters(shape, rank=rank, targets="all-linear").trainable


@given(models, ranks, target_sets)
def test_the_formula_worked_out_by_hand_gives_the_count(model: str, rank: int, targets: TargetSet) -> None:
    written = format_formula(find_shape(model), rank=rank, targets=targets)
    arithmetic, _, result = written.rpartition(" = ")
    terms = re.findall(r"(\d+) (?:layers|times) × (\d+) × \[([^\]]*)\]", arithmetic)
    worked_out = sum(
        int(times) * int(rank_) * sum(int(width.replace(",", "")) for width in re.findall(r"[\d,]+", widths))
        for times, rank_, widths in terms
    )
    assert f"{worked_out:,}" == result
    assert worked_out == count_parameters(find_shape(model), rank=rank, targets=targets).trainable


def test_the_formula_reads_as_the_paper_writes_it() -> None:
    written = format_formula(find_shape(EMBEDDED_MODEL), rank=8, targets="q+v")
    assert written == "30 layers × 8 × [(576 + 576) + (576 + 192)] = 460,800"


@pytest.mark.parametrize("rank", [0, -1])
def test_a_rank_below_one_says_what_to_pick(rank: int) -> None:
    with pytest.raises(LearnerError, match=rf"got {rank}\. Pick 1 to 256; 8 is a good first try"):
        count_parameters(find_shape("gpt2"), rank=rank, targets="all-linear")
