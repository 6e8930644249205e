"""Worker processes that read model shapes: a few at a time, one for a browser, ended once no page polls."""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from lora_lab.engine.worker_process import Worker, kill_worker

AT_ONCE = 2  # each imports torch: some 300 MB and seconds of a core
PATIENCE_SECONDS = 5.0
"""Pages poll about every second while they wait; a shape without a poll for this long is no longer wanted."""


@dataclass
class _Job:
    asked_at: float
    browser_id: str
    process: Worker | None = None

    @property
    def is_running(self) -> bool:
        return self.process is not None and self.process.poll() is None


class ShapeJobs:
    """Jobs that read one shape per process. `start` starts a process, which writes to the lab's folder."""

    def __init__(self, start: Callable[[str], Worker], *, now: Callable[[], float] = time.monotonic) -> None:
        self._start = start
        self._now = now
        self._jobs: dict[str, _Job] = {}
        self._lock = threading.Lock()

    def is_working(self, model: str, *, browser_id: str) -> bool:
        """Return whether a model's shape is being read, or will be; the first call starts it.

        `browser_id` is the browser whose page asks. False once its process has ended: then the shape exists,
        or can't be read.
        """
        with self._lock:
            now = self._now()
            job = self._jobs.setdefault(model, _Job(asked_at=now, browser_id=browser_id))
            job.asked_at, job.browser_id = now, browser_id
            self._drop([name for name, each in self._jobs.items() if now - each.asked_at > PATIENCE_SECONDS])
            working_for = [each.browser_id for each in self._jobs.values() if each.is_running]
            if job.process is None and len(working_for) < AT_ONCE and browser_id not in working_for:
                job.process = self._start(model)
            return job.process is None or job.is_running

    def forget(self, model: str) -> None:
        """Drop a model's job, so the next call starts it again."""
        with self._lock:
            self._drop([model])

    def close(self) -> None:
        with self._lock:
            self._drop(list(self._jobs))

    def _drop(self, models: list[str]) -> None:
        for model in models:
            job = self._jobs.pop(model, None)
            if job is not None and job.process is not None:
                kill_worker(job.process)
