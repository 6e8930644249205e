"""Deletes students' names when the time that the teacher chose is over, also while nobody opens a class."""

import contextlib
from collections.abc import Callable
from datetime import datetime

from sqlalchemy.exc import SQLAlchemyError

from study.base.errors import StorageError
from study.base.periodic_task import EVERY_SECONDS, PeriodicTask
from study.store.classes import ClassLog


class NameExpiry:
    """Deletes expired names at start and every hour."""

    def __init__(self, log: ClassLog, clock: Callable[[], datetime]) -> None:
        self._log = log
        self._clock = clock
        self._task = PeriodicTask("class-names", self._look, every_seconds=EVERY_SECONDS)
        self._task.start()

    def close(self) -> None:
        self._task.close()

    def _look(self) -> None:
        # Where the database is away for a while, the next look deletes them.
        with contextlib.suppress(SQLAlchemyError, StorageError):
            self._log.transact([lambda t: t.forget_names(now=self._clock())])
