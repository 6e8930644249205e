"""Deletes students' names when the time that the teacher chose is over, also while nobody opens a class."""

import contextlib
from collections.abc import Callable
from datetime import datetime

from sqlalchemy.exc import SQLAlchemyError

from study.base.errors import StorageError
from study.base.periodic_task import EVERY_SECONDS, PeriodicTask
from study.store.classes import ClassLog


def start_name_expiry(log: ClassLog, clock: Callable[[], datetime]) -> PeriodicTask:
    """Start the task that deletes expired names now and every hour."""

    def look() -> None:
        # Where the database is away for a while, the next look deletes them.
        with contextlib.suppress(SQLAlchemyError, StorageError):
            log.transact([lambda t: t.forget_names(now=clock())])

    task = PeriodicTask("class-names", look, every_seconds=EVERY_SECONDS)
    task.start()
    return task
