"""Welch's t-test: whether two groups of losses differ by more than their seeds explain.

B. L. Welch, "The generalization of Student's problem when several different population variances are
involved", Biometrika 34, 1947. Degrees of freedom are rounded down. Seeds are not paired: where equal seeds
give correlated results, because they order the data equally, that is the wider interval. A single seed
supports no conclusion.
"""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

SeedVerdict = Literal["differ", "noise", "unknown"]
CONFIDENCE = 0.95


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two groups of losses: the difference of their means, and its confidence interval."""

    difference: float
    """Mean of the first minus mean of the second."""

    noise: float
    """Half the width of the interval; infinite if the spread is unknown."""

    @property
    def verdict(self) -> SeedVerdict:
        """`differ` only if the spread over seeds supports it."""
        if math.isinf(self.noise):
            return "unknown"
        return "differ" if abs(self.difference) > self.noise else "noise"


def compare_groups(first: Sequence[float], second: Sequence[float], *, comparisons: int = 1) -> Comparison:
    """Compute Welch's interval, widened (Bonferroni) for `comparisons` comparisons in one sentence."""
    difference = math.fsum(first) / len(first) - math.fsum(second) / len(second)
    if min(len(first), len(second)) < 2:
        return Comparison(difference=difference, noise=math.inf)
    # s²/n of each group: their sum is the variance of the difference of the means.
    parts = [statistics.variance(group) / len(group) for group in (first, second)]
    error = sum(parts)
    if error <= (1e-12 * max(map(abs, (*first, *second)))) ** 2:
        return Comparison(difference=difference, noise=math.inf if difference else 0.0)
    # Welch-Satterthwaite: (s1²/n1 + s2²/n2)² / sum of (s²/n)² / (n - 1).
    freedom = error**2 / sum(
        part**2 / (len(group) - 1) for part, group in zip(parts, (first, second), strict=True)
    )
    quantile = compute_t_quantile(
        1 - (1 - CONFIDENCE) / (2 * comparisons), max(1, math.floor(freedom + 1e-9))
    )
    return Comparison(difference=difference, noise=quantile * math.sqrt(error))


@cache
def compute_t_quantile(probability: float, freedom: int) -> float:
    """Return the quantile of Student's t with `freedom` degrees of freedom, for a probability above 0.5."""
    low, high = 0.0, 1.0
    while _compute_t_below(high, freedom) < probability:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if _compute_t_below(middle, freedom) < probability else (low, middle)
    return high


def _compute_t_below(t: float, freedom: int) -> float:
    """Compute Student's distribution function in closed form (Abramowitz and Stegun, 26.7.3 and 26.7.4)."""
    # With a = atan(t / sqrt(f)): P(|T| < t) is sin a · (1 + cos²a/2 + 1·3 cos⁴a/(2·4) + ...) for even f, and
    # 2/π · (a + sin a · (cos a + 2/3 cos³a + ...)) for odd f, up to the power f - 2.
    angle = math.atan(t / math.sqrt(freedom))
    cosine, sine = math.cos(angle), math.sin(angle)
    odd = freedom % 2
    term, total = (cosine, 0.0) if odd else (1.0, 0.0)
    for k in range(1 + odd, freedom, 2):
        total += term
        term *= cosine**2 * k / (k + 1)
    within = 2 / math.pi * (angle + sine * total) if odd else sine * total
    return (1 + within) / 2
