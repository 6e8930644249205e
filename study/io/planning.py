"""Planning an import: what a file would change, and the report of it that the learner sees first."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol, TypeVar

from study.io.apply_import import Imports
from study.io.exchange import Exchange, File, ImportPlan, ImportReport
from study.io.exchange_commands import exchange_for

T = TypeVar("T")
Progress = Callable[[int, int], None]
"""Receives how many items of how many are checked."""

REPORT_EVERY = 100  # items; about ten times a second on a slow machine

_progress: ContextVar[Progress | None] = ContextVar("progress", default=None)


@dataclass(frozen=True, kw_only=True)
class Upload:
    """A stored upload and whose it is."""

    profile_id: str
    path: Path
    name: str
    """The file's name as the learner knows it."""


@dataclass(frozen=True, kw_only=True)
class Planned:
    """A plan, and what it would do now."""

    plan: ImportPlan
    report: ImportReport


class Planner(Protocol):
    """Plans one import at a time."""

    def warm_up(self) -> None:
        """Get ready in the background."""

    def plan(self, upload: Upload, *, now: datetime, progress: Progress) -> Planned:
        """Plan the import of an upload. Raises LearnerError when it can't be read."""

    def stop(self) -> None:
        """End the import that is being planned; its `plan` raises LearnerError."""

    def close(self) -> None:
        """End for good."""


@dataclass(frozen=True, kw_only=True)
class DirectPlanner:
    """Plans in this process: in the worker, and for a database that no other process can open."""

    exchanges: Sequence[Exchange]
    imports: Imports

    def warm_up(self) -> None:
        """Nothing has to be started."""

    def plan(self, upload: Upload, *, now: datetime, progress: Progress) -> Planned:
        file = File(name=upload.name, content=upload.path.read_bytes())
        with _reporting(progress):
            plan = exchange_for(file, self.exchanges).plan(upload.profile_id, file, now=now)
        return Planned(plan=plan, report=self.imports.report(upload.profile_id, plan))

    def stop(self) -> None:
        """It can't be stopped; its limits are those of the readers."""

    def close(self) -> None:
        """Nothing has to be ended."""


def with_progress(items: Collection[T]) -> Iterator[T]:
    """Yield the items of a file and report how many have been checked, if someone is interested."""
    report = _progress.get()
    for number, item in enumerate(items):
        if report is not None and number % REPORT_EVERY == 0:
            report(number, len(items))
        yield item


@contextmanager
def _reporting(progress: Progress) -> Iterator[None]:
    before = _progress.set(progress)
    try:
        yield
    finally:
        _progress.reset(before)
