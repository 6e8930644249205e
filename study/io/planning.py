"""Planning an import: what a file would change, and the report of it that the learner sees first."""

from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Protocol, TypeVar

from study.base.errors import LearnerError
from study.content.user_files import compute_digest, read_own_files
from study.io.apply_import import Imports
from study.io.exchange import Exchange, File, ImportPlan, ImportReport, choose_exchange

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

    digest: str = ""
    """Of its content: the learner may send another one meanwhile."""

    may_change_files: bool = True
    """Whether its learner may change decks and questions, which are everyone's."""

    to_import: bool = True
    """Whether it is imported now; a report alone needs no rows."""


@dataclass(frozen=True, kw_only=True)
class PlannedImport:
    """A plan, and what it would do now."""

    plan: ImportPlan
    report: ImportReport


class Planner(Protocol):
    """Plans one import at a time."""

    def warm_up(self) -> None:
        """Get ready in the background."""

    def plan(self, upload: Upload, *, now: datetime, progress: Progress) -> PlannedImport:
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

    def plan(self, upload: Upload, *, now: datetime, progress: Progress) -> PlannedImport:
        file = File(name=upload.name, content=upload.path.read_bytes())
        with _reporting(progress):
            return plan_import(
                upload.profile_id,
                file,
                self.exchanges,
                self.imports,
                may_change_files=upload.may_change_files,
                now=now,
            )

    def stop(self) -> None:
        """It can't be stopped; its limits are those of the readers."""

    def close(self) -> None:
        """Nothing has to be ended."""


def plan_import(
    profile_id: str,
    file: File,
    exchanges: Sequence[Exchange],
    imports: Imports,
    *,
    may_change_files: bool = True,
    now: datetime,
) -> PlannedImport:
    """Plan the import of a file. Raises LearnerError when it can't be read."""
    # Before the exchange reads them: a file that changes from here on is no longer what the plan knows.
    digests = {name: compute_digest(text) for name, text in read_own_files(imports.home).items()}
    plan = choose_exchange(file, exchanges).plan(profile_id, file, now=now)
    if not may_change_files:
        plan = plan.leave_out_files("the decks and questions of this server are its owner's")
    plan = replace(plan, read_from={name: digests.get(name, "") for name in plan.files})
    return PlannedImport(plan=plan, report=imports.report(profile_id, plan))


def build_shared_content_error(verb: str, *, do_next: str) -> LearnerError:
    """Return the error of a learner who would change a server's decks and questions, which are everyone's."""
    return LearnerError(
        f"Everyone on this server shares its decks and questions, so only its owner can {verb} them.",
        do_next=do_next,
    )


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
