"""What the app does by itself every hour: the daily backup, and removing guests who never did anything."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta

from study.base.errors import LearnerError
from study.base.owner_log import note
from study.base.periodic_task import PeriodicTask
from study.store.profiles import Profiles
from study.store.snapshots import Snapshots

GUESTS_KEPT = timedelta(days=30)
"""How long a guest without a row in any log is kept: each new browser makes one."""


class Upkeep:
    """Looks every hour what is due; `snapshots` is None where the database is a server's."""

    def __init__(self, profiles: Profiles, snapshots: Snapshots | None) -> None:
        self._profiles = profiles
        self._snapshots = snapshots
        self._task = PeriodicTask("upkeep", lambda: self.look(now=datetime.now(UTC)))

    def start(self) -> "Upkeep":
        """Look now, then every hour."""
        self._task.start()
        return self

    def close(self) -> None:
        """Begin nothing further."""
        self._task.close()

    def look(self, *, now: datetime) -> None:
        """Do what is due. What fails is noted for the owner, and tried again in the next hour."""
        if self._snapshots is not None:
            with suppress(OSError):  # a folder that can't be read: making the backup says so
                self._snapshots.leave_classes_out_of_older()
            try:
                self._snapshots.make_if_due("daily", now=now)
                self._snapshots.problem = ""
            except (LearnerError, OSError) as error:
                self._snapshots.problem = str(error)
                note("backup", "The daily backup was not made. Import and export says why.")
        self._profiles.remove_idle_guests(before=now - GUESTS_KEPT, stop=self._task.is_closing)
