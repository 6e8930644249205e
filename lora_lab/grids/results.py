"""The cells of a grid as read from their run folders, grouped into settings repeated over seeds."""

import math
import statistics
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import partial
from typing import Any, Literal, get_args

from lora_lab.runs.folder import RunFolder
from lora_lab.runs.state import RunState
from lora_lab.spec import Bits, RunSpec, Variant

CellStatus = Literal["waiting", "running", "finished", "stopped", "cancelled", "failed", "deleted"]
STATUSES: tuple[CellStatus, ...] = get_args(CellStatus)
RETRYABLE: tuple[CellStatus, ...] = ("failed", "stopped", "cancelled")
"""A cell with one of these has ended without being finished, and another run can take its place."""


@dataclass(frozen=True, kw_only=True)
class GridCell:
    """One run of a grid. Values that were not measured are None."""

    spec: RunSpec
    run_id: str
    """Empty if its folder was deleted."""

    status: CellStatus
    doing: str = ""
    """What a running cell does before and after its steps, as its process says; empty during the steps."""

    steps_done: int = 0
    loss_before: float | None = None
    loss_after: float | None = None
    """Held-out loss after training; None unless it is a finite number."""

    peak_bytes: int | None = None
    """Measured; None for a cell trained side by side with others, because they share one peak."""

    shared_by: int = 1
    """The number of cells trained side by side."""

    group_peak_bytes: int | None = None
    """The measured peak of all of them together."""

    predicted_bytes: int | None = None
    seconds_a_step: float | None = None
    """Median over all steps but the first, which warms caches up; for a shared step, the cell's share."""

    tokens_per_second: float | None = None
    trainable: int | None = None
    failure: str = ""
    """After a failure: what happened and what to do next."""

    device: str = ""
    compute: str = ""
    versions: tuple[tuple[str, str], ...] = ()

    @property
    def ended(self) -> bool:
        """Whether the cell is in a final state."""
        return self.status not in ("waiting", "running")

    @property
    def measured(self) -> bool:
        """Whether its numbers are final; they are while it still answers questions after its evaluation."""
        evaluated = self.loss_after is not None and self.steps_done == self.spec.steps
        return self.status == "finished" or (self.status == "running" and evaluated)

    @property
    def comparable(self) -> bool:
        """Whether its held-out loss is that of a complete training, unlike the loss of a stopped run."""
        return self.measured and self.loss_after is not None


@dataclass(frozen=True, kw_only=True)
class GridLevels:
    """What a grid varies, except the seed."""

    bits: Bits
    rank: int
    targets: str
    variant: Variant
    learning_rate: float


@dataclass(frozen=True, kw_only=True)
class GridSetting:
    """All cells of one setting: the same training, repeated over seeds."""

    levels: GridLevels
    cells: tuple[GridCell, ...]

    @property
    def losses(self) -> tuple[float, ...]:
        """The held-out loss of every seed that is measured."""
        return tuple(
            cell.loss_after for cell in self.cells if cell.comparable and cell.loss_after is not None
        )

    @property
    def mean_loss(self) -> float | None:
        """The mean over the seeds that are measured; None if none is."""
        return statistics.fmean(self.losses) if self.losses else None

    @property
    def measured_peak_bytes(self) -> int | None:
        """The highest peak of its measured cells; None if all were trained side by side with others."""
        return max(self._list_measured("peak_bytes"), default=None)

    @property
    def peak_bytes(self) -> int | None:
        """The memory needed for any seed: measured, else computed as if the cell ran alone."""
        return self.measured_peak_bytes or max(self._list_measured("predicted_bytes"), default=None)

    @property
    def step_times(self) -> tuple[float, ...]:
        """The seconds a step of its measured cells that were trained alone.

        Cells side by side share each step equally, so their times say nothing of a setting.
        """
        alone = [cell for cell in self._measured if cell.shared_by == 1]
        return tuple(cell.seconds_a_step for cell in alone if cell.seconds_a_step is not None)

    @property
    def seconds_a_step(self) -> float | None:
        """The median of its step times; None without one."""
        times = self.step_times
        return statistics.median(times) if times else None

    @property
    def word(self) -> str:
        """The text instead of a missing number: the state of the cell that is furthest from having one."""
        for status in ("failed", "running", "waiting", "stopped", "cancelled", "deleted"):
            if any(cell.status == status for cell in self.cells):
                return status
        return "no loss" if self.cells else "not run"

    @property
    def _measured(self) -> list[GridCell]:
        return [cell for cell in self.cells if cell.measured]

    def _list_measured(self, name: str) -> list[Any]:
        values = (getattr(cell, name) for cell in self._measured)
        return [value for value in values if value is not None]


def build_grid_cells(
    cells: Iterable[tuple[RunSpec, RunFolder | None]], state_of: Callable[[RunFolder], RunState]
) -> list[GridCell]:
    """Build one cell per spec and run, in the given order."""
    gone = partial(GridCell, run_id="", status="deleted")
    return [_build_cell(run.run_id, spec, state_of(run)) if run else gone(spec=spec) for spec, run in cells]


def _build_cell(run_id: str, spec: RunSpec, state: RunState) -> GridCell:
    started: Mapping[str, Any] = state.started or {}
    device: Mapping[str, Any] = started.get("device") or {}
    return GridCell(
        spec=spec,
        run_id=run_id,
        status=_find_status(state),
        doing=state.doing if state.status in ("starting", "finishing") else "",
        steps_done=len(state.steps),
        loss_before=_read_number(state.loss_before),
        loss_after=_read_number(state.loss_after),
        peak_bytes=state.peak_bytes or None,
        shared_by=state.shared_by,
        group_peak_bytes=state.group_peak_bytes or None,
        predicted_bytes=started.get("predicted_bytes"),
        seconds_a_step=state.seconds_per_step,
        tokens_per_second=state.tokens_per_second or None,
        trainable=started.get("trainable"),
        failure=state.failure_text,
        device=device.get("name", ""),
        compute=device.get("compute_dtype", ""),
        versions=tuple(sorted(started.get("versions", {}).items())),
    )


def _find_status(state: RunState) -> CellStatus:
    word = state.word
    if word == "queued":
        return "waiting"
    return word if word in ("finished", "stopped", "cancelled", "failed") else "running"


def _read_number(value: float | None) -> float | None:
    return value if value is not None and math.isfinite(value) else None


def read_levels(spec: RunSpec) -> GridLevels:
    return GridLevels(**{level.name: getattr(spec, level.name) for level in fields(GridLevels)})


def group_by_setting(cells: Iterable[GridCell]) -> list[GridSetting]:
    """Group cells that differ only in their seed; in the order of their first cells."""
    found: dict[GridLevels, list[GridCell]] = {}
    for cell in cells:
        found.setdefault(read_levels(cell.spec), []).append(cell)
    return [GridSetting(levels=levels, cells=tuple(group)) for levels, group in found.items()]


def select_best_rates(settings: Iterable[GridSetting]) -> list[GridSetting]:
    """Return each bit width, rank, target set and variant once, at the rate with the lowest mean loss.

    Rates that finished on more seeds are preferred to those on fewer, because one lucky seed is not a mean.
    """
    found: dict[GridLevels, list[GridSetting]] = {}
    for setting in settings:
        found.setdefault(replace(setting.levels, learning_rate=0.0), []).append(setting)
    return [min(rivals, key=_rank_by_loss) for rivals in found.values()]


def _rank_by_loss(setting: GridSetting) -> tuple[int, float]:
    mean = setting.mean_loss
    return -len(setting.losses), math.inf if mean is None else mean


def list_rates(settings: Sequence[GridSetting]) -> list[float]:
    """Return the learning rates tried, ascending."""
    return sorted({setting.levels.learning_rate for setting in settings})
