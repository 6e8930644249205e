"""The import worker as the app uses it: started when it is needed, stopped when a learner wants it."""

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from study.base.errors import LearnerError
from study.base.import_limits import READING_CPU_SECONDS, READING_SECONDS
from study.base.settings import Settings
from study.io.backup import RowProblem
from study.io.exchange import ImportEntry, ImportGroup, ImportPlan, ImportReport
from study.io.import_worker import name_of
from study.io.planning import Planned, Progress, Upload

IDLE_SECONDS = 600
"""A worker that has nothing to do for so long ends: it holds about 100 MB."""

ROOT = Path(__file__).parents[2]
_SPLIT = "Split it into smaller files, then choose one of them."


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
            "openers": [name_of(opener) for opener in openers],
            "row_problem": name_of(row_problem),
        }
        self._lock = threading.Lock()
        self._working = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._why = ""
        self._idle: threading.Timer | None = None
        self._closed = False
        self.last: Mapping[str, Any] = {}
        """What the last answer said of its costs: `cpu_seconds` and `peak_bytes`."""

    def warm_up(self) -> None:
        """Start the process, so that it is ready when a file comes."""
        with contextlib.suppress(LearnerError):
            self._ready()

    def plan(self, upload: Upload, *, now: datetime, progress: Progress) -> Planned:
        """See Planner."""
        order = {
            "profile": upload.profile_id,
            "path": str(upload.path),
            "name": upload.name,
            "now": now.isoformat(),
        }
        with self._working:
            process = self._ready()
            self._why = ""
            watch = threading.Timer(READING_SECONDS, self._end, (process, "time"))
            watch.daemon = True
            watch.start()
            try:
                return self._ask(process, order, upload.name, progress)
            finally:
                watch.cancel()
                self._sleep_soon()

    def stop(self) -> None:
        """See Planner."""
        with self._lock:
            process = self._process
        if process is not None:
            self._end(process, "stopped")

    def close(self) -> None:
        """End the process; none is started any more."""
        with self._lock:
            self._closed = True
            process, self._process = self._process, None
        if self._idle is not None:
            self._idle.cancel()
        if process is not None:
            _kill(process)

    def _ask(
        self, process: "subprocess.Popen[bytes]", order: Mapping[str, Any], name: str, progress: Progress
    ) -> Planned:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            process.stdin.write(json.dumps(order).encode() + b"\n")
            process.stdin.flush()
            for line in process.stdout:
                found = json.loads(line)
                if "of" in found:
                    progress(found["done"], found["of"])
                    continue
                self.last = found
                if "error" in found:
                    raise LearnerError(found["error"][0], do_next=found["error"][1])
                return _planned(found)
        except (BrokenPipeError, ValueError):
            pass  # it ended meanwhile
        raise self._ended(process, name)

    def _ended(self, process: "subprocess.Popen[bytes]", name: str) -> LearnerError:
        status = process.wait()
        if self._why == "stopped":
            return LearnerError(f"Reading {name} was stopped.", do_next="Nothing was changed.")
        took_long = self._why == "time" or status == -24  # SIGXCPU
        if took_long:
            limit = f"{READING_CPU_SECONDS} s of processor time"
            return LearnerError(f"{name} takes more than {limit} to read, the limit.", do_next=_SPLIT)
        return LearnerError(f"{name} could not be read: it broke what reads it.", do_next=_SPLIT)

    def _ready(self) -> "subprocess.Popen[bytes]":
        with self._lock:
            if self._closed:
                raise LearnerError(
                    "The app is being closed.", do_next="Start it again, then import the file."
                )
            if self._idle is not None:
                self._idle.cancel()
            if self._process is None or self._process.poll() is not None:
                self._process = subprocess.Popen(
                    [sys.executable, "-m", "study.io.import_worker", json.dumps(self._setup)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=subprocess.DEVNULL,
                    cwd=ROOT,
                    start_new_session=True,
                )
            return self._process

    def _sleep_soon(self) -> None:
        with self._lock:
            process = self._process
            if process is None or self._closed:
                return
            self._idle = threading.Timer(IDLE_SECONDS, self._end, (process, "idle"))
            self._idle.daemon = True
            self._idle.start()

    def _end(self, process: "subprocess.Popen[bytes]", why: str) -> None:
        self._why = why
        with self._lock:
            if self._process is process:
                self._process = None
        _kill(process)


def _kill(process: "subprocess.Popen[bytes]") -> None:
    process.kill()
    process.wait()


def _planned(found: Mapping[str, Any]) -> Planned:
    plan, report = found["plan"], found["report"]
    return Planned(
        plan=ImportPlan(
            groups=_groups(plan["groups"]),
            notes=tuple(plan["notes"]),
            files=plan["files"],
            tables=plan["tables"],
        ),
        report=ImportReport(groups=_groups(report["groups"]), notes=tuple(report["notes"])),
    )


def _groups(listed: Sequence[Mapping[str, Any]]) -> tuple[ImportGroup, ...]:
    return tuple(
        ImportGroup(title=group["title"], entries=tuple(ImportEntry(**entry) for entry in group["entries"]))
        for group in listed
    )
