"""A limit on processor time, for readings that must not take minutes."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def cpu_time_limit(seconds: int) -> Iterator[None]:
    """Raise TimeoutError after so many seconds of this process's own processor time."""

    def end(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGVTALRM, end)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)
