"""A queue with backpressure, for work that is done one at a time: few may wait, and for a limited time.

Every one who waits takes a thread of the server, and a server has forty.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from study.base.errors import LearnerError

PLACES = 8
WAIT_SECONDS = 10.0


class ShortQueue:
    """A lock that is refused in words. `what` is the work, as in "Other regular expressions"."""

    def __init__(self, what: str, *, places: int = PLACES, wait_seconds: float = WAIT_SECONDS) -> None:
        self._what = what
        self._places = threading.BoundedSemaphore(places)
        self._wait_seconds = wait_seconds
        self._lock = threading.Lock()

    @contextmanager
    def turn(self, refusal: type[LearnerError] = LearnerError) -> Iterator[None]:
        """Wait for a turn. Raises `refusal` when all places are taken, or after `wait_seconds`."""
        if not self._places.acquire(blocking=False):
            raise self._build_busy_error(refusal)
        try:
            if not self._lock.acquire(timeout=self._wait_seconds):
                raise self._build_busy_error(refusal)
            try:
                yield
            finally:
                self._lock.release()
        finally:
            self._places.release()

    def _build_busy_error(self, refusal: type[LearnerError]) -> LearnerError:
        return refusal(f"{self._what} are being read at the moment.", do_next="Try again in a moment.")
