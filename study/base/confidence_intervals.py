"""Statistics of few trials: Wilson's 95 % interval of a share, also near 0 and 1, and correlation."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import StatisticsError, correlation

Z = 1.959964  # 95 % of a normal distribution lie within this many standard deviations


@dataclass(frozen=True, kw_only=True)
class Share:
    """Hits among trials; needs at least one trial."""

    hits: int
    trials: int

    @property
    def value(self) -> float:
        return self.hits / self.trials

    @property
    def interval(self) -> tuple[float, float]:
        """Wilson's score interval, both bounds from 0 to 1.

        Sources: Wilson 1927; Brown, Cai and DasGupta 2001, Statistical Science 16:101. n trials, share p:
        middle = (p + Z²/2n) / (1 + Z²/n), half width = Z / (1 + Z²/n) · √(p(1 - p)/n + Z²/4n²).
        """
        n, share = self.trials, self.value
        middle = (share + Z * Z / (2 * n)) / (1 + Z * Z / n)
        half = Z / (1 + Z * Z / n) * math.sqrt(share * (1 - share) / n + Z * Z / (4 * n * n))
        return max(0.0, middle - half), min(1.0, middle + half)

    @property
    def cells(self) -> tuple[int, int, float, float, float]:
        """A table row: hits, trials, then the share and its interval in percent."""
        low, high = self.interval
        return self.hits, self.trials, 100 * self.value, 100 * low, 100 * high

    def __str__(self) -> str:
        low, high = self.interval
        return f"{format_percent(self.value)} ({format_percent(low)} to {format_percent(high)})"


def compute_share(outcomes: list[bool]) -> Share | None:
    """Compute the share of true outcomes; None without any outcome."""
    return Share(hits=sum(outcomes), trials=len(outcomes)) if outcomes else None


def correlate(pairs: Sequence[tuple[float, float]], *, at_least: int) -> float | None:
    """Return the correlation of pairs; None for fewer of them, and where either side never varies."""
    if len(pairs) < at_least:
        return None
    try:
        return correlation([float(one) for one, _ in pairs], [other for _, other in pairs])
    except StatisticsError:
        return None


def format_percent(share: float) -> str:
    """Format a share as `87 %` with a no-break space: a few hundred trials resolve whole percents only."""
    return f"{100 * share:.0f}\N{NO-BREAK SPACE}%"
