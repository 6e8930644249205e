"""What an Apple GPU demands, on the simulated one: no counter of memory, ordinary operators, no float64.

None was at hand. PyTorch's own operators there are its makers' to test; these are the lab's assumptions.
"""

import gc
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._pytree import tree_leaves

from lora_lab.memory.ledger import find_heaviest_row, predict_ledger
from lora_lab.parameters.shapes import find_shape
from lora_lab.runs.predicted_vs_measured import percent_above
from lora_lab.spec import TINY_MODEL, Bits, RunSpec, Variant
from lora_lab.worker.device import gpu as gpus
from lora_lab.worker.device import machine as this_machine
from tests.lora_lab.worker.builders import (
    CPU,
    open_lab,
    rows_of,
    small_dataset,
)
from tests.lora_lab.worker.training.test_on_a_gpu import QUANTIZED, train_ask_and_xray
from tests.lora_lab.worker.training.test_stacks_on_a_gpu import group_losses
from tests.simulated_gpu.device import DEVICE, NAME, OneDevice, SimulatedGpu
from tests.simulated_gpu.widths import LEDGER_PERCENT

pytestmark = [pytest.mark.simulated_gpu, pytest.mark.usefixtures("emptied_gpu", "an_apple_gpu")]

TINY = RunSpec(model=TINY_MODEL, steps=3, compute_dtype="fp32")
COUNTERS = ("memory_stats", "mem_get_info", "reset_peak_memory_stats", "synchronize", "get_device_capability")


class AppleGpu(OneDevice):
    """Refuses operators in float64 as well, which Metal lacks."""

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = super().__torch_dispatch__(func, types, args, kwargs)
        for leaf in tree_leaves((args, kwargs, result)):
            if isinstance(leaf, torch.Tensor) and leaf.device.type == NAME and leaf.dtype == torch.float64:
                raise TypeError(f"{func}: an Apple GPU has no float64")
        return result


@pytest.fixture
def an_apple_gpu(gpu: SimulatedGpu, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The simulated GPU without torch.cuda's counters, as the device that a learner has named."""

    def fail(*args: Any, **options: Any) -> Any:
        raise AttributeError("torch.mps has no such function")

    for name in COUNTERS:
        monkeypatch.setattr(gpu, name, fail)
    monkeypatch.setattr(gpus, "ORDINARY_DEVICES", frozenset({"cpu", NAME}))
    monkeypatch.setattr(this_machine, "UNTRIED", {NAME: "Apple"})
    monkeypatch.setenv(this_machine.DEVICE_VARIABLE, NAME)
    this_machine.find_device.cache_clear()
    yield
    this_machine.find_device.cache_clear()


@pytest.mark.parametrize("bits", ["fp32", "nf4-dq", "fp4", "int8", "hqq3"])
def test_a_run_has_the_processors_losses_and_its_predicted_peak(bits: Bits, models_dir: Path) -> None:
    spec = replace(TINY, bits=bits)

    def train(device: torch.device) -> tuple[list[float], int, int]:
        gc.collect()
        lab = open_lab(spec, "fp32", models_dir, device=device, dataset=small_dataset(), graph=False)
        results = lab.train()
        row = find_heaviest_row(find_shape(TINY_MODEL), spec, rows_of(lab), "fp32")
        predicted = predict_ledger(find_shape(TINY_MODEL), spec, row, "fp32").total_bytes
        return [result.loss for result in results], results[-1].peak_bytes, predicted

    expected, *_ = train(CPU)
    with AppleGpu():
        losses, peak_bytes, predicted_bytes = train(DEVICE)
    assert losses == pytest.approx(expected, abs=1e-5)
    assert abs(percent_above(peak_bytes, predicted_bytes)) < LEDGER_PERCENT


def test_cells_side_by_side_have_the_processors_losses(models_dir: Path) -> None:
    expected = group_losses("nf4-dq", models_dir, CPU)
    with AppleGpu():
        found = group_losses("nf4-dq", models_dir, DEVICE)
    assert {cell: pytest.approx(losses, abs=1e-5) for cell, losses in expected.items()} == found


@pytest.mark.parametrize(("bits", "variant"), QUANTIZED)
def test_runs_chat_and_xray_work(
    bits: Bits, variant: Variant, tmp_path: Path, models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with AppleGpu():
        states = train_ask_and_xray(bits, variant, tmp_path, models_dir, monkeypatch)
    assert [state.started["device"]["name"] for state in states if state.started] == ["GPU by Apple"] * 2
    assert [state.gpu_memory for state in states] == [None, None]
