"""Copies of the database for backups: without live classes, which a restore leaves as they are.

A name or a class that was deleted must not come back. So a backup has no row of a class, nor what SQLite
leaves of deleted rows in its file, and a restore replaces all tables but those of classes.
"""

import sqlite3
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from study.store.class_schema import CLASS_TABLES
from study.store.database import BUSY_SECONDS, open_database, outside_view
from study.store.migrations import migrate_database

OF_CLASSES = {table.name for table in CLASS_TABLES}


def copy_database(source: Path, target: Path) -> None:
    """Copy all that is committed."""
    with closing(sqlite3.connect(source)) as reading, closing(sqlite3.connect(target)) as writing:
        reading.backup(writing, progress=_limit_waiting())


def _limit_waiting() -> Callable[[int, int, int], None]:
    """Return what ends a copy that another program has kept waiting: `backup` itself tries for ever."""
    until = time.monotonic() + BUSY_SECONDS

    def check(status: int, _remaining: int, _pages: int) -> None:
        if status in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED) and time.monotonic() > until:
            raise sqlite3.OperationalError("database is locked")

    return check


def leave_out_classes(copy: Path) -> None:
    """Delete every class from a copy, also from the free pages of its file."""
    with closing(sqlite3.connect(copy, isolation_level=None)) as connection:
        for name in OF_CLASSES & set(_list_tables(connection, "main")):
            connection.execute(f"DELETE FROM {name}")
        connection.execute("VACUUM")


def upgrade_copy(copy: Path) -> None:
    """Bring a copy from an older version of the app to today's tables.

    Raises LearnerError when it is from a newer one.
    """
    database = open_database(f"sqlite:///{copy}")
    try:
        with outside_view():
            migrate_database(database)
    finally:
        database.close()


def replace_all_but_classes(copy: Path, database: Path, *, first: Callable[[], object]) -> None:
    """Replace the database's rows by those of a copy with today's tables, in one transaction.

    `first` is called once nobody else can write: it reads the rows as they are replaced.
    """
    with closing(sqlite3.connect(database, timeout=BUSY_SECONDS, isolation_level=None)) as connection:
        connection.execute("ATTACH DATABASE ? AS copy", (str(copy),))
        connection.execute("BEGIN IMMEDIATE")
        first()
        for name in sorted(set(_list_tables(connection, "copy")) - OF_CLASSES):
            # The order of columns depends on the version that made a table.
            columns = ", ".join(
                f'"{row[1]}"' for row in connection.execute(f"PRAGMA copy.table_info({name})")
            )
            connection.execute(f"DELETE FROM main.{name}")
            connection.execute(f"INSERT INTO main.{name} ({columns}) SELECT {columns} FROM copy.{name}")
        connection.execute("COMMIT")


def _list_tables(connection: sqlite3.Connection, schema: str) -> list[str]:
    listed = f"SELECT name FROM {schema}.sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'"
    return [name for (name,) in connection.execute(listed)]
