"""The log of tasks: every attempt at configuring a run, reading a recorded one, or completing a script."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import select

from study.store import schema as t
from study.store.database import StoreLog, cache_reads, read_row


@dataclass(frozen=True, kw_only=True)
class TaskAttempt:
    task_id: str
    seed: int
    """Of the numbers that the task was drawn with."""

    response: Mapping[str, Any]
    correct: bool
    at: datetime


class TaskLog(StoreLog):
    """Attempts, appended, never changed."""

    def write(self, profile_id: str, attempt: TaskAttempt) -> None:
        self._append(t.task_attempts, profile_id=profile_id, **vars(attempt))

    @cache_reads
    def attempts(self, profile_id: str) -> list[TaskAttempt]:
        """All attempts, oldest first."""
        columns = t.task_attempts.c
        own = select(t.task_attempts).where(columns.profile_id == profile_id)
        wanted = own.order_by(columns.at, columns.id)
        return [read_row(TaskAttempt, row) for row in self._read_rows(wanted)]
