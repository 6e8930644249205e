"""What the app does by itself every hour: the daily backup, and the removal of guests who never came back."""

import threading
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from sqlalchemy.exc import SQLAlchemyError

from study.base.errors import LearnerError
from study.base.owner_log import note, note_error
from study.store.profiles import Profiles
from study.store.snapshots import Snapshots

LOOK_EVERY_SECONDS = 3600
GUESTS_KEPT = timedelta(days=30)
"""How long a guest without a row in any log is kept: each new browser makes one."""


class Upkeep:
    """A thread that looks every hour what is due; `snapshots` is None where the database is a server's."""

    def __init__(self, profiles: Profiles, snapshots: Snapshots | None) -> None:
        self._profiles = profiles
        self._snapshots = snapshots
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="upkeep", daemon=True)

    def start(self) -> "Upkeep":
        """Look now, then every hour."""
        self._thread.start()
        return self

    def close(self) -> None:
        """Begin nothing further."""
        self._closing.set()

    def look(self, *, now: datetime) -> None:
        """Do what is due. What fails is noted for the owner, and tried again in the next hour."""
        if self._snapshots is not None:
            try:
                self._snapshots.make_if_due(now=now)
                self._snapshots.problem = ""
            except (LearnerError, OSError) as error:
                self._snapshots.problem = str(error)
                note("backup", "The daily backup was not made. Import and export says why.")
        try:
            self._profiles.remove_idle_guests(before=now - GUESTS_KEPT)
        except SQLAlchemyError as error:
            note_error("removing guests who never came back", error)

    def _run(self) -> None:
        if self._snapshots is not None:
            with suppress(OSError):  # a folder that can't be read: the first look says so
                self._snapshots.leave_classes_out_of_older()
        while not self._closing.is_set():
            self.look(now=datetime.now(UTC))
            self._closing.wait(LOOK_EVERY_SECONDS)
