"""How guesses of a number are spread, by interval."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from study.plots.axis import choose_step

BINS_AT_MOST = 12
RESOLUTION = 1e-9
"""Guesses closer together than this, relative or absolute, count as one."""

REACH = 7
"""How many median distances from the median a guess may be: as far as three quartile distances beyond a
quartile of a normal distribution."""

CLOSE_SHARE = 0.10
"""A guess within 10 % of the true value is close."""


@dataclass(frozen=True, kw_only=True)
class Bins:
    """Guesses by interval: `counts[i]` lie in [edges[i], edges[i + 1])."""

    edges: tuple[float, ...]
    counts: tuple[int, ...]
    middle: float | None
    """The median guess."""

    beyond: int = 0
    """Guesses beyond the edges, which the first and the last interval count."""


def spread_guesses(guesses: Sequence[float], *, value: float | None = None) -> Bins:
    """Spread guesses over equal intervals with round edges that also cover the true value, if it is known.

    Guesses far off are counted in the first and last interval, so that one joke does not squeeze all others
    into one column.
    """
    if not guesses:
        return Bins(edges=(), counts=(), middle=None)
    low, high = _compute_kept_range(sorted(guesses))
    if value is not None:
        low, high = min(low, value), max(high, value)
    span = high - low
    if span <= RESOLUTION * max(abs(low), abs(high)) or span < RESOLUTION:  # edges are rounded to 12 places
        span = abs(high) if abs(high) > RESOLUTION else 1.0
    # The smallest of 1, 2, 5 times a power of ten that needs at most BINS_AT_MOST - 1 steps.
    step = choose_step(span / (BINS_AT_MOST - 1), steps=(1.0, 2.0, 5.0, 10.0), at_least=1 - 1e-9)
    first = math.floor(low / step)
    count = max(1, math.floor(high / step) - first + 1)
    counts = [0] * count
    for guess in guesses:
        counts[min(count - 1, max(0, math.floor(guess / step) - first))] += 1
    edges = tuple(round((first + i) * step, 12) for i in range(count + 1))
    beyond = sum(not low <= guess <= high for guess in guesses)
    return Bins(edges=edges, counts=tuple(counts), middle=float(median(guesses)), beyond=beyond)


def is_close(guess: float, value: float) -> bool:
    """Whether a guess is within 10 % of the true value."""
    return abs(guess - value) <= CLOSE_SHARE * abs(value)


def _compute_kept_range(ordered: Sequence[float]) -> tuple[float, float]:
    """Compute the range of the guesses that lie within a few median distances of the median.

    Where most guesses are equal, that distance is zero: then those up to twice the median are kept.
    """
    middle = median(ordered)
    reach = REACH * median(abs(guess - middle) for guess in ordered) or abs(middle)
    kept = [guess for guess in ordered if abs(guess - middle) <= reach]
    return kept[0], kept[-1]
