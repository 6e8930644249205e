"""The forecast against real steps whose adapters differ by layer or by rank, in live CPU bytes."""

from typing import Any

import pytest

from lora_lab.memory.frameworks.forecast import forecast_step
from tests.lora_lab.memory.frameworks.family_step import FamilyCell, family_setting, measure_family
from tests.lora_lab.memory.frameworks.usual_step import LLAMA

NARROWINGS: dict[str, dict[str, Any]] = {
    "without the last matrix of each MLP": {"exclude_modules": ["down_proj"]},
    "queries at rank 32": {"rank_pattern": {"q_proj": 32}},
    "the last layers": {"layers_to_transform": [3, 4]},
    "the first layers": {"layers_to_transform": [0, 1]},
    "a pattern of layers": {"exclude_modules": r".*layers\.[0-2]\..*"},
}


@pytest.mark.parametrize("name", NARROWINGS)
def test_a_step_with_fewer_adapters_is_right_to_half_a_percent(name: str) -> None:
    cell = FamilyCell(
        config=LLAMA,
        kind="causal",
        base="bf16",
        targets=("q_proj", "v_proj", "down_proj"),
        narrowing=NARROWINGS[name],
    )
    ledger, counted = forecast_step(family_setting(cell)), measure_family(cell)
    assert ledger.total_bytes == pytest.approx(counted.peak, rel=0.005)


@pytest.mark.parametrize(
    "fields", [{}, {"rank_pattern": {"v_proj": 64, "lm_head": 2}}, {"layers_to_transform": [0, 1]}], ids=str
)
def test_the_adapter_of_the_head_has_its_own_rank_and_is_in_no_layer(fields: dict[str, Any]) -> None:
    """Not the rank of the matrix before it, and not left out with the layers."""
    targets = ("q_proj", "v_proj", "lm_head")
    cell = FamilyCell(config=LLAMA, kind="causal", base="bf16", targets=targets, narrowing=fields)
    ledger, counted = forecast_step(family_setting(cell)), measure_family(cell)
    assert ledger.total_bytes == pytest.approx(counted.peak, rel=0.005)
    assert ledger.weights + ledger.adapters + ledger.optimizer == pytest.approx(counted.resident, rel=1e-4)


def test_recomputed_layers_take_their_own_adapters() -> None:
    cell = FamilyCell(
        config=LLAMA,
        kind="causal",
        base="bf16",
        targets=("q_proj", "v_proj"),
        checkpointing=True,
        narrowing={"layers_to_transform": [0, 1]},
    )
    ledger, counted = forecast_step(family_setting(cell)), measure_family(cell)
    assert ledger.total_bytes == pytest.approx(counted.peak, rel=0.06)
