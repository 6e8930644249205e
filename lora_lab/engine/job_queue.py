"""A desk where jobs wait in line for one worker process, which is started on demand and ended when idle.

The worker computes, so it and a training run would slow each other: a job that comes while a run trains
waits, and a run that comes while a job is worked on makes it give way.
"""

import contextlib
import json
import os
import subprocess
import threading
from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import IO, Any, ClassVar, Generic, Literal, TypeVar, cast

from lora_lab.engine.local import LocalEngine
from lora_lab.engine.worker_process import start_worker
from lora_lab.runs.folder import RunFolder
from study.base.settings import Settings

IDLE_SECONDS = 180
LOOK_SECONDS = 0.3
KEPT_JOBS = 50

Status = Literal["waiting", "working", "done", "stopped", "failed"]


@dataclass(frozen=True, kw_only=True)
class Job:
    """What waits at a desk, and how far it is."""

    id: str
    status: Status = "waiting"
    doing: str = ""
    problem: str = ""

    @property
    def ended(self) -> bool:
        """Nothing more will come."""
        return self.status in ("done", "stopped", "failed")


J = TypeVar("J", bound=Job)


class Desk(ABC, Generic[J]):
    """Takes jobs from any thread; the last fifty are remembered.

    Its worker reads an order a line, and answers in lines that name the job (worker/inspect/json_lines.py).
    """

    name: ClassVar[str]
    worker_option: ClassVar[str]
    waits_for: ClassVar[str]
    """Said of a run that waits for a job to end."""

    patience_seconds: ClassVar[float]
    """How long a run waits; then the job goes back into the line."""

    lost: ClassVar[str]
    """Said of a job whose worker died."""

    def __init__(self, settings: Settings, engine: LocalEngine) -> None:
        self._settings, self._engine = settings, engine
        self._changed = threading.Condition()
        self._jobs: dict[str, J] = {}
        self._worker: subprocess.Popen[bytes] | None = None
        self._thread: threading.Thread | None = None
        self._closing = False
        engine.before_run.append(self.give_way)

    @abstractmethod
    def order_of(self, job: J) -> dict[str, Any]:
        """What the worker is told."""

    @abstractmethod
    def after(self, job: J, said: dict[str, Any]) -> J:
        """The job after something the worker said that is no ending."""

    @abstractmethod
    def stop_working(self, job: J) -> None:
        """End the job in hand; with the lock held."""

    def start_worker(self) -> "subprocess.Popen[bytes]":
        """A process that reads orders and answers them, its ends of the pipes open."""
        return start_worker(self._settings, [self.worker_option], 0, answers=True)

    def find(self, job_id: str) -> J | None:
        """A job by its id, while it is remembered."""
        with self._changed:
            return self._jobs.get(job_id)

    def stop(self, job_id: str) -> None:
        """End a job, or take a waiting one back."""
        with self._changed:
            job = self._jobs.get(job_id)
            if job is None or job.ended:
                return
            if job.status == "waiting" or self._worker is None:
                self.put(replace(job, status="stopped", doing=""))
            else:
                self.stop_working(job)

    def give_way(self, run: RunFolder) -> None:
        """Called before a run is worked on: let the job in hand end, then give its memory back."""
        with self._changed:
            if self._in_hand():
                run.emit("status", text=self.waits_for)
                self._changed.wait_for(lambda: not self._in_hand(), self.patience_seconds)
            for job in self._in_hand():
                self.put(replace(job, status="waiting", doing=""))
            self.end_worker()

    def close(self) -> None:
        """End the worker; jobs in hand are lost."""
        with self._changed:
            self._closing = True
            self.end_worker()
            self._changed.notify_all()

    def line_up(self, job: J) -> J:
        """Put a job in line."""
        with self._changed:
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
        """Replace a job by what became of it; with the lock held."""
        self._jobs[job.id] = job
        self._changed.notify_all()

    def tell(self, order: dict[str, Any]) -> None:
        """Hand the worker a line; with the lock held."""
        with contextlib.suppress(BrokenPipeError, ValueError):
            stdin = cast(IO[bytes], cast("subprocess.Popen[bytes]", self._worker).stdin)
            stdin.write((json.dumps(order) + os.linesep).encode())
            stdin.flush()

    def end_worker(self) -> None:
        """Kill it, if there is one; with the lock held."""
        if self._worker is not None:
            self._worker.kill()
            self._worker.wait()
            with contextlib.suppress(OSError):
                cast(IO[bytes], self._worker.stdin).close()
            self._worker = None

    def _in_hand(self) -> list[J]:
        return [job for job in self._jobs.values() if job.status == "working"]

    def _serve(self) -> None:
        while (job := self._next()) is not None:
            self._work(job)

    def _next(self) -> J | None:
        """The next job once no run trains; None when the app closes. An idle worker is ended."""
        with self._changed:
            while not self._closing:
                waiting = [job for job in self._jobs.values() if job.status == "waiting"]
                if waiting and self._engine.current() is None:
                    chosen = replace(waiting[0], status="working", doing="Starting its process")
                    self.put(chosen)
                    return chosen
                if waiting:
                    self._changed.wait(LOOK_SECONDS)  # the engine does not say when it is free
                elif not self._changed.wait(IDLE_SECONDS):
                    self.end_worker()
            return None

    def _work(self, job: J) -> None:
        with self._changed:
            if self._closing or self._jobs.get(job.id) is not job:  # taken back, or gave way, meanwhile
                return
            if self._worker is None or self._worker.poll() is not None:
                self._worker = self.start_worker()
            worker = self._worker
            self.tell({"job": job.id} | self.order_of(job))
        for line in cast(IO[bytes], worker.stdout):
            try:
                said = json.loads(line)
            except ValueError:  # killed in the middle of a line
                break
            if said["job"] != job.id:  # the rest of a job that nobody waits for
                continue
            job = self._ended(job, said) if "end" in said else self.after(job, said)
            with self._changed:
                if self._worker is not worker:  # what became of the job stands with who ended the worker
                    return
                self.put(job)
            if job.ended:
                return
        with self._changed:
            if self._worker is worker:
                self.put(replace(job, status="failed", problem=self.lost))

    def _ended(self, job: J, said: dict[str, Any]) -> J:
        problem = f"{said['what']} {said['do_next']}" if said["end"] == "failed" else ""
        return replace(job, status=said["end"], doing="", problem=problem)
