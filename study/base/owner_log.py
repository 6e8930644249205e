"""The owner's log: starts, refusals, limits that were reached, failed imports and errors, by route.

    note("limit", "A browser asked too often and was told to wait.")

It names no learner, address, file or answer: callers write what happened, in words of the app alone. A line
is written at most once a minute; how often the same came in between is added to the next one, so that a flood
of requests is one line per minute. The files are in the data folder, 200 kB each; the last three are kept,
and only their user can read them.
"""

import logging
import os
import threading
import time
import traceback
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any, Literal

from study.base.settings import ROOT

Kind = Literal["start", "stop", "refused", "limit", "import", "backup", "error"]

FILE = "owner.log"
FILE_BYTES = 200_000
OLDER_FILES = 2
QUIET_SECONDS = 60
KINDS_KEPT = 500
SHOWN = 50

_LOG = logging.getLogger("lora_study.owner")
_LOG.propagate = False
_LOG.setLevel(logging.INFO)
_LOG.addHandler(logging.NullHandler())


@dataclass(frozen=True, kw_only=True)
class Entry:
    at: str
    """In UTC, `2026-03-04 10:00:00`."""

    kind: str
    text: str


class OwnerLog:
    """The file while the app runs."""

    def __init__(self, home: Path) -> None:
        _REPEATS.clear()
        self._handler = _PrivateFile(home / FILE)
        _LOG.addHandler(self._handler)

    def close(self) -> None:
        """Write nothing more."""
        _LOG.removeHandler(self._handler)
        self._handler.close()


def note(kind: Kind, text: str) -> None:
    """Write a line, unless the same one was written within the last minute."""
    repeated = _REPEATS.count(f"{kind}\t{text}")
    if repeated is not None:
        times = "1 more time" if repeated == 1 else f"{repeated} more times"
        more = f" (repeated {times} since the last line)" if repeated else ""
        _LOG.info("%s\t%s%s", kind, " ".join(text.split()), more)


def note_error(where: str, error: BaseException) -> None:
    """Write where an error came from: its type and the last line of ours. Its words may hold answers."""
    steps = traceback.extract_tb(error.__traceback__)
    ours = [
        step
        for step in steps
        if Path(step.filename).is_relative_to(ROOT) and "site-packages" not in step.filename
    ]
    at = f" in {Path(ours[-1].filename).relative_to(ROOT)}, line {ours[-1].lineno}" if ours else ""
    note("error", f"{where}: {type(error).__name__}{at}.")


def read_last(home: Path, *, at_most: int = SHOWN) -> list[Entry]:
    """Return the newest lines, newest first; lines that are not of this form are left out."""
    lines: list[str] = []
    for number in range(OLDER_FILES + 1):
        try:
            found = (home / (f"{FILE}.{number}" if number else FILE)).read_text("utf-8", "replace")
        except OSError:
            continue
        lines = found.splitlines() + lines
        if len(lines) >= at_most:
            break
    parts = [line.split("\t", 2) for line in lines[-at_most:]]
    return [Entry(at=each[0], kind=each[1], text=each[2]) for each in reversed(parts) if len(each) == 3]


class _Repeats:
    """Counts equal lines; safe to use from several threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._known: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def count(self, line: str) -> int | None:
        """Return how often a line was left out since it was last written; None to leave it out now."""
        with self._lock:
            written_at, left_out = self._known.pop(line, (-QUIET_SECONDS, 0))
            now = self._clock()
            quiet = now - written_at < QUIET_SECONDS
            self._known[line] = (written_at, left_out + 1) if quiet else (now, 0)
            while len(self._known) > KINDS_KEPT:
                self._known.popitem(last=False)
            return None if quiet else left_out

    def clear(self) -> None:
        with self._lock:
            self._known.clear()


_REPEATS = _Repeats()


class _PrivateFile(RotatingFileHandler):
    """A rotating file that only its user can read. A full disk costs lines, nothing else."""

    def __init__(self, path: Path) -> None:
        super().__init__(path, maxBytes=FILE_BYTES, backupCount=OLDER_FILES, encoding="utf-8", delay=True)
        form = logging.Formatter("%(asctime)s\t%(message)s", "%Y-%m-%d %H:%M:%S")
        form.converter = time.gmtime
        self.setFormatter(form)

    def _open(self) -> Any:
        return open(self.baseFilename, self.mode, encoding=self.encoding, opener=partial(os.open, mode=0o600))

    def handleError(self, record: logging.LogRecord) -> None:
        """Leave the line out."""
