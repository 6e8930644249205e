"""How sure a share is: Wilson's 95 % interval, which behaves with few trials and near 0 and 1."""

import math
from dataclasses import dataclass

Z = 1.959964  # the normal distribution holds 95 % within so many standard deviations


@dataclass(frozen=True, kw_only=True)
class Share:
    """Hits among trials; there is at least one trial."""

    hits: int
    trials: int

    @property
    def value(self) -> float:
        """The share itself."""
        return self.hits / self.trials

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's score interval (Wilson 1927; Brown, Cai and DasGupta 2001, Statistical Science 16:101)."""
        n, share = self.trials, self.value
        middle = (share + Z * Z / (2 * n)) / (1 + Z * Z / n)
        half = Z / (1 + Z * Z / n) * math.sqrt(share * (1 - share) / n + Z * Z / (4 * n * n))
        return max(0.0, middle - half), min(1.0, middle + half)

    @property
    def cells(self) -> tuple[int, int, float, float, float]:
        """As a table shows it: hits, trials, then the share and its interval in percent."""
        low, high = self.interval
        return self.hits, self.trials, 100 * self.value, 100 * low, 100 * high

    def __str__(self) -> str:
        low, high = self.interval
        return f"{percent(self.value)} ({percent(low)} to {percent(high)})"


def share_of(outcomes: list[bool]) -> Share | None:
    """The share of true outcomes; None without any."""
    return Share(hits=sum(outcomes), trials=len(outcomes)) if outcomes else None


def percent(share: float) -> str:
    """`87 %`, never broken between lines: whole percents are as much as a few hundred trials can tell."""
    return f"{100 * share:.0f}\N{NO-BREAK SPACE}%"
