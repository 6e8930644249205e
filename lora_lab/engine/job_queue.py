"""A job queue with one worker process, which is started on demand and ended when idle.

The worker computes, so it and a training run would slow each other down: a job that is submitted while a run
trains waits, and a run that starts during a job makes the job yield.
"""

import contextlib
import json
import os
import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import IO, Any, ClassVar, Generic, Literal, TypeVar, cast

from lora_lab.engine.local import LocalEngine
from lora_lab.engine.worker_process import Worker, kill_worker, start_worker
from lora_lab.runs.folder import RunFolder
from study.base.errors import LearnerError
from study.base.settings import Settings

IDLE_SECONDS = 180
LOOK_SECONDS = 0.3
KEPT_JOBS = 50
WAITING_OF_ONE = 20
WAITING_OF_ALL = 100
"""How many jobs may wait. Cells of grids aren't among them: they wait in the engine's queue."""

Status = Literal["waiting", "working", "done", "stopped", "failed"]


@dataclass(frozen=True, kw_only=True)
class Job:
    """A job in a queue, and its progress."""

    id: str
    status: Status = "waiting"
    doing: str = ""
    problem: str = ""
    asked_by: str = ""
    """The learner's profile id; empty for a command line."""

    @property
    def ended(self) -> bool:
        """Whether the job is done, stopped or failed."""
        return self.status in ("done", "stopped", "failed")


J = TypeVar("J", bound=Job)


class JobQueue(ABC, Generic[J]):
    """A job queue that takes jobs from any thread and remembers the last fifty.

    Its worker reads one order per line and answers in lines that name the job (worker/inspect/json_lines.py).
    """

    name: ClassVar[str]
    worker_option: ClassVar[str]
    waits_for: ClassVar[str]
    """The status text of a run that waits for a job to end."""

    patience_seconds: ClassVar[float]
    """How long a run waits; then the job goes back into the queue."""

    starting: ClassVar[str]
    """What a job says while its worker's process starts, which takes 8 s on an idle processor without a
    fork server.
    """

    lost: ClassVar[str]
    """The problem text of a job whose worker died."""

    def __init__(self, settings: Settings, engine: LocalEngine) -> None:
        self._settings, self._engine = settings, engine
        self._changed = threading.Condition()
        self._jobs: dict[str, J] = {}
        self._worker: Worker | None = None
        self._thread: threading.Thread | None = None
        self._closing = False
        engine.before_run.append(self.yield_to_run)

    @abstractmethod
    def build_order(self, job: J) -> dict[str, Any]:
        """Build the order that the worker reads."""

    @abstractmethod
    def update_from(self, job: J, said: dict[str, Any]) -> J:
        """Return the job after a worker's message that doesn't end it."""

    @abstractmethod
    def stop_working(self, job: J) -> None:
        """Stop the working job; the caller holds the lock."""

    def start_worker(self) -> Worker:
        """Start a process that reads orders and answers them, with its pipes open."""
        fork_server = self._engine.fork_server
        return start_worker(self._settings, [self.worker_option], answers=True, fork_server=fork_server)

    def find(self, job_id: str) -> J | None:
        """Find a job by its id, while it is remembered."""
        with self._changed:
            return self._jobs.get(job_id)

    def stop(self, job_id: str) -> None:
        """Stop a job, or cancel a waiting one."""
        with self._changed:
            job = self._jobs.get(job_id)
            if job is None or job.ended:
                return
            if job.status == "waiting" or self._worker is None:
                self.put(replace(job, status="stopped", doing=""))
            else:
                self.stop_working(job)

    def yield_to_run(self, run: RunFolder) -> None:
        """Let the working job end, then free its memory. Callback of the engine before a run."""
        with self._changed:
            if self._list_in_hand():
                run.emit("status", text=self.waits_for)
                self._changed.wait_for(lambda: not self._list_in_hand(), self.patience_seconds)
            for job in self._list_in_hand():
                self.put(replace(job, status="waiting", doing=""))
            self.end_worker()

    def close(self) -> None:
        """End the worker; working jobs are lost."""
        with self._changed:
            self._closing = True
            self.end_worker()
            self._changed.notify_all()

    def enqueue(self, job: J) -> J:
        """Enqueue a job. Raises LearnerError when too many wait already."""
        with self._changed:
            waiting = [each.asked_by for each in self._jobs.values() if each.status == "waiting"]
            if job.asked_by and waiting.count(job.asked_by) >= WAITING_OF_ONE:
                raise LearnerError(
                    f"{WAITING_OF_ONE} of your questions to the Lab are still waiting for an answer.",
                    do_next="Wait until one is answered, then ask again.",
                )
            if len(waiting) >= WAITING_OF_ALL:
                raise LearnerError(
                    f"{WAITING_OF_ALL} questions to the Lab are still waiting for an answer.",
                    do_next="Try again later.",
                )
            self._jobs.pop(job.id, None)
            self._jobs[job.id] = job
            for old in list(self._jobs)[:-KEPT_JOBS]:
                if self._jobs[old].ended:
                    del self._jobs[old]
            if self._thread is None:
                self._thread = threading.Thread(target=self._serve, name=self.name, daemon=True)
                self._thread.start()
            self._changed.notify_all()
        return job

    def put(self, job: J) -> None:
        """Replace a job by its new state; the caller holds the lock."""
        self._jobs[job.id] = job
        self._changed.notify_all()

    def tell(self, order: dict[str, Any]) -> None:
        """Write a line to the worker; the caller holds the lock."""
        with contextlib.suppress(BrokenPipeError, ValueError):
            stdin = cast(IO[bytes], cast(Worker, self._worker).stdin)
            stdin.write((json.dumps(order) + os.linesep).encode())
            stdin.flush()

    def end_worker(self) -> None:
        """Kill the worker and what it downloads, if it runs; the caller holds the lock."""
        if self._worker is not None:
            kill_worker(self._worker)
            with contextlib.suppress(OSError):
                cast(IO[bytes], self._worker.stdin).close()
            self._worker = None

    def end_idle_worker(self) -> None:
        """End the worker unless it works: the next job starts one with today's choices."""
        with self._changed:
            if not self._list_in_hand():
                self.end_worker()

    def _list_in_hand(self) -> list[J]:
        return [job for job in self._jobs.values() if job.status == "working"]

    def _worker_runs(self) -> bool:
        return self._worker is not None and self._worker.poll() is None

    def _serve(self) -> None:
        while (job := self._take_next()) is not None:
            self._work(job)

    def _take_next(self) -> J | None:
        """Take the next job once no run trains; None when the app closes. An idle worker is ended."""
        with self._changed:
            while not self._closing:
                waiting = [job for job in self._jobs.values() if job.status == "waiting"]
                if waiting and self._engine.find_current() is None:
                    doing = "" if self._worker_runs() else self.starting
                    chosen = replace(waiting[0], status="working", doing=doing)
                    self.put(chosen)
                    return chosen
                if waiting:
                    self._changed.wait(LOOK_SECONDS)  # polling, because the engine has no event for this
                elif not self._changed.wait(IDLE_SECONDS):
                    self.end_worker()
            return None

    def _work(self, job: J) -> None:
        with self._changed:
            if self._closing or self._jobs.get(job.id) is not job:  # cancelled or yielded to a run meanwhile
                return
            if not self._worker_runs():
                try:
                    self._worker = self.start_worker()
                except OSError as error:
                    problem = f"This machine could not start a process ({error.strerror}). Try again later."
                    self.put(replace(job, status="failed", doing="", problem=problem))
                    return
            worker = cast(Worker, self._worker)
            self.tell({"job": job.id} | self.build_order(job))
        for line in cast(IO[bytes], worker.stdout):
            try:
                said = json.loads(line)
            except ValueError:  # killed in the middle of a line
                break
            if said["job"] != job.id:  # the rest of an earlier job
                continue
            job = self._end(job, said) if "end" in said else self.update_from(job, said)
            with self._changed:
                if self._worker is not worker:  # what ended the worker has updated the job
                    return
                self.put(job)
            if job.ended:
                return
        with self._changed:
            if self._worker is worker:
                self.end_worker()  # alive for a moment after its output ended, it takes no other job
                self.put(replace(job, status="failed", problem=self.lost))

    def _end(self, job: J, said: dict[str, Any]) -> J:
        problem = f"{said['what']} {said['do_next']}" if said["end"] == "failed" else ""
        return replace(job, status=said["end"], doing="", problem=problem)
