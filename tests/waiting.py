"""Waiting for something that another process, thread or task does."""

import asyncio
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


async def until(holds: Callable[[], object], *, seconds: float = 60) -> None:
    """Wait until something holds; fail when it never does, on a busy machine either."""
    async with asyncio.timeout(seconds):
        while not holds():
            await asyncio.sleep(LOOK_AGAIN_SECONDS)
