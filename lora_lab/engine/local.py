"""The local engine: a run queue, one worker at a time, and a warm worker ready for the next run."""

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

from lora_lab.data.datasets import Dataset
from lora_lab.data.lab_folder import LabHome
from lora_lab.engine.fork_server import ForkServer
from lora_lab.engine.marks import Marks, mark_cells, read_marks
from lora_lab.engine.queue import Gather, RunQueue, locate_queue
from lora_lab.engine.retries import (
    await_worker,
    await_workers,
    create_retries,
    create_retry,
    is_abandoned,
    is_left_over,
    is_waiting,
    list_unfinished,
    should_restart,
)
from lora_lab.engine.stopping import STOP_GRACE_SECONDS, is_silent
from lora_lab.engine.worker_process import ENDED_EARLY, WorkerProcess
from lora_lab.runs import owner
from lora_lab.runs.durations import Paces, estimate_seconds_left
from lora_lab.runs.finalize import cut_off, end_refused, fail_silent_run, write_terminal_event
from lora_lab.runs.folder import RunFolder, create_run, list_runs, open_run
from lora_lab.runs.grouping import take_cells
from lora_lab.runs.sweeps import Sweep, create_sweep, open_sweep
from lora_lab.runs.table import ResultsTable
from lora_lab.settings.grid import Grid
from lora_lab.spec import RunSpec
from study.base.errors import LearnerError
from study.base.settings import Settings

CLOSE_GRACE_SECONDS = 20


class LocalEngine:
    """An engine that does submitted runs in order, one job at a time. Safe to call from several threads.

    A run's state is in its folder only: after a restart, queued runs continue in their order, and a run that
    was cut off is marked so; in a sweep another run replaces it.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        warm: bool = True,
        own_only: bool = False,
        gather: Gather = take_cells,
        fork_server: ForkServer | None = None,
    ) -> None:
        """Create the engine. `own_only` is for a command line: it takes up no earlier runs, and this process
        owns what it submits, so an app on the same data folder leaves it alone. With a `fork_server` all
        workers of the lab but the first one start from it.
        """
        self.settings = settings
        self.home = LabHome(settings.home)
        self.fork_server = fork_server
        self.is_warm = warm
        """Whether a worker is started before the first job."""

        self._own_only = own_only
        self._gather = gather
        self._changed = threading.Condition(threading.RLock())
        self._queue = RunQueue(None if own_only else locate_queue(settings))
        self._table = ResultsTable(settings.runs_dir, settings.sweeps_dir)
        self._paces = Paces(settings.runs_dir)
        self._left_over: list[RunFolder] = []
        self._current: tuple[RunFolder, ...] = ()
        self._worker: WorkerProcess | None = None
        self._closing = False
        self._thread = threading.Thread(target=self._serve, name="lab-engine", daemon=True)
        self.before_run: list[Callable[[RunFolder], None]] = []
        """Callbacks that make everything else on this machine free its memory; they may take a while."""

    def start(self) -> None:
        """Take up the runs that an earlier process left, and start serving."""
        if not self._own_only:
            left = [(run, run.state()) for run in list_runs(self.settings.runs_dir)][::-1]
            self._queue.take_up(run for run, state in left if is_waiting(state))
            self._left_over = [run for run, state in left if is_left_over(state)]
        self.warm_up()
        self._thread.start()

    def warm_up(self) -> None:
        """Start the warm worker, where one is wanted and none is there."""
        if self.is_warm and self._worker is None:
            self._start_worker()

    def submit(
        self,
        spec: RunSpec,
        dataset: Dataset,
        *,
        now: datetime,
        learner: str = "",
        within_seconds: float = 0,
    ) -> RunFolder:
        """Queue a run. It exists on disk when this returns. `within_seconds` is a time to keep to; 0: none.

        A run with the name of a learner waits for that learner's turn. Raises LearnerError when their share
        is used up.
        """
        with self._changed:
            if learner:
                self._queue.check_share(learner)
            run = create_run(self.settings.runs_dir, spec, dataset, now=now, within_seconds=within_seconds)
            self._enqueue({run: {}}, learner=learner)
        return run

    def find_learner(self, run_id: str) -> str:
        """Return the learner who asked for a run that waits or is trained; empty for all other runs."""
        with self._changed:
            return self._queue.find_learner(run_id)

    def submit_sweep(
        self,
        grid: Grid,
        dataset: Dataset,
        *,
        now: datetime,
        one_alone: bool = False,
        first: Sequence[int] = (),
    ) -> Sweep:
        """Queue every cell of a grid, in its order. All of it exists on disk when this returns.

        Cells side by side share one measured peak; with `one_alone` some are kept apart (engine/marks.py).
        `first` are positions of cells that are queued before the others, in this order.
        """
        sweep = create_sweep(self.settings.sweeps_dir, self.settings.runs_dir, grid, dataset, now=now)
        runs = [RunFolder(self.settings.runs_dir / run_id) for run_id in sweep.run_ids]
        first_seed = grid.seeds[0] if one_alone else None
        marks = mark_cells(grid.list_specs(), sweep.sweep_id, first_seed=first_seed)
        order = [*first, *(place for place in range(len(runs)) if place not in first)]
        self._enqueue({runs[place]: marks[place] for place in order})
        return sweep

    def resume_sweep(self, sweep_id: str, *, now: datetime) -> Sweep:
        """Queue the rest of a sweep: cells without an owner, and another run for each one that was cut off.

        Raises LearnerError while another process works on it.
        """
        await_workers(self.settings, sweep_id, except_for=self._list_own())
        with self._changed:
            self._enqueue(list_unfinished(self.settings, sweep_id, now=now, except_for=self._list_own()))
        return open_sweep(self.settings.sweeps_dir, sweep_id)

    def stop(self, run_id: str) -> None:
        """Stop a run after its current step and keep its adapter; a waiting run leaves the queue."""
        self._stop([open_run(self.settings.runs_dir, run_id)])

    def stop_sweep(self, sweep_id: str) -> None:
        sweep = open_sweep(self.settings.sweeps_dir, sweep_id)
        self._stop([run for _, run in sweep.cells(self.settings.runs_dir) if run is not None])

    def retry(self, run_id: str, *, now: datetime) -> RunFolder:
        """Queue another run with the settings and data of an ended one; in a sweep it replaces that run."""
        old = open_run(self.settings.runs_dir, run_id)
        with self._changed:
            fresh = create_retry(self.settings, old, now=now)
            self._enqueue({fresh: read_marks(old.state())})
        return fresh

    def retry_sweep(self, sweep_id: str, *, now: datetime) -> int:
        """Queue another run for each cancelled, stopped or failed cell of a sweep; return how many."""
        with self._changed:  # no cell begins before those that it is trained side by side with
            fresh, refused = create_retries(self.settings, sweep_id, now=now)
            self._enqueue(fresh)
        if refused is not None:  # a disk that is full by now
            raise refused
        return len(fresh)

    def move(self, run_id: str, position: int) -> None:
        """Move a waiting run to a position, 0 being the next. Raises LearnerError if it isn't waiting."""
        with self._changed:
            self._queue.move(run_id, position)

    def pause(self) -> None:
        """Start no further run; the current one continues. The pause persists after the app ends."""
        with self._changed:
            self._queue.pause(True)

    def resume(self) -> None:
        with self._changed:
            self._queue.pause(False)
            self._changed.notify_all()

    @property
    def is_paused(self) -> bool:
        with self._changed:
            return self._queue.is_paused

    def list_waiting(self) -> list[str]:
        """List the ids of the queued runs, next first."""
        with self._changed:
            return [run.run_id for run in self._queue]

    def estimate_seconds_left(self, *, now: datetime) -> float | None:
        """Estimate seconds until the queue is empty, from finished runs; None while one run is unknown."""
        with self._changed:
            runs = [*self._current, *self._queue]
        return estimate_seconds_left(runs, self._paces.list_newest_first(), now=now.timestamp())

    def find_current(self) -> str | None:
        """Find the id of the current run; the first one, where several are trained side by side."""
        with self._changed:
            return self._current[0].run_id if self._current else None

    def read_worker_state(self) -> dict[str, Any]:
        """Read what the warm worker last said of itself, or that it ended before it was ready."""
        state = self.home.read_worker_state()
        with self._changed:
            ended = self._worker is not None and not self._worker.is_alive and not self._current
        return state | ENDED_EARLY if ended and state["state"] == "preparing" else state

    def retry_model(self) -> None:
        """Start a fresh warm worker, for example after the network came back."""
        with self._changed:
            if not self._current:
                if self._worker is not None:
                    self._worker.kill()
                self._start_worker()

    def close(self, *, grace_seconds: float = CLOSE_GRACE_SECONDS) -> None:
        """Let a run save its adapter and end.

        A worker in the middle of a longer step is left to it: its standard input is closed, so it saves the
        adapter after that step and ends by itself. Every other worker is killed after the grace period.
        """
        with self._changed:
            self._closing = True
            worker, current = self._worker, self._current
            self._changed.notify_all()
        if worker is not None:
            worker.ask_to_end()
            has_ended = worker.wait(grace_seconds if current else 0)
            if not has_ended and not any(run.state().steps for run in current):
                worker.kill()
        if self._thread.is_alive() and (worker is None or not worker.is_alive):
            self._thread.join(grace_seconds)

    def _list_own(self) -> set[RunFolder]:
        with self._changed:
            return {*self._queue, *self._current}

    def _enqueue(self, runs: Mapping[RunFolder, Marks], *, first: bool = False, learner: str = "") -> None:
        holder = {"held_by": owner.name_this_process()} if self._own_only else {}
        for run, marks in runs.items():
            run.emit("queued", **marks, **holder)
        with self._changed:
            self._queue.add(*runs, first=first, learner=learner)
            self._changed.notify_all()
        for run in list(runs)[:1]:
            self._table.write_for(run)

    def _stop(self, runs: Sequence[RunFolder]) -> None:
        """Take the runs that wait out of the queue together, so that none of them begins meanwhile."""
        with self._changed:
            waiting = [run for run in runs if run in self._queue]
            self._queue.remove(*waiting)
            for run in waiting:
                run.emit("stopped", step=0)
            for run in runs:
                if not (state := run.state()).ended:
                    run.ask_to_stop()  # this app or another process may be at work on it
                    if run not in (*self._current, *self._left_over) and is_abandoned(self.settings, state):
                        run.emit("stopped", step=len(state.steps))
                    elif run in self._current and self._worker is not None:
                        watched = (run, self._worker)
                        threading.Thread(target=self._end_if_silent, args=watched, daemon=True).start()
        for run in runs[:1]:
            self._table.write_for(run)

    def _serve(self) -> None:
        for run in reversed(self._left_over):
            with suppress(LearnerError, OSError):  # without its data, or on a full disk, the run stays ended
                self._restart(run)
        while self._take_job():
            try:
                self._do_job()
            except (LearnerError, OSError) as error:  # a folder that is gone, a disk that takes no event
                self._give_up(error)
            self._end_job()

    def _restart(self, run: RunFolder) -> None:
        """Write the last event of a run that an earlier app left; in a sweep another one takes its place."""
        await_worker(run)
        self._table.write_for(run)
        with self._changed:
            if should_restart(self.settings, run):
                fresh = create_retry(self.settings, run, now=datetime.now(UTC))
                self._enqueue({fresh: read_marks(run.state())}, first=True)

    def _take_job(self) -> bool:
        """Wait for the next job; return False once the app closes."""
        with self._changed:
            self._changed.wait_for(self._may_go_on)
            if not self._closing:
                self._current = self._queue.take(self._gather)
            return not self._closing

    def _do_job(self) -> None:
        self._leave_out_stopped()
        for make_room in self.before_run:
            if self._current:
                make_room(self._current[0])
        self._leave_out_stopped()  # making room may take minutes
        with self._changed:
            if self._closing or not self._current:
                return
            if self._worker is None or not self._worker.is_alive:
                self._start_worker("--cold")
            worker = self._worker
        assert worker is not None
        self._work(self._current, worker)

    def _leave_out_stopped(self) -> None:
        """End those of the current runs that were stopped before they began."""
        with self._changed:
            for run in self._current:
                if run.stop_path.exists():
                    run.emit("stopped", step=0)
                    self._table.write_for(run)
            self._current = tuple(run for run in self._current if not run.stop_path.exists())

    def _give_up(self, error: Exception) -> None:
        """End the current runs, which could not be worked on, and go on with the queue. On a disk that takes
        not even their last event it is paused, so that the waiting runs are not lost one after the other.
        """
        for run in self._current:
            try:
                end_refused(run, error)
            except OSError:
                if run.path.is_dir():
                    self.pause()

    def _end_job(self) -> None:
        """Drop the current runs, and end their worker unless the next job uses the same model."""
        with self._changed:
            job, worker = self._current, self._worker
            goes_on = not self._closing and self._queue.continues_sweep(job)
            keep = goes_on and worker is not None and worker.is_alive
            self._current = ()
            self._queue.end_job()
            self._changed.notify_all()
        if keep or not job or worker is None:
            return
        worker.finish(CLOSE_GRACE_SECONDS)  # memory is then certainly free
        with self._changed:
            if self._worker is not worker:  # retry_model has started another one meanwhile
                return
            self._worker = None
            if self.is_warm and not self._closing and not self._queue:
                with suppress(OSError):  # no memory for another process: the next job starts one
                    self._start_worker()

    def _may_go_on(self) -> bool:
        return self._closing or (bool(self._queue) and not self._queue.is_paused)

    def _work(self, job: Sequence[RunFolder], worker: WorkerProcess) -> None:
        """Do a job and make sure that each of its runs has a terminal event."""
        said = self.home.read_worker_state()
        is_ready = (said["state"], said.get("pid")) == ("ready", worker.pid)
        text = "Preparing the run" if is_ready else "Starting the worker"
        for run in job:
            run.emit("status", text=text, worker_pid=worker.pid)
        exit_code = worker.do(job)
        for run in job:
            if self._closing:
                cut_off(run)
            elif worker.was_killed:
                fail_silent_run(run, STOP_GRACE_SECONDS)
            write_terminal_event(run, exit_code or 0)
            self._table.write_for(run)

    def _start_worker(self, *extra: str) -> None:
        """Start a worker. One with a waiting run loads that run's model, not the default one first."""
        with suppress(OSError):  # a full disk: only the status on the page stays behind
            self.home.write_worker_state(state="preparing", text="Starting the training worker")
        self._worker = WorkerProcess(self.settings, extra, fork_server=self.fork_server)

    def _end_if_silent(self, run: RunFolder, worker: WorkerProcess) -> None:
        """Wait for the end of a run that was asked to stop; end a worker that has fallen silent."""

        def has_ended(seconds: float) -> bool:
            with self._changed:
                is_done = self._changed.wait_for(lambda: run not in self._current, seconds)
            return is_done or run.state().ended

        if is_silent(self._current, has_ended):
            worker.kill()
