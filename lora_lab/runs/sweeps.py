"""A sweep folder: sweep.json names its grid and the runs of its cells; results.csv is their table."""

import json
import re
import secrets
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from functools import lru_cache
from pathlib import Path
from typing import Any

from lora_lab.data.datasets import Dataset
from lora_lab.data.lab_folder import write_json
from lora_lab.runs.event_fields import is_moment
from lora_lab.runs.folder import (
    RunFolder,
    create_run,
    delete_run,
    format_time_stamp,
    list_paths,
    open_run,
    say_start,
)
from lora_lab.runs.state import RunState
from lora_lab.settings.grid import Grid
from lora_lab.spec import RunSpec
from study.base.errors import LearnerError

SWEEP_ID = re.compile(r"^\d{8}-\d{9}-sweep-[0-9a-f]{6}$")


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A grid and the runs of its cells. Everything else is in the cells' own run folders."""

    path: Path
    grid: Grid
    data_label: str
    data_digest: str
    created_at: float
    """Seconds since 1970."""

    attempts: tuple[tuple[str, ...], ...]
    """Per cell of `grid.specs()`, in that order, the ids of its runs: the last one counts."""

    @property
    def sweep_id(self) -> str:
        """The folder's name, safe to show and to put into a URL."""
        return self.path.name

    @property
    def started_at(self) -> str:
        """When it was submitted, as `4 March 2026, 10:00:07 UTC`: the seconds tell equal grids apart."""
        return say_start(self.sweep_id)

    @property
    def run_ids(self) -> tuple[str, ...]:
        """The run that counts per cell, in the order of `grid.specs()`."""
        return tuple(runs[-1] for runs in self.attempts)

    @property
    def table_path(self) -> Path:
        """The results as CSV, one line per cell."""
        return self.path / "results.csv"

    def cells(self, runs_dir: Path) -> Iterator[tuple[RunSpec, RunFolder | None]]:
        """Yield each cell's settings and run, in order; None where the run's folder was deleted."""
        for spec, run_id in zip(self.grid.list_specs(), self.run_ids, strict=True):
            yield spec, _open_run(runs_dir, run_id)

    def with_attempts(self, fresh_ids: Mapping[str, str]) -> "Sweep":
        """Return the same sweep with other runs instead of some cells' runs, by the ids of those."""
        attempts = tuple(
            (*runs, fresh_ids[runs[-1]]) if runs[-1] in fresh_ids else runs for runs in self.attempts
        )
        return replace(self, attempts=attempts)

    def save(self) -> None:
        """Write sweep.json whole, then rename it over the old one."""
        write_json(
            self.path / "sweep.json",
            {
                "grid": json.loads(self.grid.to_json()),
                "data": {"label": self.data_label, "digest": self.data_digest},
                "created_at": self.created_at,
                "attempts": self.attempts,
            },
        )


def create_sweep(sweeps_dir: Path, runs_dir: Path, grid: Grid, dataset: Dataset, *, now: datetime) -> Sweep:
    """Create folders for the sweep and each cell's run: all on disk, or none when it raises OSError."""
    name = f"{format_time_stamp(now)}-sweep-{secrets.token_hex(3)}"
    runs: list[RunFolder] = []
    try:
        for place, spec in enumerate(grid.list_specs()):
            at = now + timedelta(milliseconds=place)  # apart, so that lists keep their order
            runs.append(create_run(runs_dir, spec, dataset, now=at))
        sweep = Sweep(
            path=sweeps_dir / name,
            grid=grid,
            data_label=dataset.label,
            data_digest=dataset.digest,
            created_at=now.timestamp(),
            attempts=tuple((run.run_id,) for run in runs),
        )
        sweep.save()
    except OSError:
        for run in runs:
            delete_run(run)
        shutil.rmtree(sweeps_dir / name, ignore_errors=True)
        raise
    return sweep


def open_sweep(sweeps_dir: Path, sweep_id: str) -> Sweep:
    """Open a sweep by its id, never outside `sweeps_dir`. Raises LearnerError when it doesn't exist."""
    sweep = _read_sweep(sweeps_dir / sweep_id) if SWEEP_ID.fullmatch(sweep_id) else None
    if sweep is None:
        raise LearnerError("There is no sweep with that name.", do_next="Choose one from the list of sweeps.")
    return sweep


def find_sweep(sweeps_dir: Path, state: RunState) -> Sweep | None:
    """Find the sweep that a run is a cell of, unless it was deleted."""
    try:
        return open_sweep(sweeps_dir, state.sweep)
    except LearnerError:
        return None


def list_sweeps(sweeps_dir: Path) -> Iterator[Sweep]:
    """Yield every sweep, newest first; damaged ones are skipped."""
    for path in list_paths(SWEEP_ID, sweeps_dir):
        sweep = _read_sweep(path)
        if sweep is not None:
            yield sweep


def list_damaged_sweeps(sweeps_dir: Path) -> list[Path]:
    """List what has a sweep's name and can't be read as one, newest first."""
    return [path for path in list_paths(SWEEP_ID, sweeps_dir) if _read_sweep(path) is None]


def delete_sweep(sweep: Sweep, runs_dir: Path) -> None:
    """Remove a sweep, all its runs and all their files. None of them may be waiting or running."""
    for run_id in (run_id for runs in sweep.attempts for run_id in runs):
        run = _open_run(runs_dir, run_id)
        if run is not None:
            delete_run(run)
    shutil.rmtree(sweep.path)


def _open_run(runs_dir: Path, run_id: str) -> RunFolder | None:
    try:
        return open_run(runs_dir, run_id)
    except LearnerError:
        return None


def _read_sweep(path: Path) -> Sweep | None:
    """Read the sweep in a folder; None where it is missing or damaged."""
    try:
        version = (path / "sweep.json").stat().st_mtime_ns
    except OSError:
        return None
    return None if path.is_symlink() else _parse_sweep(path, version)


@lru_cache(maxsize=256)  # a page that lists them asks every second, and a grid of 200 cells has 200 specs
def _parse_sweep(path: Path, version: int) -> Sweep | None:
    """Parse sweep.json. `version` is a cache key that changes with the file."""
    try:
        values: dict[str, Any] = json.loads((path / "sweep.json").read_text("utf-8"))
        grid = Grid.from_json(json.dumps(values["grid"]))
        attempts = tuple(tuple(str(run_id) for run_id in runs) for runs in values["attempts"])
        sweep = Sweep(
            path=path,
            grid=grid,
            data_label=str(values["data"]["label"]),
            data_digest=str(values["data"]["digest"]),
            created_at=float(values["created_at"]),
            attempts=attempts,
        )
    except (OSError, ValueError, KeyError, TypeError, RecursionError, LearnerError):
        return None
    whole = len(attempts) == grid.count and all(attempts) and is_moment(sweep.created_at)
    return sweep if whole else None
