"""Retries: another run with the same settings and data; in a sweep it replaces the earlier run."""

from collections.abc import Collection, Mapping
from datetime import datetime

from lora_lab.data import datasets
from lora_lab.engine.marks import Marks, read_marks
from lora_lab.engine.queue import read_owner
from lora_lab.engine.worker_process import wait_for_earlier_worker
from lora_lab.grids.results import RETRYABLE
from lora_lab.runs import owner
from lora_lab.runs.finalize import cut_off
from lora_lab.runs.folder import RunFolder, create_run, delete_run, open_run
from lora_lab.runs.state import RunState
from lora_lab.runs.sweeps import Sweep, find_sweep, open_sweep
from study.base.errors import LearnerError
from study.base.settings import Settings

SETTLE_SECONDS = 60
MAX_CUT_OFF = 2
"""A cell that was running when the app went away restarts; one that was cut off twice may be the reason."""


def create_retry(settings: Settings, run: RunFolder, *, now: datetime) -> RunFolder:
    """Create a new run, not queued yet, that its sweep already counts.

    Raises LearnerError when `run` has not ended, was replaced before, or has lost its data.
    """
    state = run.state()
    if not state.ended:
        raise LearnerError("That run has not ended yet.", do_next="Wait for its end, or cancel it first.")
    sweep = find_sweep(settings.sweeps_dir, state)
    if sweep is not None and run.run_id not in sweep.run_ids:
        raise LearnerError(
            "Another run has already taken that one's place in its grid.", do_next="Open that run instead."
        )
    dataset = datasets.load_saved(run.path)
    fresh = create_run(settings.runs_dir, run.spec, dataset, now=now)
    if sweep is not None:
        _save_attempts(sweep, {run: fresh})
    return fresh


def create_retries(
    settings: Settings, sweep_id: str, *, now: datetime
) -> tuple[dict[RunFolder, Marks], OSError | None]:
    """Create a new run, not queued yet, for each cell of a sweep that ended without being finished.

    A cell whose data can no longer be read is skipped. Returns the new runs, each with its marks, and the
    error of a disk that took no more of them. Raises OSError when that disk doesn't take the sweep either;
    then no new run stays.
    """
    sweep = open_sweep(settings.sweeps_dir, sweep_id)
    replaced: dict[RunFolder, RunFolder] = {}
    marks: dict[RunFolder, Marks] = {}
    refused: OSError | None = None
    for _, run in sweep.cells(settings.runs_dir):
        if run is None or (state := run.state()).word not in RETRYABLE:
            continue
        try:
            fresh = create_run(settings.runs_dir, run.spec, datasets.load_saved(run.path), now=now)
        except LearnerError:
            continue
        except OSError as error:
            refused = error
            break
        replaced[run], marks[fresh] = fresh, read_marks(state)
    if replaced:
        _save_attempts(sweep, replaced)
    return marks, refused


def _save_attempts(sweep: Sweep, replaced: Mapping[RunFolder, RunFolder]) -> None:
    """Write down which new run replaces which cell's run. On OSError the new runs are deleted."""
    try:
        sweep.with_attempts({run.run_id: fresh.run_id for run, fresh in replaced.items()}).save()
    except OSError:
        for fresh in replaced.values():
            delete_run(fresh)
        raise


def should_restart(settings: Settings, run: RunFolder) -> bool:
    """Return whether a run ended only because the app went away, and is a cell of a sweep."""
    state = run.state()
    sweep = find_sweep(settings.sweeps_dir, state) if state.cut_off else None
    if sweep is None or run.run_id not in sweep.run_ids:
        return False
    attempts = sweep.attempts[sweep.run_ids.index(run.run_id)]
    return _cut_offs(settings, attempts) < MAX_CUT_OFF


def _cut_offs(settings: Settings, run_ids: tuple[str, ...]) -> int:
    """Count how many of the latest attempts in a row were cut off."""
    found = 0
    for run_id in reversed(run_ids):
        try:
            state = open_run(settings.runs_dir, run_id).state()
        except LearnerError:
            return found
        if not state.cut_off:
            return found
        found += 1
    return found


def list_unfinished(
    settings: Settings, sweep_id: str, *, now: datetime, except_for: Collection[RunFolder] = ()
) -> dict[RunFolder, Marks]:
    """Return a sweep's unfinished cells: those that wait, and another run for each one that was cut off; each
    with its marks. `await_workers` comes first.
    """
    left = {}
    for run in _list_cells_left(settings, sweep_id, except_for):
        state = run.state()
        if not state.ended:
            left[run] = read_marks(state)
        elif state.cut_off:
            left[create_retry(settings, run, now=now)] = read_marks(state)
    return left


def await_workers(settings: Settings, sweep_id: str, *, except_for: Collection[RunFolder] = ()) -> None:
    """Let the workers of a sweep's unfinished cells save and end, if they are still alive.

    Raises LearnerError while another process on this machine works on the sweep.
    """
    cells = _list_cells_left(settings, sweep_id, except_for)
    for run in cells:
        _refuse_if_held(settings, run.state())
    for run in cells:
        if run.state().begun:
            await_worker(run)


def _list_cells_left(settings: Settings, sweep_id: str, except_for: Collection[RunFolder]) -> list[RunFolder]:
    sweep = open_sweep(settings.sweeps_dir, sweep_id)
    return [run for _, run in sweep.cells(settings.runs_dir) if run is not None and run not in except_for]


def _refuse_if_held(settings: Settings, state: RunState) -> None:
    by, since = _find_owner(settings, state)
    if state.ended or not by or by == owner.name_this_process() or owner.is_elsewhere(by):
        return
    if owner.is_at_work(by, since=since):
        raise LearnerError(
            f"Process {by.rpartition(':')[2]} works on that sweep.",
            do_next="Let it go on there, or end it first.",
        )


def is_abandoned(settings: Settings, state: RunState) -> bool:
    """Return whether a run that is not in this process's hands is in nobody's: its owner is gone before a
    worker had it, or this process had to give it up.
    """
    by, since = _find_owner(settings, state)
    if by == owner.name_this_process():
        return True
    return not state.begun and not (by and owner.is_at_work(by, since=since))


def _find_owner(settings: Settings, state: RunState) -> tuple[str, float]:
    """Find who has a run, and since when: the owner that it names, else the app that has the queue."""
    return (state.held_by, state.queued_at) if state.held_by else read_owner(settings)


def await_worker(run: RunFolder) -> None:
    """Let the worker of a run that an earlier process started save and end, if it is still alive."""
    state = run.state()
    if not state.ended:
        if state.worker_pid:
            told_at = run.events_path.stat().st_mtime
            wait_for_earlier_worker(state.worker_pid, SETTLE_SECONDS, since=told_at)
        cut_off(run)


def is_waiting(state: RunState) -> bool:
    """Return whether the app should queue the run."""
    return not (state.begun or state.held_by)


def is_left_over(state: RunState) -> bool:
    """Return whether an earlier app, or an owner that is gone, had started the run."""
    if state.held_by and not state.ended:
        return state.begun and not owner.is_at_work(state.held_by, since=state.queued_at)
    return not state.held_by and (state.cut_off or (state.begun and not state.ended))
