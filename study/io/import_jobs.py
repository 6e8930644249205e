"""The queue of imports to plan: one at a time for a learner, a bounded number for the app."""

import threading
from concurrent.futures import Future, ThreadPoolExecutor
from concurrent.futures import TimeoutError as NotYetError
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from study.base.errors import LearnerError
from study.base.owner_log import note
from study.base.units import as_bytes
from study.io.planning import PlannedImport, Planner, Upload
from study.io.reading_process import build_stopped_error

MOST_WAITING = 20


@dataclass
class ImportJob:
    """One file that is being read. `purpose` is what its learner wants: to see it, or to import it."""

    upload: Upload
    purpose: dict[str, Any]
    future: "Future[PlannedImport]" = field(default_factory=Future)
    done: int = 0
    of: int = 0
    running: bool = False
    stopped: bool = False

    def wait_for_plan(self, seconds: float) -> PlannedImport | None:
        """Wait for the plan; None if it takes longer. Raises LearnerError when there is none."""
        try:
            return self.future.result(seconds)
        except NotYetError:
            return None

    def note_progress(self, done: int, of: int) -> None:
        """Note how far the reading is."""
        self.done, self.of = done, of


class ImportJobs:
    """Files that are read, by the id of their learner."""

    def __init__(self, planner: Planner) -> None:
        self._planner = planner
        self._lock = threading.Lock()
        self._jobs: dict[str, ImportJob] = {}
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="imports")

    def warm_up(self) -> None:
        self._thread.submit(self._planner.warm_up)

    def start(self, upload: Upload, purpose: dict[str, Any], *, now: datetime) -> ImportJob:
        """Queue a file; an earlier one of the same learner is stopped. Raises LearnerError if all is full."""
        self.stop(upload.profile_id)
        job = ImportJob(upload=upload, purpose=purpose)
        with self._lock:
            if len(self._jobs) >= MOST_WAITING:  # some may have been left by learners who closed the page
                self._jobs = {key: one for key, one in self._jobs.items() if not one.future.done()}
            if len(self._jobs) >= MOST_WAITING:
                raise LearnerError(
                    "Many files are being read at the moment.", do_next="Try again in a minute or two."
                )
            self._jobs[upload.profile_id] = job
        self._thread.submit(self._run, job, now)
        return job

    def find(self, profile_id: str) -> ImportJob | None:
        """Find the learner's file that is being read, or whose plan has not been fetched yet."""
        return self._jobs.get(profile_id)

    def forget(self, job: ImportJob) -> bool:
        """Forget a job that has ended; return whether no later one of its learner has taken its place."""
        with self._lock:
            current = self._jobs.get(job.upload.profile_id) is job
            if current:
                del self._jobs[job.upload.profile_id]
        return current

    def stop(self, profile_id: str) -> None:
        with self._lock:
            job = self._jobs.pop(profile_id, None)
            if job is None:
                return
            job.stopped = True
            if not job.running:
                job.future.set_exception(build_stopped_error(job.upload.name))
            elif not job.future.done():
                self._planner.stop()  # within the lock: the next job must not have begun

    def close(self) -> None:
        self._thread.shutdown(wait=False, cancel_futures=True)
        self._planner.close()

    def _run(self, job: ImportJob, now: datetime) -> None:
        with self._lock:
            if job.stopped:
                return
            job.running = True
        try:
            job.future.set_result(self._planner.plan(job.upload, now=now, progress=job.note_progress))
        except BaseException as error:  # it is raised again where the plan is fetched
            if not job.stopped:
                note("import", f"A file of {_format_size(job.upload)} was not read: {type(error).__name__}.")
            job.future.set_exception(error)


def _format_size(upload: Upload) -> str:
    try:
        return as_bytes(upload.path.stat().st_size)
    except OSError:
        return "an unknown size"
