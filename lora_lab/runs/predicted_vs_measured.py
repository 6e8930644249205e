"""Predicted and measured peaks: the peaks that runs reached, and which runs are comparable with a setting."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from lora_lab.data.batches import RowSize, parse_row
from lora_lab.runs.folder import RunFolder
from lora_lab.runs.state import RunState
from lora_lab.spec import Compute, RunSpec


@dataclass(frozen=True, kw_only=True)
class MeasuredPeak:
    """The measured peak of one run, and the peak predicted for it before it started."""

    run_id: str
    spec: RunSpec
    peak_bytes: int
    predicted_bytes: int
    device_name: str
    compute: Compute
    """The number type that `spec.compute_dtype` resolved to on that device."""

    row: RowSize
    """The heaviest packed row of the run, which the computed peak is for."""

    steps: int
    """The number of steps done, which is less than asked for when the run was stopped."""

    @property
    def error_percent(self) -> float:
        """How far the measured peak is above (+) or below (-) the predicted one, in percent."""
        return percent_above(self.peak_bytes, self.predicted_bytes)


def percent_above(measured_bytes: float, computed_bytes: float) -> float:
    """Compute the difference as a learner reads it, in percent of the computed value."""
    return 100 * (measured_bytes - computed_bytes) / computed_bytes


def read_measured(run: RunFolder) -> MeasuredPeak | None:
    """Return the peaks of an ended run; None where the measured one is not comparable with the computed one.

    That is so for a run that still trains, that ended before a step was measured, or that ended before its
    heaviest row: its peak is right, but the computed one is for another row.
    """
    state = run.state()
    if not state.ended or state.started is None or state.peak_bytes <= 0:
        return None
    row = parse_row(state.started["row"])
    if not may_have_met_heaviest(state):
        return None
    device = state.started["device"]
    return MeasuredPeak(
        run_id=run.run_id,
        spec=run.spec,
        peak_bytes=state.peak_bytes,
        predicted_bytes=state.started["predicted_bytes"],
        device_name=device["name"],
        compute=device["compute_dtype"],
        row=row,
        steps=len(state.steps),
    )


def may_have_met_heaviest(state: RunState) -> bool:
    """Return whether a step had as many tokens as the heaviest row of all planned steps, which the computed
    peak is for. A run that was stopped, or that failed, may have ended before it.
    """
    if state.started is None:
        return False
    heaviest = _count_heaviest_tokens(state.started)
    return any(step["tokens"] >= heaviest for step in state.steps)


def heaviest_came_first(state: RunState) -> bool:
    """Return whether the peak is the first step's: its row is the heaviest, and it ran before the optimizer
    had the moments that the computed peak counts (memory/ledger.py, `find_heaviest_row`).
    """
    if state.started is None or not state.steps or state.peak_bytes <= 0:
        return False
    less_bytes = state.started["predicted_bytes"] - state.peak_bytes
    moments_bytes = state.started["predicted"]["optimizer"]
    is_heaviest = state.steps[0]["tokens"] >= _count_heaviest_tokens(state.started)
    return bool(is_heaviest and less_bytes > moments_bytes / 2)


def _count_heaviest_tokens(started: Mapping[str, Any]) -> int:
    # Steps report every token of their examples, also those of a prefix that a row holds once.
    return sum(parse_row(started["row"]).lengths)


def select_comparable(
    measured: Iterable[MeasuredPeak],
    spec: RunSpec,
    *,
    free: Literal["rank", "bits"],
    row: RowSize | None = None,
) -> list[MeasuredPeak]:
    """Select the runs that differ from `spec` in nothing that decides memory, except in the `free` field.

    Learning rate and alpha change no byte. Steps and seed do: they decide which examples share a row, and the
    peak is that of the heaviest row. With `row`, the heaviest row of `spec`, a run counts when its own
    heaviest row has that size, whatever its steps and seed; without it, steps and seed must be equal.

    A spec that leaves the number type to the machine is compared with runs in both types; a plot, which knows
    the type, drops the runs in the other type.
    """
    wanted = _keep_deciding(spec, free=free, row=row)
    return [
        run
        for run in measured
        if _keep_deciding(run.spec, free=free, row=run.row if row else None) == wanted
        and spec.compute_dtype in ("auto", run.compute)
    ]


def _keep_deciding(
    spec: RunSpec, *, free: Literal["rank", "bits"], row: RowSize | None
) -> tuple[RunSpec, RowSize | None]:
    """Return `spec` with everything that memory does not depend on set to one value, and the row."""
    neutral = replace(spec, alpha=1.0, learning_rate=1.0, compute_dtype="auto")
    neutral = replace(neutral, rank=1) if free == "rank" else replace(neutral, bits="bf16")
    if row is not None:
        neutral = replace(neutral, steps=1, seed=0)
    return neutral, row


def list_devices(measured: Sequence[MeasuredPeak]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(run.device_name for run in measured))
