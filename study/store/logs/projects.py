"""The log of projects: hypotheses, the grids that were run for them, conclusions."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import select

from study.base.errors import LearnerError
from study.store import schema as t
from study.store.database import StoreLog, cache_reads, read_row

EntryKind = Literal["hypothesis", "sweep", "conclusion"]
TEXT_LIMIT = 4_000  # characters; a page of a report


@dataclass(frozen=True, kw_only=True)
class ProjectEntry:
    """A text that a learner wrote for a project, or the grid that they chose as its result."""

    kind: EntryKind
    text: str
    """The words; for a sweep its id."""

    at: datetime


class ProjectLog(StoreLog):
    """Entries, appended, never changed; the newest of a kind counts."""

    def write(self, profile_id: str, project_id: str, kind: EntryKind, text: str, *, at: datetime) -> None:
        if len(text) > TEXT_LIMIT:
            raise LearnerError(
                f"This text has {len(text):,} characters.", do_next=f"Shorten it to at most {TEXT_LIMIT:,}."
            )
        self._append(
            t.project_entries, profile_id=profile_id, project_id=project_id, kind=kind, text=text, at=at
        )

    @cache_reads
    def entries(self, profile_id: str) -> dict[str, list[ProjectEntry]]:
        """All entries by project, oldest first."""
        columns = t.project_entries.c
        own = select(t.project_entries).where(columns.profile_id == profile_id)
        wanted = own.order_by(columns.at, columns.id)
        found: dict[str, list[ProjectEntry]] = {}
        for row in self._read_rows(wanted):
            found.setdefault(row.project_id, []).append(read_row(ProjectEntry, row))
        return found
