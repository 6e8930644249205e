"""The cost of a setting before it runs: exact counts, predicted bytes, an estimate of the time."""

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from lora_lab.data.batches import RowSize, compute_row_sizes
from lora_lab.data.lab_folder import LabHome
from lora_lab.data.machine import COMPUTE_TYPES, compute_usable_bytes, describe_free_memory, is_gpu
from lora_lab.memory import ledger as memory
from lora_lab.memory.ledger import Ledger
from lora_lab.parameters.counts import Count, count_parameters, format_formula, format_short_formula
from lora_lab.parameters.shapes import ModelShape
from lora_lab.runs.folder import RunFolder
from lora_lab.spec import Compute, RunSpec
from study.base.units import as_bytes, as_count

PACE_RUNS = 12
"""How many of the latest runs are used for the pace."""


@dataclass(frozen=True, kw_only=True)
class Preview:
    spec: RunSpec
    shape: ModelShape
    count: Count
    short_formula: str
    formula: str
    ledger: Ledger
    row: RowSize
    row_is_known: bool
    """Whether the longest packed row was counted in tokens, or is the maximum that batch and length allow."""

    trained_tokens: int
    """Tokens of all steps' examples, counted if `row_is_known`; else as many as batch and length allow."""

    compute: Compute
    compute_is_measured: bool
    """Whether a worker has decided the number type of this machine."""

    machine_bytes: int
    """Memory that a run can use on the device; 0 when unknown."""

    free_memory: str
    """The same in words: "this GPU has 7.10 GB free"."""

    @property
    def fits(self) -> bool:
        """Whether the predicted peak is below what the machine can give."""
        return not self.machine_bytes or self.ledger.total_bytes < self.machine_bytes

    @property
    def provisional(self) -> str:
        """Why other numbers may replace these, as a sentence; empty for final ones."""
        missing = []
        if not self.row_is_known:
            missing.append("counted the tokens of its examples")
        if not self.compute_is_measured:
            missing.append("looked at this machine")
        return f"A first estimate, until the training worker has {' and '.join(missing)}." if missing else ""

    @property
    def in_short(self) -> str:
        """The two cost numbers as one short text, for screen readers."""
        return f"{as_count(self.count.trainable)} trainable, {as_bytes(self.ledger.total_bytes)}"


@dataclass(frozen=True, kw_only=True)
class PredictedStep:
    """The memory of a training step, and what it waits for."""

    ledger: memory.Ledger
    provisional: str = ""
    """Why another number may replace it, as a sentence; empty for a final one."""


def build_preview(home: LabHome, spec: RunSpec, digest: str) -> Preview:
    """Build the preview. Raises LearnerError when the model's shape is unknown or has none of the targets."""
    shape = home.find_shape(spec.model)
    device = home.describe_device()
    compute, measured = compute_of(spec, device)
    on_gpu = is_gpu(device)
    rows = compute_row_sizes(home.read_lengths(spec.model, digest), spec, on_gpu=on_gpu)
    row = choose_heaviest_row(shape, spec, rows, compute, on_gpu=on_gpu)
    return Preview(
        spec=spec,
        shape=shape,
        count=count_parameters(shape, rank=spec.rank, targets=spec.targets, variant=spec.variant),
        short_formula=format_short_formula(shape, rank=spec.rank, targets=spec.targets, variant=spec.variant),
        formula=format_formula(shape, rank=spec.rank, targets=spec.targets, variant=spec.variant),
        ledger=memory.predict_ledger(shape, spec, row, compute),
        row=row,
        row_is_known=bool(rows),
        trained_tokens=sum(sum(each.lengths) for each in rows) or row.tokens * spec.steps,
        compute=compute,
        compute_is_measured=measured,
        machine_bytes=compute_usable_bytes(device),
        free_memory=describe_free_memory(device),
    )


def choose_heaviest_row(
    shape: ModelShape, spec: RunSpec, rows: Sequence[RowSize], compute: Compute, *, on_gpu: bool
) -> RowSize:
    """Return the row that decides a run's peak: the heaviest of all steps' rows, or the largest that batch
    and length allow while these are unknown.
    """
    if not rows:
        return memory.find_upper_bound(spec, on_gpu=on_gpu)
    return memory.find_heaviest_row(shape, spec, rows, compute)


def compute_of(spec: RunSpec, device: dict[str, Any]) -> tuple[Compute, bool]:
    """Find the number type that a run will compute in, and whether this machine has determined it."""
    if spec.compute_dtype != "auto":
        return spec.compute_dtype, True
    known = device.get("compute_dtype")
    if known in COMPUTE_TYPES:
        return known, True
    return "bf16", False


def estimate_training_seconds(preview: Preview, runs: Iterable[RunFolder]) -> float | None:
    """Estimate seconds of all steps from the pace of the model's latest runs; None without any.

    A pace is a whole run's seconds per token, so it is multiplied by the tokens of all steps. The heaviest
    row's tokens times the steps are more: with the app's own data by 7 % (10 steps) to 17 % (80 steps).
    """
    paces = []
    for run in runs:
        if run.spec.model != preview.spec.model:
            continue
        state = run.state()
        if state.ended and len(state.steps) > 1:
            paces.append(1 / state.tokens_per_second)
        if len(paces) == PACE_RUNS:
            break
    return statistics.median(paces) * preview.trained_tokens if paces else None
