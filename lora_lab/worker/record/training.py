"""Memory of real steps for the figures: inside one step, and over steps one of which has a long row."""

import time
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from lora_lab.data.datasets import build_own_dataset
from lora_lab.figures.training.checkpointing import LENGTHS
from lora_lab.parameters.shapes import find_shape
from lora_lab.spec import EMBEDDED_MODEL, RunSpec
from lora_lab.worker.device.machine import Machine
from lora_lab.worker.model.quantization import list_resident_tensors
from lora_lab.worker.training.loaded_model import LoadedModel, attach_adapter, open_model
from lora_lab.worker.training.loop import answer_loss, build_optimizer
from lora_lab.worker.training.memory_meter import LiveStorages
from lora_lab.worker.training.packing import Encoded, PackedRow, encode_example, pack_examples

BATCH = 2
MEASURED_STEP = 2  # the first step runs before gradients and moments exist
TIMED_STEPS = 4
"""The fastest counts, in processor time, because other programs disturb that least."""
POINTS = 240
SHORT_TOKENS, LONG_TOKENS, LONG_STEP, STEPS = 48, 512, 8, 12
SPIKE_RANK = 128  # so that some tensors reach the size that bitsandbytes pages, and others do not


class Timeline(LiveStorages):
    """A meter that records live bytes after every operator."""

    def __init__(self, resident: Iterable[Tensor]) -> None:
        super().__init__(resident)
        self.samples: list[int] = []

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = super().__torch_dispatch__(func, types, args, kwargs)
        self.samples.append(self.live_bytes)
        return result


def record_training(models_dir: Path, machine: Machine) -> dict[str, Any]:
    """Measure memory inside a step and over steps, on the embedded model."""
    loaded = open_model(EMBEDDED_MODEL, "nf4-dq", machine, models_dir=models_dir)
    tokens = _list_tokens(loaded)
    steps = [
        _measure_setting(loaded, tokens, length, checkpointing)
        for length in LENGTHS
        for checkpointing in (False, True)
    ]
    return {
        "model": EMBEDDED_MODEL,
        "inside_a_step": {
            "bits": "nf4-dq",
            "rank": 8,
            "targets": "all-linear",
            "batch": BATCH,
            "seed": 0,
            "runs": steps,
        },
        "spike": _measure_spike(loaded, tokens),
    }


def _list_tokens(loaded: LoadedModel) -> list[int]:
    """Return tokens of the app's own cards, one after another."""
    found: list[int] = []
    for example in build_own_dataset().train:
        found += encode_example(loaded.tokenizer, example).ids
        if len(found) > 2 * LONG_TOKENS:
            break
    return found


def _build_row(tokens: Sequence[int], *, examples: int, length: int, machine: Machine) -> PackedRow:
    """Build a row of examples of equal length, half of each an answer."""
    parts = [tuple(tokens[at * length : (at + 1) * length]) for at in range(examples)]
    return pack_examples([Encoded(ids=ids, answer_tokens=length // 2) for ids in parts], machine.device)


class StepRecorder:
    """A model with a fresh adapter and its optimizer, stepped like the loop in worker/training/loop.py."""

    def __init__(self, loaded: LoadedModel, spec: RunSpec) -> None:
        self.machine = loaded.machine
        self.model = attach_adapter(loaded, spec, find_shape(spec.model)).model
        self.parameters = [p for p in self.model.parameters() if p.requires_grad]
        self.optimizer = build_optimizer(self.parameters, spec)
        self.model.train()

    def step(self, row: PackedRow, samples: Sequence[int] = ()) -> int:
        """Do one step; return how many samples a timeline has at the start of the backward pass."""
        loss = answer_loss(self.model, row, self.machine.autocast())
        turn = len(samples)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=False)
        return turn

    def watch_step(self, row: PackedRow) -> tuple[Timeline, int]:
        """Do one step with a timeline; return it and the index at which the backward pass starts."""
        state = [p.grad for p in self.parameters if p.grad is not None] + self.list_moments()
        watch = Timeline([*list_resident_tensors(self.model), *state])
        with watch:
            turn = self.step(row, watch.samples)
        return watch, turn

    def list_moments(self) -> list[Tensor]:
        states = (self.optimizer.state[p] for p in self.parameters)
        return [item for state in states for item in state.values() if isinstance(item, Tensor)]


def _measure_setting(
    loaded: LoadedModel, tokens: Sequence[int], length: int, checkpointing: bool
) -> dict[str, Any]:
    spec = RunSpec(bits="nf4-dq", rank=8, checkpointing=checkpointing, batch=BATCH, seed=0)
    stepper = StepRecorder(loaded, spec)
    row = _build_row(tokens, examples=BATCH, length=length, machine=loaded.machine)
    for _ in range(MEASURED_STEP - 1):
        stepper.step(row)
    watch, turn = stepper.watch_step(row)
    seconds = []
    for _ in range(TIMED_STEPS):
        started = time.process_time()
        stepper.step(row)
        seconds.append(time.process_time() - started)
    loaded.base = stepper.model.unload()
    return {
        "seq_len": length,
        "checkpointing": checkpointing,
        "answer_tokens": int(row.targets.numel()),
        "operators": len(watch.samples),
        "turn": turn / len(watch.samples),
        "peak_bytes": watch.peak_bytes,
        "cpu_seconds": round(min(seconds), 3),
        "live_bytes": _thin_samples(watch.samples),
    }


def _thin_samples(samples: Sequence[int]) -> list[int]:
    """Return the maximum of each interval, which keeps every peak."""
    edges = [round(at * len(samples) / POINTS) for at in range(POINTS + 1)]
    return [max(samples[low:high]) for low, high in pairwise(edges)]


def _measure_spike(loaded: LoadedModel, tokens: Sequence[int]) -> dict[str, Any]:
    spec = RunSpec(bits="nf4-dq", rank=SPIKE_RANK, batch=1, steps=STEPS, seed=0)
    stepper = StepRecorder(loaded, spec)
    steps = []
    for number in range(1, STEPS + 1):
        length = LONG_TOKENS if number == LONG_STEP else SHORT_TOKENS
        watch, _ = stepper.watch_step(_build_row(tokens, examples=1, length=length, machine=loaded.machine))
        steps.append(
            {"step": number, "tokens": length, "peak_bytes": watch.peak_bytes, "live_bytes": watch.live_bytes}
        )
    moments = sum(moment.untyped_storage().nbytes() for moment in stepper.list_moments())
    loaded.base = stepper.model.unload()
    return {
        "bits": "nf4-dq", "rank": SPIKE_RANK, "targets": "all-linear", "batch": 1, "seed": 0,
        "optimizer": "adamw", "optimizer_bytes": moments, "steps": steps,
    }  # fmt: skip
