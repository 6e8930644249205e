"""Automatic backups of everything: the SQLite database and the own files of the data folder, in one zip each.

A snapshot is made once a day, before an upgrade of the tables, before an import that replaces something, and
before a restore. The newest ten for each of these reasons are kept, so that many of one kind push out none of
another. Imports of a server's learners make one an hour at most, so that they can't fill the disk. A database
behind another URL has backup tools of its own. Live classes are in none of them (`snapshot_copies.py`).
"""

import shutil
import sqlite3
import tempfile
import threading
import zipfile
import zlib
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Literal

from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError

from study.base.days import format_moment
from study.base.errors import LearnerError, StorageError
from study.base.owner_log import note
from study.base.settings import OWN_FOLDERS
from study.store.snapshot_copies import (
    copy_database,
    leave_out_classes,
    replace_all_but_classes,
    upgrade_copy,
)
from study.store.storage_errors import classify_storage_error

Reason = Literal["daily", "upgrade", "import", "learner-import", "restore"]
KEPT = 10
EVERY = {"daily": timedelta(days=1), "learner-import": timedelta(hours=1)}
DATABASE = "study.sqlite3"
WITHOUT_CLASSES = b"without live classes"
"""The comment of a zip: earlier versions of the app left classes in."""

DAMAGED = (EOFError, KeyError, zipfile.BadZipFile, zlib.error)
"""What reading a damaged zip raises."""


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    path: Path
    made_at: datetime
    reason: str

    @property
    def name(self) -> str:
        """Its file name, by which a page refers to it."""
        return self.path.name

    @property
    def made(self) -> str:
        """When it was made, as `4 March 2026, 10:00 UTC`."""
        return f"{format_moment(self.made_at)} UTC"


class Snapshots:
    """The backups of one data folder."""

    def __init__(self, database: Path, home: Path | None = None) -> None:
        self._database = database
        self._home = home or database.parent
        self.folder = self._home / "backups"
        self._lock = threading.RLock()
        self.problem = ""
        """Why the last automatic backup was not made, for the owner; empty when it was."""

    def list_snapshots(self) -> list[Snapshot]:
        found = []
        for path in sorted(self.folder.glob("*.zip"), reverse=True):
            stamp, _, reason = path.stem.partition("_")
            with suppress(ValueError):
                made_at = datetime.strptime(stamp, "%Y%m%d-%H%M%S-%f").replace(tzinfo=UTC)
                found.append(Snapshot(path=path, made_at=made_at, reason=reason))
        return found

    def make(self, reason: Reason, *, now: datetime) -> Snapshot:
        """Write a backup of what is committed now, then delete the oldest ones of the same reason.

        Raises StorageError when the disk refuses; then nothing is left of it.
        """
        with self._lock:
            try:
                self.folder.mkdir(parents=True, exist_ok=True)
                with tempfile.TemporaryDirectory(dir=self.folder, prefix=".making-") as making:
                    copy = Path(making) / DATABASE
                    copy_database(self._database, copy)
                    leave_out_classes(copy)
                    packed = Path(making) / "packed"
                    self._pack(copy, packed)
                    path = self.folder / f"{now.astimezone(UTC):%Y%m%d-%H%M%S-%f}_{reason}.zip"
                    packed.replace(path)
            except (OSError, sqlite3.Error) as error:
                raise _build_error(error) from error
            alike = [made for made in self.list_snapshots() if made.reason == reason]
            for old in alike[KEPT:]:
                try:
                    old.path.unlink(missing_ok=True)
                except OSError:  # the new backup is there already
                    note("backup", "An old backup could not be deleted.")
        return Snapshot(path=path, made_at=now, reason=reason)

    def make_if_due(self, reason: Literal["daily", "learner-import"], *, now: datetime) -> Snapshot | None:
        """Write a backup unless one was made for this reason within a day or an hour (`EVERY`).

        One of the future, which a clock that was fast has made, counts as none.
        """
        earliest = now - EVERY[reason]
        with self._lock:
            if any(
                made.reason == reason and earliest < made.made_at <= now for made in self.list_snapshots()
            ):
                return None
            return self.make(reason, now=now)

    def restore(self, name: str, *, now: datetime) -> Snapshot:
        """Replace the current database and own files by a backup, after a backup of both.

        Live classes stay as they are. The rest of the database is replaced in one transaction: readers see
        the old or the new one, with today's tables. Raises LearnerError when there is no such backup, it
        can't be read or is from a newer app; nothing is changed then.
        """
        snapshot = self._find(name)
        with tempfile.TemporaryDirectory(dir=self.folder, prefix=".restoring-") as folder:
            self._unpack(snapshot, Path(folder))
            copy = Path(folder) / DATABASE
            is_there = self._database.exists()
            try:
                leave_out_classes(copy)
                _upgrade(snapshot, copy)
                with self._lock:
                    if is_there:  # what is written after the backup of the present would be lost
                        make = partial(self.make, "restore", now=now)
                        replace_all_but_classes(copy, self._database, first=make)
                    else:
                        copy_database(copy, self._database)
                    self._replace_own_files(Path(folder))
            except (OSError, sqlite3.Error, DBAPIError) as error:
                raise _build_error(error) from error
        return snapshot

    def leave_classes_out_of_older(self) -> None:
        """Take live classes out of the backups that an earlier version of the app has made."""
        for snapshot in self.list_snapshots():
            # One that is damaged stays as it is: a restore says so.
            with self._lock, suppress(OSError, sqlite3.Error, *DAMAGED):
                self._leave_classes_out_of(snapshot.path)

    def _leave_classes_out_of(self, path: Path) -> None:
        with zipfile.ZipFile(path) as older:
            if older.comment == WITHOUT_CLASSES:
                return
            with tempfile.TemporaryDirectory(dir=self.folder, prefix=".making-") as making:
                copy, packed = Path(older.extract(DATABASE, making)), Path(making) / "packed"
                leave_out_classes(copy)
                with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
                    archive.comment = WITHOUT_CLASSES
                    archive.write(copy, DATABASE)
                    for entry in older.infolist():
                        if entry.filename != DATABASE:
                            archive.writestr(entry, older.read(entry))
                packed.replace(path)

    def set_aside(self, *, now: datetime) -> Path:
        """Move a database that can't be opened into a folder of its own, and return that folder."""
        aside = self._home / "set-aside" / f"{now.astimezone(UTC):%Y%m%d-%H%M%S}"
        aside.mkdir(parents=True, exist_ok=True)
        for ending in ("", "-wal", "-shm", "-journal"):
            path = self._database.with_name(self._database.name + ending)
            if path.exists():
                path.replace(aside / path.name)
        return aside

    def put_back(self, aside: Path) -> None:
        """Undo `set_aside`."""
        for path in aside.iterdir():
            path.replace(self._database.with_name(path.name))

    def _find(self, name: str) -> Snapshot:
        found = next((snapshot for snapshot in self.list_snapshots() if snapshot.name == name), None)
        if found is None:
            raise LearnerError("That backup is no longer there.", do_next="Reload the page.")
        return found

    def _pack(self, copy: Path, packed: Path) -> None:
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.comment = WITHOUT_CLASSES
            archive.write(copy, DATABASE)
            for folder in OWN_FOLDERS:
                archive.mkdir(folder)  # also where it is empty: older backups leave out plans
                for path in sorted((self._home / folder).glob("*")):
                    if path.is_file() and not path.name.startswith("."):
                        archive.write(path, f"{folder}/{path.name}")

    def _unpack(self, snapshot: Snapshot, folder: Path) -> None:
        try:
            with zipfile.ZipFile(snapshot.path) as archive:
                for name in archive.namelist():
                    parts = PurePosixPath(name).parts
                    is_own = len(parts) == 2 and parts[0] in OWN_FOLDERS and parts[1] != ".."
                    if is_own or name.rstrip("/") in (DATABASE, *OWN_FOLDERS):
                        archive.extract(name, folder)
            if not is_whole(folder / DATABASE):
                raise zipfile.BadZipFile
        except (OSError, *DAMAGED) as error:
            if isinstance(error, OSError) and (kind := classify_storage_error(error)):
                raise StorageError(kind) from error
            raise LearnerError(
                f"The backup of {snapshot.made} can't be read.", do_next="Choose an older one."
            ) from error

    def _replace_own_files(self, unpacked: Path) -> None:
        for folder in OWN_FOLDERS:
            here, fresh = self._home / folder, unpacked / folder
            if not fresh.is_dir():
                continue
            for path in here.glob("*"):
                if path.is_file() and not path.name.startswith(".") and not (fresh / path.name).exists():
                    path.unlink()
            for path in fresh.glob("*"):
                here.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, here / f".{path.name}.restored")
                (here / f".{path.name}.restored").replace(here / path.name)


def find_snapshots(database_url: str, home: Path | None = None) -> Snapshots | None:
    """Return the backups of a SQLite file; None for another database or one in memory."""
    try:
        url = make_url(database_url)
    except ArgumentError:
        return None
    if url.get_backend_name() != "sqlite" or not url.database or url.database == ":memory:":
        return None
    return Snapshots(Path(url.database), home)


def is_whole(database: Path) -> bool:
    """Return whether SQLite finds no damage in a file."""
    try:
        with closing(sqlite3.connect(database)) as connection:
            return list(connection.execute("PRAGMA quick_check(1)")) == [("ok",)]
    except sqlite3.Error:
        return False


def _upgrade(snapshot: Snapshot, copy: Path) -> None:
    """Bring a copy to today's tables: a running app knows no others."""
    try:
        upgrade_copy(copy)
    except LearnerError as error:
        said = f"The backup of {snapshot.made} can't be restored. {error.what}"
        raise LearnerError(said, do_next="Choose another one.") from error


def _build_error(error: Exception) -> LearnerError:
    kind = classify_storage_error(error) or ("damaged" if isinstance(error, sqlite3.Error) else None)
    if kind is None:
        return LearnerError(f"The backup can't be written: {error}.", do_next="Check the data folder.")
    return StorageError(kind)
