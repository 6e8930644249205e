"""Short messages between the processes that share a PostgreSQL database: NOTIFY and LISTEN.

A message may be lost, for example when a connection breaks; listeners therefore also poll.
"""

import contextlib
import threading
from collections.abc import Callable
from typing import Any

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError

from study.store.database import Database

CHANNEL = "lora_study"
LOOK_SECONDS = 0.5
AGAIN_SECONDS = 1.0


class Notices:
    """One connection listens in a thread from `listen` to `close`; each message is sent on another."""

    def __init__(self, database: Database) -> None:
        self._engine = database.engine.execution_options(isolation_level="AUTOCOMMIT")
        self._closing = threading.Event()

    def send(self, message: str) -> None:
        """Send a message to all who listen, this process too. Raises DBAPIError when the server is away."""
        with self._engine.connect() as connection:
            wanted = text("SELECT pg_notify(:channel, :message)")
            connection.execute(wanted, {"channel": CHANNEL, "message": message})

    def listen(self, heard: Callable[[str], object], *, connected: Callable[[], object]) -> None:
        """Call `heard` with each message, and `connected` whenever messages may have been lost before.

        Both are called in a thread of this object's own.
        """
        threading.Thread(target=self._serve, args=(heard, connected), name="notices", daemon=True).start()

    def close(self) -> None:
        """Stop listening, within `LOOK_SECONDS`."""
        self._closing.set()

    def _serve(self, heard: Callable[[str], object], connected: Callable[[], object]) -> None:
        import psycopg  # an extra, as the server is

        while not self._closing.is_set():
            away = contextlib.suppress(DBAPIError, psycopg.Error)  # the server is: again in a moment
            with away, self._engine.connect() as connection:
                driver: Any = connection.connection.driver_connection
                connection.detach()  # it listens, so that nothing else may use it afterwards
                connection.exec_driver_sql(f"LISTEN {CHANNEL}")
                connected()
                while not self._closing.is_set():
                    for notice in driver.notifies(timeout=LOOK_SECONDS):
                        heard(notice.payload)
            self._closing.wait(AGAIN_SECONDS)
