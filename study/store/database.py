"""One database, SQLite or PostgreSQL: reads of one request share a transaction, writes wait in line."""

import functools
import os
import sqlite3
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from contextvars import ContextVar
from dataclasses import fields
from enum import IntEnum
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Row,
    ScalarSelect,
    Select,
    Table,
    create_engine,
    event,
    exists,
    func,
    insert,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import make_url
from sqlalchemy.exc import DatabaseError
from sqlalchemy.sql.visitors import iterate

from study.store.read_cache import MISSING, Amend, ReadCache
from study.store.schema import profiles

BUSY_SECONDS = float(os.environ.get("LORA_STUDY_BUSY_SECONDS", "30"))
"""How long a write waits for the write of another process before it gives up."""

P = ParamSpec("P")
R = TypeVar("R")


class ReadView:
    """What one request sees: one read transaction until it writes, and the position of each profile."""

    def __init__(self) -> None:
        self.positions: dict[str, int] = {}
        self._seen: dict[str, int | None] = {}  # the positions that the open transaction sees
        self._transaction = ExitStack()
        self._connection: Connection | None = None

    def connection(self, engine: Engine) -> Connection:
        """The connection that all reads share; the first one opens it."""
        if self._connection is None:
            self._connection = self._transaction.enter_context(engine.begin())
        return self._connection

    def end_transaction(self) -> None:
        """Let the next read see what has been written since."""
        self._connection = None
        self._seen.clear()
        self._transaction.close()

    def note_position(self, profile_id: str, position: int) -> None:
        """Say where a profile's logs stand."""
        self.positions[profile_id] = position
        if self._connection is not None:
            self._seen[profile_id] = position

    def is_at(self, connection: Connection, profile_id: str, position: int) -> bool:
        """Whether the open transaction sees a position: one that began after a write may see a later one."""
        if profile_id not in self._seen:
            wanted = select(profiles.c.position).where(profiles.c.id == profile_id)
            self._seen[profile_id] = connection.scalar(wanted)
        return self._seen[profile_id] == position


_VIEW: ContextVar[ReadView | None] = ContextVar("view", default=None)


@contextmanager
def share_view() -> Iterator[ReadView]:
    """Let all reads inside see the same state, and read nothing twice."""
    view = ReadView()
    token = _VIEW.set(view)
    try:
        yield view
    finally:
        _VIEW.reset(token)
        view.end_transaction()


@contextmanager
def outside_view() -> Iterator[None]:
    """Read outside the current request's view: the data is in another database."""
    token = _VIEW.set(None)
    try:
        yield
    finally:
        _VIEW.reset(token)


class Database:
    """Where the logs are kept. `read()` and `write()` each give one connection in one transaction."""

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.cache = ReadCache()
        self._writer = engine.execution_options(study_writes=True)
        # SQLite's transactions see one state by nature; PostgreSQL's default sees each commit at once.
        one_state = {"isolation_level": "REPEATABLE READ"} if self.is_shared else {}
        self._reader = engine.execution_options(**one_state)

    @property
    def is_shared(self) -> bool:
        """Whether a database server keeps it, which several processes may write to at once."""
        return self.engine.dialect.name == "postgresql"

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A transaction that sees one consistent state: that of the current request, if there is one."""
        view = _VIEW.get()
        if view is not None:
            yield view.connection(self._reader)
            return
        with self._reader.begin() as connection:
            yield connection

    @contextmanager
    def write(
        self, profile_id: str | ScalarSelect[str] | None = None, *, amend: Mapping[str, Amend] | None = None
    ) -> Iterator[Connection]:
        """A transaction that is committed whole at the end, or not at all if anything raises.

        One that writes into a profile's logs names it: writes of one profile wait for each other, and what
        was read of it before is forgotten, except what `amend` brings up to date.
        """
        view = _VIEW.get()
        if view is not None:
            view.end_transaction()
        advanced = None
        with self._writer.begin() as connection:
            touched: set[str] = connection.info.setdefault("touched", set())
            touched.clear()
            if profile_id is not None:
                advanced = advance_position(connection, profile_id)
            yield connection
            touched = touched - {profiles.name}
        if advanced is not None:
            name, position = advanced
            self.cache.advance(name, position, touched, amend or {})
            if view is not None:
                view.positions[name] = position

    def forget_all(self) -> None:
        """Forget everything that was read, after the whole database was replaced."""
        self.cache.clear()

    def check(self) -> None:
        """Raise DatabaseError when a SQLite file is damaged."""
        if self.engine.dialect.name == "sqlite":
            with self.engine.connect() as connection:
                found = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar()
                if found != "ok":
                    raise DatabaseError(None, None, sqlite3.DatabaseError(f"malformed: {found}"))

    def check_writing(self) -> None:
        """Raise DatabaseError when nothing could be written; nothing is changed."""
        if self.engine.dialect.name == "sqlite":
            with self._writer.connect() as connection:
                version = connection.exec_driver_sql("PRAGMA user_version").scalar_one()
                connection.exec_driver_sql(f"PRAGMA user_version = {version}")
                connection.commit()

    def close(self) -> None:
        """Close all connections. A SQLite file is whole by itself then: a copy of it holds everything."""
        if self.engine.dialect.name == "sqlite":
            with suppress(DatabaseError):  # the file can't be written: its log stays beside it
                self.checkpoint()
        self.engine.dispose()

    def checkpoint(self) -> None:
        """Move what SQLite's write-ahead log holds into the database file."""
        connection = self.engine.raw_connection()
        try:
            connection.cursor().execute("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            connection.close()


class AdvisoryLock(IntEnum):
    """What transactions take in turn; the numbers are any that only this app uses."""

    MIGRATION = 7_204_311
    CLASSES = 7_204_312
    OWN_FILES = 7_204_313
    """Decks and questions: they are everyone's, in all processes."""


def wait_for_turn(connection: Connection, lock: AdvisoryLock) -> None:
    """Let the transactions that name this lock follow each other, as all writes to a SQLite file do."""
    if connection.dialect.name == "postgresql":
        connection.execute(select(func.pg_advisory_xact_lock(lock)))


def end_reading() -> None:
    """Return the current request's connection to the pool while it waits for something else.

    What it reads afterwards may be newer, so nothing of it is remembered for the former position.
    """
    view = _VIEW.get()
    if view is not None:
        view.end_transaction()
        view.positions.clear()


def note_position(profile_id: str, position: int) -> None:
    """Store the position of a profile's logs for the current request."""
    view = _VIEW.get()
    if view is not None:
        view.note_position(profile_id, position)


def advance_position(connection: Connection, profile_id: str | ScalarSelect[str]) -> tuple[str, int] | None:
    """Add one to a profile's position; return its id and the new one. Locks its row until the end."""
    moved = (
        update(profiles)
        .where(profiles.c.id == profile_id)
        .values(position=profiles.c.position + 1)
        .returning(profiles.c.id, profiles.c.position)
    )
    row = connection.execute(moved).first()
    return (row.id, row.position) if row else None


def put_row(connection: Connection, table: Table, key: Mapping[str, Any], values: Mapping[str, Any]) -> None:
    """Write a row, replacing the one with this primary key."""
    dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
    written = dialect.insert(table).values(**key, **values)
    connection.execute(written.on_conflict_do_update(index_elements=key, set_=values))


def select_owner(table: Table, row_id: str) -> ScalarSelect[str]:
    """The profile of a row."""
    return select(table.c.profile_id).where(table.c.id == row_id).scalar_subquery()


def select_live(undone: ColumnElement[Any], profile_id: str, *columns: ColumnElement[Any]) -> Select[Any]:
    """Columns of the rows of a profile's log that were not undone; `undone` points to one from its undo."""
    [key] = undone.foreign_keys
    log = key.column.table
    taken_back = exists().where(undone == key.column)
    return select(*columns).where(log.c.profile_id == profile_id, ~taken_back)


class StoreLog:
    """The base of all logs: it keeps the database."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def _read_rows(self, wanted: Select[Any]) -> Iterator[Row[Any]]:
        """Read what a statement selects, to the end in one transaction."""
        with self._database.read() as connection:
            yield from connection.execute(wanted)

    def _append(self, log: Table, *, profile_id: str, **values: Any) -> None:
        """Append one row of a profile."""
        with self._database.write(profile_id) as connection:
            connection.execute(insert(log).values(profile_id=profile_id, **values))


def read_row(kind: type[R], row: Row[Any], **read: Any) -> R:
    """Return the record whose fields are named as the columns of a row; `read` holds the others."""
    return kind(**{name: getattr(row, name) for name in _list_fields(kind) if name not in read}, **read)  # type: ignore[arg-type]


@functools.cache
def _list_fields(kind: Any) -> tuple[str, ...]:
    return tuple(each.name for each in fields(kind))


L = TypeVar("L", bound=StoreLog)


def cache_reads(read: Callable[Concatenate[L, str, P], R]) -> Callable[Concatenate[L, str, P], R]:
    """A log's method that reads for a profile, and reads once for each position of that profile.

    Only inside a view that knows the position; which tables the value depends on is seen in the statements.
    """

    @functools.wraps(read)
    def remember(log: L, profile_id: str, *args: P.args, **kwargs: P.kwargs) -> R:
        view = _VIEW.get()
        position = view.positions.get(profile_id) if view else None
        if view is None or position is None:
            return read(log, profile_id, *args, **kwargs)
        key = (read.__qualname__, (*args, *(kwargs[name] for name in sorted(kwargs))))
        cache = log._database.cache
        found = cache.find(profile_id, position, key)
        if found is MISSING:
            with log._database.read() as connection, _noting_tables(connection) as tables:
                found = read(log, profile_id, *args, **kwargs)
                if view.is_at(connection, profile_id, position):
                    cache.keep(profile_id, position, key, tables, found)
        return cast(R, found.copy() if isinstance(found, list | dict | set) else found)

    return cast(Callable[Concatenate[L, str, P], R], remember)


@contextmanager
def _noting_tables(connection: Connection) -> Iterator[set[str]]:
    """Collect the tables that are read inside, also for the read that this one is a part of."""
    outer: set[str] | None = connection.info.get("read")
    tables: set[str] = set()
    connection.info["read"] = tables
    try:
        yield tables
    finally:
        if outer is None:  # what is read outside is not remembered: nobody looks for its tables
            del connection.info["read"]
        else:
            outer |= tables
            connection.info["read"] = outer


def open_database(url: str) -> Database:
    """Connect; nothing is created yet (`migrations.migrate_database` does that)."""
    sqlite = make_url(url).get_backend_name() == "sqlite"
    engine = create_engine(
        url, connect_args={"timeout": BUSY_SECONDS} if sqlite else {}, pool_pre_ping=not sqlite
    )
    event.listen(engine, "before_execute", _note_tables)
    if sqlite:
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    return Database(engine)


def _note_tables(connection: Connection, statement: Any, *_: Any) -> None:
    """Which tables a statement reads or changes."""
    if getattr(statement, "is_dml", False):
        if "touched" in connection.info:
            connection.info["touched"].add(statement.table.name)
    elif getattr(statement, "is_select", False) and "read" in connection.info:
        connection.info["read"].update(part.name for part in iterate(statement) if isinstance(part, Table))


def _prepare_sqlite(connection: Any, _record: object) -> None:
    connection.isolation_level = None  # transactions are begun below, not guessed by the driver
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=FULL")  # an answer is on disk before the next card shows
    connection.execute("PRAGMA foreign_keys=ON")
    connection.execute("PRAGMA secure_delete=ON")  # Debian builds SQLite so, others do not


def _begin_sqlite(connection: Connection) -> None:
    # A write takes the lock at once: a deferred one could read, wait, and then fail as another process wrote.
    writes = connection.get_execution_options().get("study_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
