"""The log of study modes: which were opened and done, and where reading stopped."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import select

from study.store import schema as t
from study.store.database import StoreLog, cache_reads, put_row, read_row

Mark = Literal["opened", "done"]


@dataclass(frozen=True, kw_only=True)
class ModeMark:
    """A study mode of a concept was opened, or the learner said that they are done with it."""

    concept_id: str
    mode: str
    mark: Mark
    at: datetime


class LessonLog(StoreLog):
    """Marks are appended; a reading place is overwritten, as only the last one means anything."""

    def mark(self, profile_id: str, concept_id: str, mode: str, mark: Mark, *, at: datetime) -> None:
        """Record that a mode was opened or done."""
        self._append(t.mode_marks, profile_id=profile_id, concept_id=concept_id, mode=mode, mark=mark, at=at)

    @cache_reads
    def marks(self, profile_id: str, concept_id: str | None = None) -> list[ModeMark]:
        """The marks of one concept or of all, oldest first."""
        wanted = select(t.mode_marks).where(t.mode_marks.c.profile_id == profile_id)
        if concept_id is not None:
            wanted = wanted.where(t.mode_marks.c.concept_id == concept_id)
        rows = self._read_rows(wanted.order_by(t.mode_marks.c.at, t.mode_marks.c.id))
        return [read_row(ModeMark, row) for row in rows]

    def stop_at(self, profile_id: str, concept_id: str, mode: str, place: int, *, at: datetime) -> None:
        """Keep where reading stopped, counted in paragraphs from 1."""
        key = {"profile_id": profile_id, "concept_id": concept_id, "mode": mode}
        with self._database.write(profile_id) as connection:
            put_row(connection, t.reading_places, key, {"place": place, "at": at})

    @cache_reads
    def place(self, profile_id: str, concept_id: str, mode: str) -> int:
        columns = t.reading_places.c
        wanted = select(columns.place).where(
            columns.profile_id == profile_id, columns.concept_id == concept_id, columns.mode == mode
        )
        with self._database.read() as connection:
            return connection.scalar(wanted) or 0
