"""Work that the app does by itself every hour."""

import threading
from collections.abc import Callable

from study.base.owner_log import note_error

EVERY_SECONDS = 3600.0
CLOSE_SECONDS = 2.0
"""How long closing waits for work that is under way; what takes longer ends with the process."""


class PeriodicTask:
    """A thread that calls a function now and every hour, until it is closed.

    What the function raises is noted for the owner; its next call comes in an hour as usual.
    """

    def __init__(
        self, name: str, look: Callable[[], object], *, every_seconds: float = EVERY_SECONDS
    ) -> None:
        self._look = look
        self._every_seconds = every_seconds
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Call the function for the first time."""
        self._thread.start()

    def is_closing(self) -> bool:
        """Return whether long work should end after its next part."""
        return self._closing.is_set()

    def close(self) -> None:
        """Begin nothing further."""
        self._closing.set()
        if self._thread.is_alive():
            self._thread.join(CLOSE_SECONDS)

    def _run(self) -> None:
        while not self.is_closing():
            try:
                self._look()
            except Exception as error:
                note_error(self._thread.name, error)
            self._closing.wait(self._every_seconds)
