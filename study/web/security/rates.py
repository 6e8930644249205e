"""How often one device may ask: a token bucket each, in memory only."""

import time
from collections import OrderedDict
from collections.abc import Callable
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
