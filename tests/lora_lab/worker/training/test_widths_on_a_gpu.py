"""Every bit width in every operation of the lab, on a simulated GPU: the CPU's results, and predicted peaks.

`python -m tests.simulated_gpu.widths` runs these tests and writes the table of docs/gpu-report-simulated.md.
"""

import gc
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, replace
from datetime import timedelta
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from lora_lab.data.batches import compute_row_sizes
from lora_lab.data.lab_folder import LabHome
from lora_lab.memory.group_memory import peak_bytes
from lora_lab.memory.ledger import find_heaviest_row, predict_ledger
from lora_lab.parameters.shapes import find_shape
from lora_lab.runs.folder import RunFolder, create_run
from lora_lab.runs.merged_model import Merged
from lora_lab.runs.predicted_vs_measured import percent_above
from lora_lab.spec import BITS, TINY_MODEL, Bits, RunSpec
from lora_lab.worker import chat
from lora_lab.worker.chat import ChatModel
from lora_lab.worker.device import machine as this_machine
from lora_lab.worker.device.gpu import live_bytes, measure_workspace_bytes
from lora_lab.worker.inspect import xray
from lora_lab.worker.merge import merge_run
from lora_lab.worker.training.group import AdapterGroup
from lora_lab.worker.training.group_loop import SharedStep, train_group
from lora_lab.worker.training.loaded_model import LoadedModel, open_model
from lora_lab.worker.training.packing import list_lengths
from lora_lab.worker.training.run import execute_group
from tests.lora_lab.worker.builders import (
    CPU,
    encode_examples,
    machine,
    never_stop,
    rows_of,
    silent,
    small_dataset,
    with_adapter,
)
from tests.lora_lab.worker.training.single_run import NOW, state_of
from tests.simulated_gpu.device import DEVICE, NAME, OneDevice, SimulatedGpu
from tests.simulated_gpu.widths import CHAT, GROUP, GROUP_PERCENT, LEDGER_PERCENT, MERGE, WIDTH, XRAY

pytestmark = [pytest.mark.simulated_gpu, pytest.mark.usefixtures("emptied_gpu")]

TINY = RunSpec(model=TINY_MODEL, steps=2, compute_dtype="fp32")
SHAPE = find_shape(TINY_MODEL)
RUNS: dict[str, dict[str, Any]] = {
    "DoRA": {"variant": "dora"},
    "checkpointing": {"checkpointing": True},
    "8-bit AdamW": {"optimizer": "adamw8bit", "rank": 64},  # smaller matrices keep moments in 32 bits
}
RANKS_OF_FOUR = (1, 2, 3, 2)
"""One stack of the tiny model."""

USUAL: tuple[Bits, ...] = ("fp32", "int8", "nf4-dq", "hqq4")
"""Of these make test looks at what comes after a run, make test-long of all."""

Note = Callable[[str, object], None]


@dataclass
class OpenedTwice:
    """The tiny model in one width, on the CPU and on the simulated GPU; adapters come and go."""

    on_cpu: LoadedModel
    on_gpu: LoadedModel
    held_bytes: int
    """What tensors on the GPU held before, without the workspaces."""


@pytest.fixture(scope="module")
def opened(request: pytest.FixtureRequest, gpu: SimulatedGpu, models_dir: Path) -> OpenedTwice:
    workspace_bytes = measure_workspace_bytes(DEVICE)
    gc.collect()
    held_bytes = live_bytes(DEVICE) - workspace_bytes

    def open_on(device: torch.device) -> LoadedModel:
        return open_model(
            TINY_MODEL, request.param, machine("fp32", device), models_dir=models_dir, report=silent
        )

    return OpenedTwice(open_on(CPU), open_on(DEVICE), held_bytes)


each_width_opened = pytest.mark.parametrize("opened", BITS, indirect=True)


@each_width_opened
@pytest.mark.parametrize("operation", RUNS)
def test_other_runs_have_the_cpus_losses_and_the_predicted_peak(
    operation: str, opened: OpenedTwice, record_property: Note
) -> None:
    spec = replace(TINY, bits=opened.on_gpu.bits, **RUNS[operation])
    losses, peaks, predicted_bytes = [], [], 0
    for loaded in (opened.on_cpu, opened.on_gpu):
        with OneDevice() if loaded is opened.on_gpu else nullcontext():
            lab = with_adapter(loaded, spec, small_dataset(), graph=False)
            results = lab.train()
        losses.append([result.loss for result in results])
        peaks.append(results[-1].peak_bytes)
        predicted_bytes = predict_ledger(
            SHAPE, spec, find_heaviest_row(SHAPE, spec, rows_of(lab), "fp32"), "fp32"
        ).total_bytes
        loaded.base = lab.model.unload()
        del lab
        gc.collect()
    assert losses[1] == pytest.approx(losses[0], abs=1e-5)
    error_percent = percent_above(peaks[1] - opened.held_bytes, predicted_bytes)
    assert abs(error_percent) < LEDGER_PERCENT
    record_property(WIDTH, spec.bits)
    record_property(operation, f"{error_percent:+.3f} %")


@each_width_opened
def test_a_group_of_four_has_the_cpus_losses_and_the_predicted_peak(
    opened: OpenedTwice, record_property: Note
) -> None:
    """PEFT leaves the second adapter on an HQQ layer on the CPU (worker/model/quantization.py)."""
    specs = [
        replace(TINY, bits=opened.on_gpu.bits, rank=rank, alpha=2.0 * rank, seed=seed)
        for seed, rank in enumerate(RANKS_OF_FOUR)
    ]
    expected, _ = train_four(opened.on_cpu, specs)
    with OneDevice():
        found, measured_bytes = train_four(opened.on_gpu, specs)
    assert {name: pytest.approx(values, abs=2e-5) for name, values in expected.items()} == found
    lengths = list_lengths(encode_examples(opened.on_gpu, small_dataset()))
    cells = [(spec, compute_row_sizes(lengths, spec, on_gpu=True)) for spec in specs]
    error_percent = percent_above(measured_bytes - opened.held_bytes, peak_bytes(SHAPE, cells, "fp32"))
    assert abs(error_percent) < GROUP_PERCENT
    record_property(WIDTH, opened.on_gpu.bits)
    record_property(GROUP, f"{error_percent:+.3f} %")


def train_four(loaded: LoadedModel, specs: list[RunSpec]) -> tuple[dict[str, list[float]], int]:
    """Losses of every cell, held-out losses, and the group's peak in bytes."""
    group, examples = AdapterGroup(loaded, specs, SHAPE), encode_examples(loaded, small_dataset())
    assert group.agrees_with_library(examples[:2])
    losses: dict[str, list[float]] = {}
    peaks: list[int] = []

    def keep(name: str, step: SharedStep) -> None:
        losses.setdefault(name, []).append(step.loss)
        peaks.append(step.group_peak_bytes)

    train_group(
        group,
        examples,
        on_step=lambda cell, step: keep(cell.name, step),
        should_stop=lambda cell: False,
        on_end=lambda cell, error: pytest.fail(f"{cell.name} ended: {error}"),
    )
    losses["held out"] = [
        group.compute_base_loss(examples[:4]),
        *group.compute_held_out_losses(group.cells, examples[:4]),
    ]
    loaded.base = group.model.unload()
    return losses, peaks[-1]


# ---- what comes after a run


@pytest.fixture
def choose(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], None]]:
    """Choose the device of this process, as a learner would name it."""

    def by_name(name: str) -> None:
        monkeypatch.setenv(this_machine.DEVICE_VARIABLE, name)
        this_machine.find_device.cache_clear()

    yield by_name
    this_machine.find_device.cache_clear()


@pytest.mark.parametrize(
    "bits", [bits if bits in USUAL else pytest.param(bits, marks=pytest.mark.long) for bits in BITS]
)
def test_runs_of_a_worker_answer_are_looked_into_and_merge_as_on_the_cpu(
    bits: Bits,
    choose: Callable[[str], None],
    tmp_path: Path,
    models_dir: Path,
    monkeypatch: pytest.MonkeyPatch,
    record_property: Note,
) -> None:
    """Two runs train on the GPU; then both devices answer, look and merge. In the chat, layers stay
    quantized, as where the memory for a decoded copy is missing.
    """
    monkeypatch.setattr(chat, "DENSE_SHARE", 0.0)
    home = LabHome(tmp_path)
    specs = [replace(TINY, bits=bits, rank=rank, steps=1, compute_dtype="fp32") for rank in (4, 5)]
    runs = [
        create_run(tmp_path / "runs", spec, small_dataset(), now=NOW + timedelta(seconds=place))
        for place, spec in enumerate(specs)
    ]
    choose(f"{NAME}:0")
    with OneDevice():
        assert execute_group(runs, home, models_dir, app_is_gone=never_stop)
    states = [state_of(run) for run in runs]
    assert [state.started["device"]["type"] for state in states if state.started] == [NAME, NAME]
    assert [state.shared_by for state in states] == [2, 2]
    gc.collect()
    before = live_bytes(DEVICE)

    answers, looks, merged = [], [], []
    for device in (f"{NAME}:0", "cpu"):
        choose(device)
        with OneDevice() if device != "cpu" else nullcontext():
            answers.append(answer_both(runs, models_dir))
            looks.append(
                xray.inspect_runs({"run": str(runs[0].path)}, models_dir, home, lambda *a, **values: None)
            )
            assert merge_run(runs[0], models_dir), Merged(runs[0]).state
        merged.append(load_file(Merged(runs[0]).folder / "model.safetensors"))
    gc.collect()
    assert live_bytes(DEVICE) <= before

    assert answers[0] == answers[1]
    record_property(WIDTH, bits)
    record_property(CHAT, "equal")
    assert_alike(looks[0], looks[1])
    record_property(XRAY, "equal")
    assert merged[0].keys() == merged[1].keys()
    assert all(torch.equal(merged[0][name], merged[1][name]) for name in merged[0])
    record_property(MERGE, "equal")


def answer_both(runs: list[RunFolder], models_dir: Path) -> list[str]:
    """What the base and both adapters answer within four tokens."""
    model = ChatModel(models_dir)
    names = model.load_models(runs, lambda **values: None)
    texts = list(islice(model.generate_answers(names, "What is 2 + 2?", seed=1, temperature=0.7), 4))[-1]
    assert len(texts) == 3
    return [texts[name] for name in names]


def assert_alike(found: Any, expected: Any) -> None:
    """Equal texts and structure, and numbers as near as rounding leaves them."""
    if isinstance(expected, dict):
        assert found.keys() == expected.keys()
        for name in expected:
            assert_alike(found[name], expected[name])
    elif isinstance(expected, list):
        assert len(found) == len(expected)
        for ours, theirs in zip(found, expected, strict=True):
            assert_alike(ours, theirs)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, rel=1e-3, abs=1e-6)
    else:
        assert found == expected
