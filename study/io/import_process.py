"""The import worker as the app uses it: started when it is needed, stopped when a learner wants it."""

import contextlib
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from pydantic import TypeAdapter

from study.base.errors import LearnerError
from study.base.import_limits import IMPORT_CPU_SECONDS, IMPORT_SECONDS, SPLIT
from study.base.json_lines import JsonLinesProcess
from study.base.settings import Settings
from study.io.backup import RowProblem
from study.io.planning import PlannedImport, Progress, Upload
from study.io.reading_process import build_stopped_error, name_function, raise_error
from study.store.rows import RowTexts

IDLE_SECONDS = 600
"""A worker that has nothing to do for so long ends: it holds about 115 MB."""

_PLANNED = TypeAdapter(PlannedImport)


class ProcessPlanner:
    """Plans imports in a process of their own, one after the other. Safe to use from several threads."""

    def __init__(
        self,
        settings: Settings,
        openers: Sequence[Callable[..., Any]],
        *,
        modules: Sequence[str],
        row_problem: RowProblem,
    ) -> None:
        self._setup = {
            "home": str(settings.home),
            "database_url": settings.database_url,
            "models_dir": str(settings.models_dir),
            "modules": list(modules),
            "openers": [name_function(opener) for opener in openers],
            "row_problem": name_function(row_problem),
        }
        self._lock = threading.Lock()
        self._working = threading.Lock()
        self._process: JsonLinesProcess | None = None
        self._why = ""
        self._idle: threading.Timer | None = None
        self._uses = 0
        """How often the process was taken: an end for idleness that was planned before counts no more."""

        self._closed = False

    def warm_up(self) -> None:
        """Start the process, so that it is ready when a file comes."""
        with self._working, contextlib.suppress(LearnerError):
            self._ensure_process()
            self._schedule_sleep()

    def plan(self, upload: Upload, *, now: datetime, progress: Progress) -> PlannedImport:
        order = {**vars(upload), "path": str(upload.path), "now": now.isoformat()}
        with self._working:
            process = self._ensure_process()
            self._why = ""
            watch = threading.Timer(IMPORT_SECONDS, self._end, (process, "time"))
            watch.daemon = True
            watch.start()
            try:
                return self._ask(process, order, upload.name, progress)
            finally:
                watch.cancel()
                self._schedule_sleep()

    def stop(self) -> None:
        with self._lock:
            process = self._process
        if process is not None:
            self._end(process, "stopped")

    def close(self) -> None:
        """End the process; no other is started afterwards."""
        with self._lock:
            self._closed = True
            process, self._process = self._process, None
        if self._idle is not None:
            self._idle.cancel()
        if process is not None:
            process.kill()

    def _ask(
        self, process: JsonLinesProcess, order: Mapping[str, Any], name: str, progress: Progress
    ) -> PlannedImport:
        process.send(order)
        for found in process.read():
            if "of" in found:
                progress(found["done"], found["of"])
                continue
            if found.get("ends"):
                self._end(process, "ends")
            raise_error(found)
            return _parse_plan(found)
        raise self._build_end_error(process, name)

    def _build_end_error(self, process: JsonLinesProcess, name: str) -> LearnerError:
        status = process.wait()
        if self._why == "stopped":
            return build_stopped_error(name)
        by_clock = self._why == "time"
        if by_clock or status == -24:  # SIGXCPU
            limit = f"{IMPORT_SECONDS} s" if by_clock else f"{IMPORT_CPU_SECONDS} s of processor time"
            return LearnerError(f"Reading {name} takes more than {limit}, which is the limit.", do_next=SPLIT)
        return LearnerError(
            f"{name} could not be read: the process reading it crashed or was stopped.", do_next=SPLIT
        )

    def _ensure_process(self) -> JsonLinesProcess:
        with self._lock:
            if self._closed:
                raise LearnerError(
                    "The app is being closed.", do_next="Start it again, then import the file."
                )
            self._uses += 1
            if self._idle is not None:
                self._idle.cancel()
            if self._process is None or not self._process.is_alive:
                self._process = JsonLinesProcess("study.io.import_worker")
                # Not as an argument, which `ps` shows to everyone: it may hold a password.
                self._process.send(self._setup)
            return self._process

    def _schedule_sleep(self) -> None:
        with self._lock:
            if self._process is None or self._closed:
                return
            self._idle = threading.Timer(IDLE_SECONDS, self._end_idle, (self._uses,))
            self._idle.daemon = True
            self._idle.start()

    def _end_idle(self, uses: int) -> None:
        with self._lock:
            if self._uses != uses:  # taken again at this moment
                return
            process, self._process = self._process, None
        if process is not None:
            process.kill()

    def _end(self, process: JsonLinesProcess, why: str) -> None:
        self._why = why
        with self._lock:
            if self._process is process:
                self._process = None
        process.kill()


def _parse_plan(found: Mapping[str, Any]) -> PlannedImport:
    planned = _PLANNED.validate_python({"plan": found["plan"], "report": found["report"]})
    tables = {name: RowTexts(text.split("\n")[:-1]) for name, text in found["tables"].items()}
    return replace(planned, plan=replace(planned.plan, tables=tables))
