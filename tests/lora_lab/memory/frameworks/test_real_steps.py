"""The forecast against real steps of transformers, peft and bitsandbytes, in live bytes on the CPU."""

from functools import cache

import pytest

from lora_lab.memory.frameworks.forecast import forecast_step
from lora_lab.memory.frameworks.transformers import TransformersStep
from lora_lab.memory.ledger import Ledger
from tests.lora_lab.memory.frameworks.usual_step import LLAMA, Cell, Counted, measure, setting_of

ALL = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
QWEN3 = LLAMA | {"model_type": "qwen3", "head_dim": 32}
GEMMA = LLAMA | {"model_type": "gemma", "head_dim": 32}
PLAIN = {name: value for name, value in LLAMA.items() if name != "num_key_value_heads"}
NEOX = PLAIN | {"model_type": "gpt_neox", "intermediate_size": 1024}
PHI = PLAIN | {"model_type": "phi", "intermediate_size": 1024}

CELLS = {
    "bf16 q,v": Cell(config=LLAMA),
    "fp32 q,v": Cell(config=LLAMA, base="fp32"),
    "nf4 q,v": Cell(config=LLAMA, quant="nf4"),
    "nf4-dq all": Cell(config=LLAMA, quant="nf4-dq", targets=ALL),
    "int8 q,v": Cell(config=LLAMA, quant="int8"),
    "bf16 all": Cell(config=LLAMA, targets=ALL),
    "bf16 all eager": Cell(config=LLAMA, targets=ALL, eager=True),
    "bf16 dropout": Cell(config=LLAMA, targets=ALL, dropout=0.1),
    "bf16 DoRA": Cell(config=LLAMA, dora=True),
    "fp32 IA3": Cell(config=LLAMA, base="fp32", variant="ia3", targets=("k_proj", "v_proj", "down_proj")),
    "bf16 IA3": Cell(config=LLAMA, variant="ia3", targets=("k_proj", "v_proj", "down_proj")),
    "nf4 IA3": Cell(config=LLAMA, quant="nf4", variant="ia3", targets=("k_proj", "v_proj", "down_proj")),
    "fp32 norms": Cell(config=LLAMA, base="fp32", variant="norms"),
    "bf16 full": Cell(config=LLAMA, everything=True),
    "fp32 full": Cell(config=LLAMA, everything=True, base="fp32"),
    "qwen3": Cell(config=QWEN3, targets=ALL),
    "gemma": Cell(config=GEMMA, targets=ALL),
    "gpt_neox": Cell(config=NEOX, targets=("query_key_value", "dense_h_to_4h", "dense_4h_to_h")),
    "phi": Cell(config=PHI, targets=("q_proj", "v_proj", "fc1", "fc2")),
}
# PEFT says so of every norm that it tunes.
pytestmark = pytest.mark.filterwarnings("ignore:Unsupported layer type:UserWarning")

CHECKPOINTED = {
    "bf16 q,v": Cell(config=LLAMA, checkpointing=True),
    "nf4 q,v": Cell(config=LLAMA, checkpointing=True, quant="nf4"),
    "bf16 all": Cell(config=LLAMA, checkpointing=True, targets=ALL),
    "bf16 full": Cell(config=LLAMA, checkpointing=True, everything=True),
}


@cache
def measured(name: str) -> Counted:
    """What the steps of a cell of the list take; two tests look at some."""
    return measure(CELLS[name])


@pytest.mark.parametrize("name", CELLS)
def test_the_peak_of_a_step_is_right_to_half_a_percent(name: str) -> None:
    ledger, counted = forecast_step(setting_of(CELLS[name])), measured(name)
    assert in_step(ledger) == pytest.approx(counted.peak - counted.resident, rel=0.005)


def test_tuned_norms_are_fp32_under_autocast_and_right_to_half_a_percent() -> None:
    cell = Cell(config=LLAMA, variant="norms", autocast=True)
    step, counted = TransformersStep(setting_of(cell)), measure(cell)
    step.autocast = True
    assert step.simulate_step().peak_bytes == pytest.approx(counted.peak - counted.resident, rel=0.005)


@pytest.mark.parametrize("quant", [None, "nf4"])
def test_autocast_is_right_to_half_a_percent(quant: str | None) -> None:
    cell = Cell(config=LLAMA, quant=quant, targets=ALL, autocast=True)
    step, counted = TransformersStep(setting_of(cell)), measure(cell)
    step.autocast = True
    assert step.simulate_step().peak_bytes == pytest.approx(counted.peak - counted.resident, rel=0.005)


@pytest.mark.parametrize("name", CHECKPOINTED)
def test_a_recomputed_layer_is_right_to_six_percent(name: str) -> None:
    ledger, counted = forecast_step(setting_of(CHECKPOINTED[name])), measure(CHECKPOINTED[name])
    assert in_step(ledger) == pytest.approx(counted.peak - counted.resident, rel=0.06)


@pytest.mark.parametrize(
    "name",
    ["bf16 q,v", "fp32 q,v", "nf4 q,v", "nf4-dq all", "int8 q,v", "bf16 full", "bf16 IA3", "fp32 norms"],
)
def test_what_stays_between_steps_is_right_but_for_the_rotary_frequencies(name: str) -> None:
    ledger, counted = forecast_step(setting_of(CELLS[name])), measured(name)
    frequencies = 2 * 4 * LLAMA["hidden_size"] // LLAMA["num_attention_heads"] // 2
    stays = ledger.weights + ledger.constants + ledger.adapters + ledger.optimizer
    assert stays == counted.resident - frequencies


def in_step(ledger: Ledger) -> int:
    """What a step adds to what stays."""
    return ledger.gradients + ledger.activations + ledger.logits + ledger.scratch
