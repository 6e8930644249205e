"""What an Apple GPU demands, on the simulated one: no counter of memory, ordinary operators, no float64.

None was at hand. PyTorch's own operators there are its makers' to test; these are the lab's assumptions.
"""

import gc
from collections.abc import Iterator
from dataclasses import replace
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from torch.utils._pytree import tree_leaves

from lora_lab.data.lab_folder import LabHome
from lora_lab.memory.ledger import find_heaviest_row, predict_ledger
from lora_lab.parameters.shapes import find_shape
from lora_lab.runs.folder import RunFolder, create_run
from lora_lab.runs.predicted_vs_measured import percent_above
from lora_lab.runs.state import RunState, fold_events
from lora_lab.spec import TINY_MODEL, Bits, RunSpec
from lora_lab.worker import chat
from lora_lab.worker.chat import ChatModel
from lora_lab.worker.device import gpu as gpus
from lora_lab.worker.device import machine as this_machine
from lora_lab.worker.inspect import xray
from lora_lab.worker.training.group import AdapterGroup
from lora_lab.worker.training.group_loop import train_group
from lora_lab.worker.training.loaded_model import build_meter, open_model
from lora_lab.worker.training.packing import cut_to, encode_example
from lora_lab.worker.training.run import execute_run
from tests.lora_lab.worker.builders import (
    CPU,
    machine,
    never_stop,
    open_lab,
    rows_of,
    silent,
    small_dataset,
)
from tests.simulated_gpu.device import DEVICE, NAME, OneDevice, SimulatedGpu

pytestmark = [pytest.mark.simulated_gpu, pytest.mark.usefixtures("emptied_gpu", "an_apple_gpu")]

NOW = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)
TINY = RunSpec(model=TINY_MODEL, steps=3, compute_dtype="fp32")
COUNTERS = ("memory_stats", "mem_get_info", "reset_peak_memory_stats", "synchronize", "get_device_capability")
LEDGER_PERCENT = 0.2


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


def finish(spec: RunSpec, folder: Path, models_dir: Path, minute: int = 0) -> tuple[RunFolder, RunState]:
    run = create_run(folder / "runs", spec, small_dataset(), now=NOW.replace(minute=minute))
    execute_run(run, LabHome(folder), models_dir, app_is_gone=never_stop)
    return run, fold_events(run.events())


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
    def train(device: torch.device) -> dict[str, list[float]]:
        spec = replace(TINY, bits="nf4-dq")
        loaded = open_model(
            TINY_MODEL, spec.bits, machine("fp32", device), models_dir=models_dir, report=silent
        )
        group = AdapterGroup(loaded, [replace(spec, rank=r) for r in (1, 2, 3, 2)], find_shape(TINY_MODEL))
        encoded = [encode_example(loaded.tokenizer, example) for example in small_dataset().train]
        losses: dict[str, list[float]] = {cell.name: [] for cell in group.cells}
        train_group(
            group,
            cut_to(encoded, spec.seq_len_tokens),
            meter=build_meter(group.model, loaded.machine),
            on_step=lambda cell, step: losses[cell.name].append(step.loss),
            should_stop=lambda cell: False,
            on_end=lambda cell, error: None,
        )
        return losses

    expected = train(CPU)
    with AppleGpu():
        found = train(DEVICE)
    assert {cell: pytest.approx(losses, abs=1e-5) for cell, losses in expected.items()} == found


@pytest.mark.parametrize(("bits", "variant"), [("nf4-dq", "lora"), ("int8", "dora"), ("hqq4", "lora")])
def test_runs_chat_and_xray_work(
    bits: Bits, variant: Any, tmp_path: Path, models_dir: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(chat, "DENSE_SHARE", 0.0)
    runs = []
    with AppleGpu():
        for number in range(2):
            spec = replace(TINY, bits=bits, variant=variant, rank=4 + number)
            run, state = finish(spec, tmp_path, models_dir, number)
            assert state.status == "finished", state.failure
            assert state.started is not None
            assert state.started["device"]["name"] == "GPU by Apple"
            assert state.gpu_memory is None
            runs.append(run)
        model = ChatModel(models_dir)
        names = model.load_models(runs, lambda **values: None)
        answered = list(islice(model.generate_answers(names, "What is 2 + 2?", seed=1, temperature=0.7), 3))
        assert set(answered[-1]) == {"base", *(run.run_id for run in runs)}
        looked = xray.inspect_runs(
            {"run": str(runs[0].path)}, models_dir, LabHome(tmp_path), lambda *a, **values: None
        )
    assert looked["modules"]
