"""Waiting for what another process has to do first."""

import asyncio
from collections.abc import Callable

SECONDS = 60.0
"""Until something must have happened: the machine may be busy."""


async def until(seen: Callable[[], bool]) -> None:
    for _ in range(int(SECONDS / 0.02)):
        if seen():
            return
        await asyncio.sleep(0.02)
    raise AssertionError("It did not come.")
