"""Waiting for something that another process or thread does."""

import threading
import time
from collections.abc import Callable
from typing import TypeVar

LOOK_AGAIN_SECONDS = 0.02


T = TypeVar("T")


def wait_for(ask: Callable[[], T], holds: Callable[[T], object] = bool, *, seconds: float) -> T:
    """Ask again and again, and return the first answer that is as wanted. Fails with the last one."""
    pause, deadline = threading.Event(), time.monotonic() + seconds
    while not holds(found := ask()):
        assert time.monotonic() < deadline, f"still {found} after {seconds} s"
        pause.wait(LOOK_AGAIN_SECONDS)
    return found
