"""The local engine: a queue of runs, one worker at a time, and a warm worker kept ready for the next."""

import contextlib
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict
from datetime import datetime
from pathlib import Path

import psutil

from lora_lab.datasets import Dataset
from lora_lab.home import LabHome
from lora_lab.runs import failures
from lora_lab.runs.folder import RunFolder, create_run, list_runs, open_run
from lora_lab.runs.state import RunState, fold
from lora_lab.spec import RunSpec
from study.settings import Settings

STOP_GRACE_SECONDS = 60
CLOSE_GRACE_SECONDS = 20
LOG_TAIL_BYTES = 4000


class LocalEngine:
    """Runs what is submitted, in order, one at a time. Safe to call from several threads.

    A run lives in its folder only: after a restart queued runs go on, and one that was cut off says so.
    """

    def __init__(self, settings: Settings, *, warm: bool = True, memory_limit_bytes: int = 0) -> None:
        self.settings = settings
        self.home = LabHome(settings.home)
        self._warm = warm
        self._memory_limit_bytes = memory_limit_bytes
        self._lock = threading.Lock()
        self._changed = threading.Condition(self._lock)
        self._queue: list[RunFolder] = []
        self._left_over: list[RunFolder] = []
        self._current: RunFolder | None = None
        self._worker: subprocess.Popen[bytes] | None = None
        self._closing = False
        self._thread = threading.Thread(target=self._serve, name="lab-engine", daemon=True)
        self.before_run: Callable[[RunFolder], None] = _go_ahead
        """Whatever else computes on this machine makes room here; it may take a while."""

    def start(self) -> None:
        """Take up what an earlier process left, and begin to serve."""
        for run in reversed(list(list_runs(self.settings.runs_dir))):
            self._take_up(run)
        if self._warm:
            self._start_worker()
        self._thread.start()

    def submit(self, spec: RunSpec, dataset: Dataset, *, now: datetime) -> RunFolder:
        """Queue a run. It exists on disk when this returns."""
        run = create_run(self.settings.runs_dir, spec, dataset, now=now)
        run.emit("queued")
        with self._changed:
            self._queue.append(run)
            self._changed.notify_all()
        return run

    def stop(self, run_id: str) -> None:
        """Stop a run after its current step, keeping its adapter; a waiting run leaves the queue."""
        run = open_run(self.settings.runs_dir, run_id)
        with self._changed:
            if run in self._queue:
                self._queue.remove(run)
                run.emit("stopped", step=0)
                return
            if run == self._current and self._worker is not None:
                run.ask_to_stop()
                threading.Thread(target=self._end_after_grace, args=(self._worker,), daemon=True).start()

    def waiting(self) -> list[str]:
        """Ids of the runs in the queue, next first."""
        with self._lock:
            return [run.run_id for run in self._queue]

    @property
    def is_warm(self) -> bool:
        """Whether a worker is kept ready before anybody asks."""
        return self._warm

    def current(self) -> str | None:
        """Id of the run that is being worked on."""
        with self._lock:
            return self._current.run_id if self._current else None

    def retry_model(self) -> None:
        """Start a fresh warm worker, for example after the network came back."""
        with self._changed:
            if self._current is None:
                self._stop_worker()
                self._start_worker()

    def close(self) -> None:
        """Let a run keep what it has and end; never leaves a process behind."""
        with self._changed:
            self._closing = True
            worker, busy = self._worker, self._current is not None
            self._changed.notify_all()
        if worker is not None:
            if busy:
                _close_input(worker)
                _wait(worker, CLOSE_GRACE_SECONDS)
            _kill(worker)
        if self._thread.is_alive():
            self._thread.join(CLOSE_GRACE_SECONDS)

    def _take_up(self, run: RunFolder) -> None:
        state = fold(run.events())
        if state.ended:
            return
        if state.status == "queued":
            self._queue.append(run)
            return
        self._left_over.append(run)

    def _settle(self, run: RunFolder) -> None:
        """A run that an earlier app had begun: let its worker, if it still lives, save and end."""
        state = fold(run.events())
        if state.worker_pid:
            _wait_for_worker(state.worker_pid)
        if not fold(run.events()).ended:
            run.emit("failed", step=len(state.steps), **asdict(failures.app_closed(len(state.steps))))

    def _serve(self) -> None:
        for run in self._left_over:
            self._settle(run)
        while True:
            with self._changed:
                while not self._queue and not self._closing:
                    self._changed.wait()
                if self._closing:
                    return
                run = self._current = self._queue.pop(0)
            if not self._make_room(run):
                return
            with self._changed:
                if self._worker is None or self._worker.poll() is not None:
                    self._start_worker("--cold")
                worker = self._worker
            assert worker is not None
            self._work(run, worker)
            with self._changed:
                self._current = self._worker = None
                if self._warm and not self._closing and not self._queue:
                    self._start_worker()

    def _make_room(self, run: RunFolder) -> bool:
        """Whether to go on: the app may have been closed meanwhile."""
        self.before_run(run)
        return not self._closing

    def _work(self, run: RunFolder, worker: subprocess.Popen[bytes]) -> None:
        text = "Preparing the run" if self._is_ready(worker) else "Starting the worker"
        run.emit("status", text=text, worker_pid=worker.pid)
        assert worker.stdin is not None
        try:
            worker.stdin.write(f"{run.path}\n".encode())
            worker.stdin.flush()
        except (BrokenPipeError, ValueError):
            pass  # the worker is gone, or `close` was called a moment ago
        exit_code = worker.wait()
        close_the_books(run, exit_code)

    def _is_ready(self, worker: subprocess.Popen[bytes]) -> bool:
        state = self.home.worker_state()
        return (state["state"], state.get("pid")) == ("ready", worker.pid)

    def _start_worker(self, *extra: str) -> None:
        """With the lock held. One that a run waits for loads that run's model, not the default one first."""
        self.home.write_worker_state(state="preparing", text="Starting the training worker")
        self._worker = start_worker(self.settings, list(extra), self._memory_limit_bytes)

    def _stop_worker(self) -> None:
        """With the lock held; only ever the waiting one."""
        if self._worker is not None:
            _kill(self._worker)
        self._worker = None

    def _end_after_grace(self, worker: subprocess.Popen[bytes]) -> None:
        _wait(worker, STOP_GRACE_SECONDS)
        _kill(worker)


def _go_ahead(run: RunFolder) -> None:
    """Nothing else computes."""


def close_the_books(run: RunFolder, exit_code: int) -> RunState:
    """The run's final state; a worker that ended without saying how is a failed run with a cause in words."""
    state = fold(run.events())
    if state.ended:
        return state
    failure = failures.ended_early(
        run.spec,
        exit_code=exit_code,
        step=len(state.steps),
        saved_step=state.saved_step,
        last_lines=_log_tail(run),
    )
    run.emit("failed", step=len(state.steps), **asdict(failure))
    return fold(run.events())


def run_now(
    settings: Settings, spec: RunSpec, dataset: Dataset, *, now: datetime, watch: Callable[[RunFolder], None]
) -> RunFolder:
    """One run in a worker of its own, for the command line. Ctrl-C stops it and keeps the adapter."""
    run = create_run(settings.runs_dir, spec, dataset, now=now)
    run.emit("queued")
    log = (run.path / "stdout.log").open("ab")
    with log:
        worker = start_worker(settings, ["--run", str(run.path)], 0, log=log.fileno())
        try:
            while worker.poll() is None:
                watch(run)
        except KeyboardInterrupt:
            run.ask_to_stop()
            worker.wait()
    close_the_books(run, worker.returncode)
    watch(run)
    return run


def start_worker(
    settings: Settings,
    extra: list[str],
    memory_limit_bytes: int,
    *,
    log: int | None = None,
    answers: bool = False,
) -> subprocess.Popen[bytes]:
    """A worker process with the environment it needs before torch is imported.

    With `answers`, what it writes on standard output can be read here.
    """
    command = [sys.executable, "-m", "lora_lab.worker"]
    command += ["--home", str(settings.home), "--models-dir", str(settings.models_dir), *extra]
    if memory_limit_bytes:
        command += ["--memory-limit-bytes", str(memory_limit_bytes)]
    settings.home.mkdir(parents=True, exist_ok=True)
    output = (
        log
        if log is not None
        else os.open(settings.home / "worker.log", os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
    )
    try:
        return subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE if answers else output,
            stderr=output,
            env=worker_environment(),
            cwd=Path(__file__).resolve().parents[2],
            start_new_session=True,
        )
    finally:
        if log is None:
            os.close(output)


def worker_environment() -> dict[str, str]:
    """torch and bitsandbytes bring one OpenMP each; spinning, they starve each other (docs/traps.md 13)."""
    return os.environ | {
        "OMP_WAIT_POLICY": "PASSIVE",
        "TOKENIZERS_PARALLELISM": "false",
        "PYTHONUNBUFFERED": "1",
    }


def _wait_for_worker(pid: int) -> None:
    try:
        process = psutil.Process(pid)
        if "lora_lab.worker" in process.cmdline():
            process.wait(STOP_GRACE_SECONDS)
    except (psutil.Error, OSError):
        return


def _wait(worker: subprocess.Popen[bytes], seconds: float) -> None:
    with contextlib.suppress(subprocess.TimeoutExpired):
        worker.wait(seconds)


def _kill(worker: subprocess.Popen[bytes]) -> None:
    """End it at once unless it has ended, and the download it may have begun."""
    with contextlib.suppress(psutil.Error):
        for child in psutil.Process(worker.pid).children(recursive=True):
            child.kill()
    worker.kill()
    worker.wait()


def _close_input(worker: subprocess.Popen[bytes]) -> None:
    if worker.stdin is not None:
        with contextlib.suppress(BrokenPipeError):
            worker.stdin.close()


def _log_tail(run: RunFolder) -> str:
    try:
        return (run.path / "stdout.log").read_bytes()[-LOG_TAIL_BYTES:].decode("utf-8", "replace")
    except OSError:
        return ""
