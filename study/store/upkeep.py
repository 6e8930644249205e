"""What the app does by itself every hour: the daily backup, and removing guests who never did anything."""

from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta

from study.base.errors import LearnerError
from study.base.owner_log import note
from study.base.periodic_task import PeriodicTask
from study.store.profiles import Profiles
from study.store.snapshots import Snapshots

GUESTS_KEPT = timedelta(days=30)
"""How long a guest without a row in any log is kept: each new browser makes one."""


def start_upkeep(profiles: Profiles, snapshots: Snapshots | None) -> PeriodicTask:
    """Do what is due now, then every hour; `snapshots` is None where the database is a server's."""
    task = PeriodicTask(
        "upkeep", lambda: do_due_upkeep(profiles, snapshots, now=datetime.now(UTC), stop=task.is_closing)
    )
    task.start()
    return task


def do_due_upkeep(
    profiles: Profiles, snapshots: Snapshots | None, *, now: datetime, stop: Callable[[], bool] = bool
) -> None:
    """Do what is due. What fails is noted for the owner, and tried again in the next hour."""
    if snapshots is not None:
        with suppress(OSError):  # a folder that can't be read: making the backup says so
            snapshots.leave_classes_out_of_older()
        try:
            snapshots.make_if_due("daily", now=now)
            snapshots.problem = ""
        except (LearnerError, OSError) as error:
            snapshots.problem = str(error)
            note("backup", "The daily backup was not made. Import and export says why.")
    profiles.remove_idle_guests(before=now - GUESTS_KEPT, stop=stop)
