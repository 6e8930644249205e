"""The queue as a person handles it: move, hold back, stop, try again; and what an app finds that comes later.

No worker is started: the engines here have not begun to serve, or their queue is held back.
"""

import os
import threading
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from lora_lab.data.datasets import build_own_dataset
from lora_lab.engine import local
from lora_lab.engine.local import LocalEngine
from lora_lab.runs import owner
from lora_lab.runs.durations import Pace, estimate_seconds_left
from lora_lab.runs.folder import RunFolder, open_run
from lora_lab.runs.state import fold_events
from lora_lab.runs.sweeps import Sweep, open_sweep
from lora_lab.runs.table import ResultsTable
from lora_lab.settings.grid import parse_grid
from lora_lab.spec import RunSpec
from study.base.errors import LearnerError
from study.base.settings import Settings
from tests.lora_lab import run_builders
from tests.lora_lab.run_builders import NOW

GRID = parse_grid(RunSpec(model="tiny-random", steps=3), {"ranks": "1,2,4,8"})
LATER = NOW + timedelta(minutes=1)


@pytest.fixture
def engine(settings: Settings) -> LocalEngine:
    """It queues and does not serve."""
    return LocalEngine(settings, warm=False)


@pytest.fixture
def sweep(engine: LocalEngine) -> Sweep:
    """Four waiting cells."""
    return engine.submit_sweep(GRID, build_own_dataset(), now=NOW)


@pytest.fixture
def next_app(settings: Settings) -> Callable[[], LocalEngine]:
    """An app that is started later on the same data folder, its queue held back."""

    def start() -> LocalEngine:
        engine = LocalEngine(settings, warm=False)
        engine.pause()
        engine.start()
        engine.close()
        return engine

    return start


def run_of(settings: Settings, run_id: str) -> RunFolder:
    return open_run(settings.runs_dir, run_id)


def table(sweep: Sweep) -> list[str]:
    return [line.split(",")[1] for line in sweep.table_path.read_text().splitlines()[1:]]


def test_a_sweep_waits_in_the_grids_order_and_has_a_table(engine: LocalEngine, sweep: Sweep) -> None:
    assert engine.list_waiting() == list(sweep.run_ids)
    assert table(sweep) == ["queued"] * 4


def test_a_waiting_cell_can_be_moved(engine: LocalEngine, sweep: Sweep) -> None:
    a, b, c, d = sweep.run_ids
    engine.move(d, 0)
    assert engine.list_waiting() == [d, a, b, c]
    engine.move(a, 2)
    assert engine.list_waiting() == [d, b, a, c]
    engine.move(d, 99)
    assert engine.list_waiting() == [b, a, c, d]
    engine.move(c, -5)
    assert engine.list_waiting() == [c, b, a, d]


def test_a_run_that_does_not_wait_cannot_be_moved(engine: LocalEngine, sweep: Sweep) -> None:
    with pytest.raises(LearnerError, match="is no longer waiting"):
        engine.move("20260304-100000000-tiny-random-r1-nf4-000000", 0)


def test_order_and_pause_outlive_the_app(
    engine: LocalEngine, sweep: Sweep, settings: Settings, next_app: Callable[[], LocalEngine]
) -> None:
    a, b, c, d = sweep.run_ids
    engine.move(d, 1)
    engine.pause()
    later = LocalEngine(settings, warm=False)
    assert later.is_paused
    assert next_app().list_waiting() == [a, d, b, c]
    later.resume()
    assert not LocalEngine(settings, warm=False).is_paused


def test_runs_in_no_known_order_come_after_those_that_are(
    engine: LocalEngine, sweep: Sweep, settings: Settings, next_app: Callable[[], LocalEngine]
) -> None:
    other = run_builders.queued(settings.runs_dir)
    assert next_app().list_waiting() == [*sweep.run_ids, other.run_id]


def test_a_cell_that_is_stopped_leaves_the_queue_for_good(
    engine: LocalEngine, sweep: Sweep, settings: Settings, next_app: Callable[[], LocalEngine]
) -> None:
    engine.stop(sweep.run_ids[1])
    assert sweep.run_ids[1] not in engine.list_waiting()
    assert fold_events(run_of(settings, sweep.run_ids[1]).events()).status == "stopped"
    assert table(sweep) == ["queued", "stopped", "queued", "queued"]
    assert next_app().list_waiting() == [sweep.run_ids[0], *sweep.run_ids[2:]]


def test_a_whole_sweep_can_be_stopped_and_other_runs_stay(engine: LocalEngine, sweep: Sweep) -> None:
    other = engine.submit(GRID.base, build_own_dataset(), now=LATER)
    engine.stop_sweep(sweep.sweep_id)
    assert engine.list_waiting() == [other.run_id]
    assert table(sweep) == ["stopped"] * 4


def test_trying_a_failed_cell_again_puts_another_run_in_its_place(
    engine: LocalEngine, sweep: Sweep, settings: Settings
) -> None:
    failed = run_of(settings, sweep.run_ids[2])
    engine.stop(failed.run_id)
    fresh = engine.retry(failed.run_id, now=LATER)
    found = open_sweep(settings.sweeps_dir, sweep.sweep_id)
    assert found.attempts[2] == (failed.run_id, fresh.run_id)
    assert fresh.spec == failed.spec
    assert (fresh.path / "data-train.jsonl").read_bytes() == (failed.path / "data-train.jsonl").read_bytes()
    assert engine.list_waiting()[-1] == fresh.run_id
    assert fold_events(fresh.events()).sweep == sweep.sweep_id
    assert table(found) == ["queued"] * 4
    with pytest.raises(LearnerError, match="Another run has already taken that one's place"):
        engine.retry(failed.run_id, now=LATER)


def test_a_run_that_has_not_ended_is_not_tried_again(engine: LocalEngine, sweep: Sweep) -> None:
    with pytest.raises(LearnerError, match="has not ended yet"):
        engine.retry(sweep.run_ids[0], now=LATER)


def test_a_run_outside_of_sweeps_can_be_tried_again(engine: LocalEngine, settings: Settings) -> None:
    failed = run_builders.failed(settings.runs_dir)
    fresh = engine.retry(failed.run_id, now=LATER)
    assert fresh.spec == failed.spec
    assert engine.list_waiting() == [fresh.run_id]


def test_a_run_whose_data_is_damaged_is_not_tried_again(engine: LocalEngine, settings: Settings) -> None:
    failed = run_builders.failed(settings.runs_dir)
    (failed.path / "data.json").write_text("{")
    with pytest.raises(LearnerError, match="data can no longer be read"):
        engine.retry(failed.run_id, now=LATER)


def test_a_run_in_a_cells_place_keeps_its_marks(engine: LocalEngine, settings: Settings) -> None:
    """Whether it is trained alone, so that its own peak is measured, and whether its seed comes first."""
    sweep = engine.submit_sweep(GRID, build_own_dataset(), now=NOW, one_alone=True)
    engine.stop_sweep(sweep.sweep_id)
    tried = engine.retry(sweep.run_ids[0], now=LATER)
    assert (tried.state().alone, tried.state().first_seed) == (True, True)

    left = LocalEngine(settings, warm=False, own_only=True)
    other = left.submit_sweep(GRID, build_own_dataset(), now=LATER, one_alone=True)
    for run_id in other.run_ids:
        marks = {"alone": run_id == other.run_ids[0], "first_seed": True}
        run_of(settings, run_id).emit("queued", sweep=other.sweep_id, held_by=_nobody(), **marks)
    run_of(settings, other.run_ids[0]).emit("stopped", step=1, cut_off=True)
    found = engine.resume_sweep(other.sweep_id, now=LATER)
    states = [run_of(settings, run_id).state() for run_id in found.run_ids]
    assert [state.alone for state in states] == [True, False, False, False]
    assert all(state.first_seed for state in states)


def test_runs_that_are_made_in_the_place_of_others_at_once_all_belong_to_the_sweep(
    engine: LocalEngine, settings: Settings
) -> None:
    grid = parse_grid(GRID.base, {"ranks": "1,2,4,8", "seeds": "0,1,2,3,4"})
    sweep = LocalEngine(settings, warm=False, own_only=True).submit_sweep(grid, build_own_dataset(), now=NOW)
    for run_id in sweep.run_ids[::2]:
        run_of(settings, run_id).emit("queued", sweep=sweep.sweep_id, held_by=_nobody())
        run_of(settings, run_id).emit("stopped", step=1, cut_off=True)
    for run_id in sweep.run_ids[1::2]:
        run_of(settings, run_id).emit("stopped", step=1)
    going_on = threading.Thread(target=engine.resume_sweep, args=[sweep.sweep_id], kwargs={"now": LATER})
    going_on.start()
    fresh = {engine.retry(run_id, now=LATER).run_id for run_id in sweep.run_ids[1::2]}
    going_on.join()
    found = open_sweep(settings.sweeps_dir, sweep.sweep_id)
    assert fresh | set(engine.list_waiting()) == set(found.run_ids)


# ---- time left


def test_time_left_is_not_known_before_a_run_of_that_kind_has_finished(
    engine: LocalEngine, sweep: Sweep, settings: Settings
) -> None:
    assert engine.estimate_seconds_left(now=NOW) is None
    run_builders.finished(settings.runs_dir, RunSpec(model="tiny-random", bits="bf16", steps=3))
    assert engine.estimate_seconds_left(now=NOW) is None
    run_builders.finished(settings.runs_dir, GRID.list_specs()[0])
    assert engine.estimate_seconds_left(now=NOW) == pytest.approx(4 * 3 * 0.5)


def test_only_runs_that_are_at_work_share_the_time_that_has_passed(settings: Settings) -> None:
    """Of a job, one may have ended and another wait for its turn."""
    spec = GRID.list_specs()[0]
    done, at_work, behind = (run_builders.queued(settings.runs_dir, spec) for _ in range(3))
    done.emit("finished", step=3)
    at_work.emit("status", text="Preparing the run")
    behind.emit("status", text="Waiting for its turn", waiting=True)
    pace = Pace(spec=spec, seconds_per_step=1.0, other_seconds=7.0)
    now = (at_work.state().began_at or 0.0) + 4
    assert estimate_seconds_left([done, at_work, behind], [pace], now=now) == pytest.approx(6 + 10)


def test_an_empty_queue_takes_no_time(engine: LocalEngine) -> None:
    assert engine.estimate_seconds_left(now=NOW) == 0


# ---- who works on what


def test_an_app_leaves_runs_alone_that_a_command_line_holds(
    settings: Settings, next_app: Callable[[], LocalEngine]
) -> None:
    command = LocalEngine(settings, warm=False, own_only=True)
    held = command.submit_sweep(GRID, build_own_dataset(), now=NOW)
    begun = run_of(settings, held.run_ids[0])
    begun.emit("status", text="Training", worker_pid=os.getpid())
    assert next_app().list_waiting() == []
    assert fold_events(begun.events()).status == "starting", "somebody settled a run that goes on"


def test_a_held_cell_that_is_stopped_elsewhere_is_not_begun(settings: Settings, engine: LocalEngine) -> None:
    command = LocalEngine(settings, warm=False, own_only=True)
    held = command.submit_sweep(GRID, build_own_dataset(), now=NOW)
    engine.stop_sweep(held.sweep_id)
    command.start()
    pause = threading.Event()
    while command.list_waiting():
        pause.wait(0.01)
    command.close()
    assert table(held) == ["stopped"] * 4


def test_a_waiting_cell_whose_command_is_gone_can_be_stopped_and_tried_again(
    settings: Settings, engine: LocalEngine
) -> None:
    command = LocalEngine(settings, warm=False, own_only=True)
    first, second, *_ = command.submit_sweep(GRID, build_own_dataset(), now=NOW).run_ids
    run_of(settings, first).emit("queued", held_by=_nobody())
    run_of(settings, second).emit("queued", held_by=_parent())
    engine.stop(first)
    engine.stop(second)
    assert run_of(settings, first).state().status == "stopped"
    assert run_of(settings, second).state().status == "queued", "its command is there, and reads the file"
    assert engine.retry(first, now=LATER).spec == GRID.list_specs()[0]


def test_a_stopped_sweep_is_tabulated_once(
    engine: LocalEngine, sweep: Sweep, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With 200 cells, a table for each would take seconds, in which the next ones begin."""
    written: list[Sweep] = []
    monkeypatch.setattr(ResultsTable, "write", lambda table, given: written.append(given))
    engine.stop_sweep(sweep.sweep_id)
    assert written == [sweep]


def test_nobody_goes_on_with_a_sweep_that_a_living_process_works_on(
    settings: Settings, engine: LocalEngine
) -> None:
    held = LocalEngine(settings, warm=False, own_only=True).submit_sweep(GRID, build_own_dataset(), now=NOW)
    for run_id in held.run_ids:
        run_of(settings, run_id).emit("queued", sweep=held.sweep_id, held_by=_parent())
    with pytest.raises(LearnerError, match=f"Process {os.getppid()} works on that sweep"):
        engine.resume_sweep(held.sweep_id, now=LATER)


def test_going_on_takes_over_what_waits_and_begins_anew_what_was_cut_off(
    settings: Settings, engine: LocalEngine
) -> None:
    sweep = LocalEngine(settings, warm=False, own_only=True).submit_sweep(GRID, build_own_dataset(), now=NOW)
    cells = [run_of(settings, run_id) for run_id in sweep.run_ids]
    for run in cells:
        run.emit("queued", sweep=sweep.sweep_id, held_by=_nobody())
    cells[0].emit("finished", step=3)
    cells[1].emit("stopped", step=2, cut_off=True)
    cells[2].emit("status", text="Training", worker_pid=0)
    found = engine.resume_sweep(sweep.sweep_id, now=LATER)
    assert [len(attempts) for attempts in found.attempts] == [1, 2, 2, 1]
    assert engine.list_waiting() == list(found.run_ids[1:])
    assert fold_events(cells[2].events()).cut_off
    assert not fold_events(cells[3].events()).held_by
    assert engine.resume_sweep(sweep.sweep_id, now=LATER) == found, "twice is once"
    assert engine.list_waiting() == list(found.run_ids[1:])


def test_cells_that_begin_while_workers_are_awaited_are_not_queued_again(
    settings: Settings, engine: LocalEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    sweep = LocalEngine(settings, warm=False, own_only=True).submit_sweep(GRID, build_own_dataset(), now=NOW)

    def begin_meanwhile(*_: object, **__: object) -> None:
        monkeypatch.undo()
        engine.resume_sweep(sweep.sweep_id, now=LATER)
        engine._take_job()

    monkeypatch.setattr(local, "await_workers", begin_meanwhile)
    engine.resume_sweep(sweep.sweep_id, now=LATER)
    begun = [run.run_id for run in engine._current]
    assert begun + engine.list_waiting() == list(sweep.run_ids)


def test_a_cell_that_was_cut_off_twice_is_not_begun_by_itself_again(
    settings: Settings, engine: LocalEngine, sweep: Sweep, next_app: Callable[[], LocalEngine]
) -> None:
    """It may be what ends the app."""
    first = run_of(settings, sweep.run_ids[0])
    first.emit("stopped", step=1, cut_off=True)
    second_id = next_app().list_waiting()[0]
    assert open_sweep(settings.sweeps_dir, sweep.sweep_id).attempts[0] == (first.run_id, second_id)
    run_of(settings, second_id).emit("stopped", step=1, cut_off=True)
    assert next_app().list_waiting() == list(sweep.run_ids[1:])


def test_a_cut_off_cell_without_its_data_stays_as_it_ended_and_the_queue_goes_on(
    settings: Settings, engine: LocalEngine, sweep: Sweep, next_app: Callable[[], LocalEngine]
) -> None:
    first = run_of(settings, sweep.run_ids[0])
    first.emit("stopped", step=1, cut_off=True)
    (first.path / "data.json").unlink()
    assert next_app().list_waiting() == list(sweep.run_ids[1:])
    assert open_sweep(settings.sweeps_dir, sweep.sweep_id).run_ids == sweep.run_ids


def test_a_table_that_cannot_be_written_stops_nothing(
    engine: LocalEngine, sweep: Sweep, settings: Settings
) -> None:
    sweep.table_path.unlink()
    sweep.table_path.mkdir()
    engine.stop(sweep.run_ids[0])
    assert engine.list_waiting() == list(sweep.run_ids[1:])


def test_two_threads_replace_a_table_at_once(
    sweep: Sweep, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    results, replace = ResultsTable(settings.runs_dir, settings.sweeps_dir), os.replace

    def write_meanwhile(partial: Path, path: Path) -> None:
        monkeypatch.undo()
        other = threading.Thread(target=results.write, args=(sweep,))
        other.start()
        other.join()
        replace(partial, path)

    monkeypatch.setattr(os, "replace", write_meanwhile)
    results.write(sweep)
    assert table(sweep) == ["queued"] * 4


def test_a_holder_is_known_by_its_number_and_its_age() -> None:
    me = owner.name_this_process()
    assert owner.is_at_work(me, since=NOW.timestamp() + 10**9)
    assert not owner.is_at_work(me, since=0.0), "a younger process got the same number"
    assert not owner.is_at_work(_nobody(), since=NOW.timestamp())
    assert owner.is_at_work("another-machine:1", since=0.0)
    assert owner.is_elsewhere("another-machine:1")
    assert not owner.is_elsewhere(me)


def _parent() -> str:
    return f"{owner.name_this_process().rpartition(':')[0]}:{os.getppid()}"


def _nobody() -> str:
    """No process has a number that high."""
    return f"{owner.name_this_process().rpartition(':')[0]}:{2**30}"
