"""Deletes students' names when the time that the teacher chose is over, also while nobody opens a class."""

import contextlib
import threading
from collections.abc import Callable
from datetime import datetime

from sqlalchemy.exc import SQLAlchemyError

from study.base.errors import StorageError
from study.store.classes import ClassLog

LOOK_AGAIN_SECONDS = 3600.0


class NameExpiry:
    """A thread that deletes expired names at start and every hour."""

    def __init__(
        self,
        log: ClassLog,
        clock: Callable[[], datetime],
        *,
        look_again_seconds: float = LOOK_AGAIN_SECONDS,
    ) -> None:
        self._log = log
        self._clock = clock
        self._look_again_seconds = look_again_seconds
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="class-names", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop looking."""
        self._closing.set()
        self._thread.join()

    def _serve(self) -> None:
        while not self._closing.is_set():
            with contextlib.suppress(
                SQLAlchemyError, StorageError
            ):  # away for a while: the next look deletes them
                self._log.transact([lambda t: t.forget_names(now=self._clock())])
            self._closing.wait(self._look_again_seconds)
