"""Sweeps as their cells' events leave them, without a worker."""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from lora_lab.data.datasets import build_own_dataset
from lora_lab.runs.folder import RunFolder
from lora_lab.runs.sweeps import Sweep, create_sweep
from lora_lab.settings.grid import Grid, parse_grid
from lora_lab.spec import RunSpec
from study.base.settings import Settings
from tests.lora_lab.run_builders import NOW, emit_started, emit_step

TINY = RunSpec(model="tiny-random", steps=3)
AXES: Mapping[str, Any] = {"ranks": [2, 8], "bits": ["nf4", "bf16"], "seeds": [0, 1]}


def tiny_grid(**axes: Any) -> Grid:
    """Two ranks, two bit widths, two seeds; or other axes."""
    return parse_grid(TINY, axes or AXES)


def sweep_of(settings: Settings, grid: Grid | None = None, *, after_seconds: int = 0) -> Sweep:
    """A sweep whose cells all wait, in no queue."""
    now = NOW + timedelta(seconds=after_seconds)
    made = create_sweep(
        settings.sweeps_dir, settings.runs_dir, grid or tiny_grid(), build_own_dataset(), now=now
    )
    for run in runs_of(settings, made):
        run.emit("queued", sweep=made.sweep_id)
    return made


def runs_of(settings: Settings, sweep: Sweep) -> list[RunFolder]:
    """The cells' runs, in order."""
    return [RunFolder(settings.runs_dir / run_id) for run_id in sweep.run_ids]


def begin(run: RunFolder, *, steps: int = 2) -> None:
    """The events of a run in the middle of its work."""
    run.emit("status", text="Preparing the run", worker_pid=0)
    emit_started(run)
    for number in range(1, steps + 1):
        peak_bytes = 900_000 + 10_000 * run.spec.rank
        emit_step(run, number, loss=4.0, live_bytes=700_000, peak_bytes=peak_bytes)


def finish(run: RunFolder, loss: float) -> None:
    """The events of a run that ended well."""
    begin(run, steps=3)
    run.emit("evaluated", loss_before=5.5, loss_after=loss, examples=20)
    run.emit("finished", step=3)


def fail(run: RunFolder) -> None:
    """The events of a run that did not, in place of those it had: none counts after its end."""
    queued, *_ = run.events_path.read_text("utf-8").splitlines(keepends=True)
    run.events_path.write_text(queued, "utf-8")
    begin(run, steps=1)
    run.emit("failed", step=1, cause="out-of-memory", what="Ran out of memory.", do_next="Try a batch of 2.")


def finished_sweep(settings: Settings, grid: Grid | None = None) -> Sweep:
    """Every cell finished; higher ranks end lower, and seeds differ a little."""
    made = sweep_of(settings, grid)
    for run in runs_of(settings, made):
        finish(run, 3 - run.spec.rank / 10 + run.spec.seed / 1000)
    return made
