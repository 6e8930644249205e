"""The local engine: a run queue, one worker at a time, and a warm worker ready for the next run."""

import threading
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from datetime import UTC, datetime

from lora_lab.data.datasets import Dataset
from lora_lab.data.lab_folder import LabHome
from lora_lab.engine.grouping import group_by_base, take_cells
from lora_lab.engine.queue import Gather, RunQueue, queue_path
from lora_lab.engine.retries import (
    await_worker,
    begins_anew,
    create_retry,
    is_left_over,
    is_waiting,
    sweep_of,
    what_is_left,
)
from lora_lab.engine.stopping import STOP_GRACE_SECONDS, falls_silent
from lora_lab.engine.worker_process import WorkerProcess, start_worker
from lora_lab.runs import owner
from lora_lab.runs.durations import Paces, seconds_of
from lora_lab.runs.finalize import close_the_books, cut_off, end_silent
from lora_lab.runs.folder import RunFolder, create_run, list_runs, open_run
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
        memory_limit_bytes: int = 0,
        own_only: bool = False,
        gather: Gather = take_cells,
    ) -> None:
        """Create the engine. `own_only` is for a command line: it takes up no earlier runs, and this process
        owns what it submits, so an app on the same data folder leaves it alone.
        """
        self.settings = settings
        self.home = LabHome(settings.home)
        self._warm = warm
        self._memory_limit_bytes = memory_limit_bytes
        self._own_only = own_only
        self._gather = gather
        self._changed = threading.Condition(threading.RLock())
        self._queue = RunQueue(None if own_only else queue_path(settings))
        self._table = ResultsTable(settings.runs_dir)
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
        if self._warm and self._worker is None:
            self._start_worker()

    def submit(self, spec: RunSpec, dataset: Dataset, *, now: datetime, learner: str = "") -> RunFolder:
        """Queue a run. It exists on disk when this returns.

        A run with the name of a learner waits for that learner's turn. Raises LearnerError when their share
        is used up.
        """
        with self._changed:
            if learner:
                self._queue.check_share(learner)
            run = create_run(self.settings.runs_dir, spec, dataset, now=now)
            self._enqueue([run], learner=learner)
        return run

    def learner_of(self, run_id: str) -> str:
        """Return the learner who asked for a run that waits or is trained; empty for all other runs."""
        with self._changed:
            return self._queue.learner_of(run_id)

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

        Cells side by side share one measured peak. With `one_alone`, the first cell of each base is trained
        by itself, so that every bit width has a measured peak beside its computed ones, and those of the
        first seed don't share a job with the others, so that settings can be compared early. `first` are
        positions of cells that are queued before the others, in this order.
        """
        sweep = create_sweep(self.settings.sweeps_dir, self.settings.runs_dir, grid, dataset, now=now)
        runs = [RunFolder(self.settings.runs_dir / run_id) for run_id in sweep.run_ids]
        together = group_by_base([run.spec for run in runs]) if one_alone else []
        alone = {runs[places[0]].run_id for places in together if len(places) > 1}
        first_seed = {run.run_id for run in runs if one_alone and run.spec.seed == grid.seeds[0]}
        order = [*first, *(place for place in range(len(runs)) if place not in first)]
        self._enqueue([runs[place] for place in order], sweep.sweep_id, alone=alone, first_seed=first_seed)
        return sweep

    def go_on(self, sweep_id: str, *, now: datetime) -> Sweep:
        """Queue the rest of a sweep: cells without an owner, and another run for each one that was cut off.

        Raises LearnerError while another process works on it.
        """
        with self._changed:
            mine = {*self._queue, *self._current}
        self._enqueue(what_is_left(self.settings, sweep_id, now=now, except_for=mine), sweep_id)
        return open_sweep(self.settings.sweeps_dir, sweep_id)

    def stop(self, run_id: str) -> None:
        """Stop a run after its current step and keep its adapter; a waiting run leaves the queue."""
        run = open_run(self.settings.runs_dir, run_id)
        with self._changed:
            if run in self._queue:
                self._queue.remove(run)
                run.emit("stopped", step=0)
            elif not run.state().ended:
                run.ask_to_stop()  # whoever works on it
                if run in self._current and self._worker is not None:
                    end = threading.Thread(target=self._end_if_silent, args=(run, self._worker), daemon=True)
                    end.start()
        self._tabulate(run)

    def stop_sweep(self, sweep_id: str) -> None:
        """Stop all cells that have not ended, waiting ones first."""
        for run_id in reversed(open_sweep(self.settings.sweeps_dir, sweep_id).run_ids):
            self.stop(run_id)

    def retry(self, run_id: str, *, now: datetime) -> RunFolder:
        """Queue another run with the settings and data of an ended one; in a sweep it replaces that run."""
        old = open_run(self.settings.runs_dir, run_id)
        with self._changed:
            fresh = create_retry(self.settings, old, now=now)
            self._enqueue([fresh], old.state().sweep)
        return fresh

    def move(self, run_id: str, position: int) -> None:
        """Move a waiting run to a position, 0 being the next. Raises LearnerError if it isn't waiting."""
        with self._changed:
            self._queue.move(run_id, position)

    def pause(self) -> None:
        """Start no further run; the current one continues. The pause persists after the app ends."""
        with self._changed:
            self._queue.pause(True)

    def resume(self) -> None:
        """Continue with the queue."""
        with self._changed:
            self._queue.pause(False)
            self._changed.notify_all()

    @property
    def is_paused(self) -> bool:
        """Whether the queue is paused."""
        with self._changed:
            return self._queue.is_paused

    def waiting(self) -> list[str]:
        """List the ids of the queued runs, next first."""
        with self._changed:
            return [run.run_id for run in self._queue]

    def seconds_left(self, *, now: datetime) -> float | None:
        """Estimate seconds until the queue is empty, from finished runs; None while one run is unknown."""
        with self._changed:
            current, waiting = self._current, list(self._queue)
        paces = self._paces.newest_first()
        total = 0.0
        for run in (*current, *waiting):
            seconds = seconds_of(run.spec, paces)
            if seconds is None:
                return None
            began_at = run.state().began_at or now.timestamp()
            # Runs side by side go through the same time together.
            passed = (now.timestamp() - began_at) / max(1, len(current))
            total += max(0.0, seconds - passed)
        return total

    @property
    def is_warm(self) -> bool:
        """Whether a worker is started before the first job."""
        return self._warm

    def current(self) -> str | None:
        """Return the id of the current run; the first one, where several are trained side by side."""
        with self._changed:
            return self._current[0].run_id if self._current else None

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

    def _enqueue(
        self,
        runs: Sequence[RunFolder],
        sweep_id: str = "",
        *,
        first: bool = False,
        alone: Collection[str] = (),
        first_seed: Collection[str] = (),
        learner: str = "",
    ) -> None:
        marks = {"sweep": sweep_id} if sweep_id else {}
        marks |= {"held_by": owner.this_process()} if self._own_only else {}
        for run in runs:
            named = {"alone": run.run_id in alone, "first_seed": run.run_id in first_seed}
            run.emit("queued", **marks, **{name: True for name, holds in named.items() if holds})
        with self._changed:
            self._queue.add(*runs, first=first, learner=learner)
            self._changed.notify_all()
        for run in runs[:1]:
            self._tabulate(run)

    def _serve(self) -> None:
        for run in reversed(self._left_over):
            await_worker(run)
            self._tabulate(run)
            if begins_anew(self.settings, run):
                with suppress(LearnerError, OSError):  # without its data the run stays ended
                    fresh = create_retry(self.settings, run, now=datetime.now(UTC))
                    self._enqueue([fresh], run.state().sweep, first=True)
        while True:
            with self._changed:
                self._changed.wait_for(self._may_go_on)
                if self._closing:
                    return
                job = self._current = self._take()
            if not job:
                with self._changed:
                    self._queue.end_job()
                continue
            if not self._make_room(job):
                return
            with self._changed:
                if self._worker is None or not self._worker.is_alive:
                    self._start_worker("--cold")
                worker = self._worker
            assert worker is not None
            self._work(job, worker)
            with self._changed:
                self._current = ()
                self._queue.end_job()
                self._changed.notify_all()
                keep = worker.is_alive and self._goes_on_after(job)
            if keep:
                continue
            worker.finish(CLOSE_GRACE_SECONDS)  # memory is then certainly free
            with self._changed:
                self._worker = None
                if self._warm and not self._closing and not self._queue:
                    self._start_worker()

    def _take(self) -> tuple[RunFolder, ...]:
        """Take the next job, without runs that another process has stopped meanwhile."""
        job = self._queue.take(self._gather)
        for run in job:
            if run.stop_path.exists():
                run.emit("stopped", step=0)
                self._tabulate(run)
        return tuple(run for run in job if not run.stop_path.exists())

    def _make_room(self, job: Sequence[RunFolder]) -> bool:
        """Call the callbacks before a run; return False if the app has closed meanwhile."""
        for make_room in self.before_run:
            make_room(job[0])
        return not self._closing

    def _may_go_on(self) -> bool:
        return self._closing or (bool(self._queue) and not self._queue.is_paused)

    def _goes_on_after(self, job: Sequence[RunFolder]) -> bool:
        """Return whether the next job is of the same sweep: then its process and loaded model are reused."""
        sweep = job[0].state().sweep
        following = next(iter(self._queue), None)
        if not sweep or following is None or self._closing or self._queue.is_paused:
            return False
        return following.state().sweep == sweep

    def _work(self, job: Sequence[RunFolder], worker: WorkerProcess) -> None:
        """Do a job and make sure that each of its runs has a terminal event."""
        text = "Preparing the run" if self._is_ready(worker) else "Starting the worker"
        for run in job:
            run.emit("status", text=text, worker_pid=worker.pid)
        exit_code = worker.do(job)
        for run in job:
            if self._closing:
                cut_off(run)
            elif worker.was_killed:
                end_silent(run, STOP_GRACE_SECONDS)
            close_the_books(run, exit_code or 0)
            self._tabulate(run)

    def _tabulate(self, run: RunFolder) -> None:
        sweep = sweep_of(self.settings, run.state())
        if sweep is not None:
            with suppress(
                OSError
            ):  # a full disk: the queue continues, and the next cell's end writes the table again
                self._table.write(sweep)

    def _is_ready(self, worker: WorkerProcess) -> bool:
        state = self.home.worker_state()
        return (state["state"], state.get("pid")) == ("ready", worker.pid)

    def _start_worker(self, *extra: str) -> None:
        """Start a worker. One with a waiting run loads that run's model, not the default one first."""
        with suppress(OSError):  # a full disk: only the status on the page stays behind
            self.home.write_worker_state(state="preparing", text="Starting the training worker")
        self._worker = WorkerProcess(self.settings, extra, memory_limit_bytes=self._memory_limit_bytes)

    def _end_if_silent(self, run: RunFolder, worker: WorkerProcess) -> None:
        """Wait for the end of a run that was asked to stop; end a worker that has fallen silent."""

        def has_ended(seconds: float) -> bool:
            with self._changed:
                is_done = self._changed.wait_for(lambda: run not in self._current, seconds)
            return is_done or run.state().ended

        if falls_silent(self._current, has_ended):
            worker.kill()


def run_now(
    settings: Settings, spec: RunSpec, dataset: Dataset, *, now: datetime, watch: Callable[[RunFolder], None]
) -> RunFolder:
    """Do one run in its own worker, for the command line. Ctrl-C stops it and keeps the adapter."""
    run = create_run(settings.runs_dir, spec, dataset, now=now)
    run.emit("queued", held_by=owner.this_process())
    log = (run.path / "stdout.log").open("ab")
    with log:
        worker = start_worker(settings, ["--run", str(run.path)], 0, log=log.fileno())
        run.emit("status", text="Starting the worker", worker_pid=worker.pid)
        try:
            while worker.poll() is None:
                watch(run)
        except KeyboardInterrupt:
            run.ask_to_stop()
            worker.wait()
    close_the_books(run, worker.returncode)
    watch(run)
    return run
