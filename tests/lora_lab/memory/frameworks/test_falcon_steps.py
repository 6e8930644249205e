"""Falcon's architectures against real steps: one key for all heads, several, and one of each head."""

from typing import Any

import pytest
import torch

from lora_lab.memory.frameworks.forecast import forecast_step
from tests.lora_lab.memory.frameworks.family_step import FamilyCell, family_setting, measure_family

FALCON: dict[str, Any] = {
    "model_type": "falcon", "hidden_size": 256, "num_hidden_layers": 4, "num_attention_heads": 8,
    "vocab_size": 512,
}  # fmt: skip
NEWER = FALCON | {"new_decoder_architecture": True, "num_kv_heads": 2}
ARCHITECTURES = {
    "one key": FALCON,
    "two keys": NEWER,
    "two keys, one norm": NEWER | {"num_ln_in_parallel_attn": 1},
    "eight keys": FALCON | {"multi_query": False},
    "eight keys, in turn": FALCON | {"multi_query": False, "parallel_attn": False},
}

COMPOSED = tuple(map(int, torch.__version__.split(".")[:2])) <= (2, 13)
"""Whether PyTorch composes attention of many heads on one key, which keeps its scores; 2.15 fuses it."""


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("base", ["bf16", "fp32"])
@pytest.mark.parametrize("eager", [False, True])
def test_a_step_of_each_falcon_is_right_to_half_a_percent(name: str, base: str, eager: bool) -> None:
    cell = FamilyCell(
        config=ARCHITECTURES[name], kind="causal", base=base, eager=eager, targets=("query_key_value",),
        tokens=128,
    )  # fmt: skip
    ledger, counted = forecast_step(family_setting(cell)), measure_family(cell)
    step = ledger.gradients + ledger.activations + ledger.logits + ledger.scratch
    measured = counted.peak - counted.resident
    if (name, eager, COMPOSED) == ("one key", False, False):
        assert measured < step  # which keeps the scores, as earlier versions do
        return
    # PyTorch's composed attention in bf16 with one key: the model's own code, written out, is 5 % more
    near = 0.06 if (name, base, eager) == ("one key", "bf16", False) else 0.005
    assert step == pytest.approx(measured, rel=near)
