"""Rate limits: how often one device may ask, and how much at once. A token bucket per device, in memory."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field

KEPT_AT_MOST = 20_000


@dataclass(kw_only=True)
class Rates:
    """`burst` requests at once, then `per_second`. A flood from one device leaves the others alone."""

    burst: float
    per_second: float
    clock: Callable[[], float] = time.monotonic
    _buckets: OrderedDict[str, tuple[float, float]] = field(default_factory=OrderedDict)

    def allows(self, device: str) -> bool:
        """Take one token of this device, if it has one."""
        now = self.clock()
        tokens, before = self._buckets.pop(device, (self.burst, now))
        tokens = min(self.burst, tokens + (now - before) * self.per_second)
        allowed = tokens >= 1
        self._buckets[device] = (tokens - 1 if allowed else tokens, now)
        if len(self._buckets) > KEPT_AT_MOST:
            self._buckets.popitem(last=False)
        return allowed


@dataclass
class _Line:
    places: asyncio.Semaphore
    asked: int = 0


@dataclass(kw_only=True)
class Turns:
    """`at_once` requests of one device are worked on, `waiting` more wait in turn, without a thread."""

    at_once: int
    waiting: int
    _lines: dict[str, _Line] = field(default_factory=dict)

    def are_taken(self, device: str) -> bool:
        """Return whether as many requests of this device wait as may."""
        line = self._lines.get(device)
        return line is not None and line.asked >= self.at_once + self.waiting

    @asynccontextmanager
    async def take(self, device: str) -> AsyncIterator[Callable[[], None]]:
        """Wait for a place, and leave it at the end, or as soon as the function that is given is called."""
        line = self._lines.setdefault(device, _Line(asyncio.Semaphore(self.at_once)))
        with ExitStack() as leaving:
            line.asked += 1
            leaving.callback(self._leave, device, line)
            await line.places.acquire()
            leaving.callback(line.places.release)
            yield leaving.close

    def _leave(self, device: str, line: _Line) -> None:
        line.asked -= 1
        if not line.asked:
            del self._lines[device]
