"""What a grid shows, in sentences that its spread over seeds supports.

Two settings differ when the Welch interval of the difference of their mean held-out losses (B. L. Welch,
Biometrika 34, 1947) leaves out zero. The intervals of one sentence hold together at 95 %: a sentence that
compares k settings makes k (k - 1) / 2 comparisons and shares 5 % among them (Bonferroni). Degrees of freedom
are rounded down. Seeds are not paired, which can only widen an interval. A single seed has no spread and
supports nothing; nor do seeds that all ended on exactly the same loss, which is no spread either.
"""

import itertools
import math
import statistics
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Literal

from lora_lab.grid_results import Arm, Setting, at_best_rate, rates
from lora_lab.spec import BITS, TARGET_SETS, VARIANTS

Axis = Literal["rank", "bits", "targets", "variant"]
Verdict = Literal["differ", "noise", "unknown"]
AXES: tuple[Axis, ...] = ("rank", "bits", "targets", "variant")
CONFIDENCE = 0.95
SHOWN_DIFFERENCES = 3  # of one sentence


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Two groups of losses: how far apart their means are, and how far seeds alone could bring them."""

    difference: float
    """Mean of the first minus mean of the second."""

    noise: float
    """Half the width of the interval; infinite when the spread is not known."""

    @property
    def verdict(self) -> Verdict:
        """`differ` only where the spread over seeds supports it."""
        if math.isinf(self.noise):
            return "unknown"
        return "differ" if abs(self.difference) > self.noise else "noise"


def compare(first: Sequence[float], second: Sequence[float], *, comparisons: int = 1) -> Comparison:
    """Welch's interval, widened for being one of several comparisons in a sentence."""
    difference = math.fsum(first) / len(first) - math.fsum(second) / len(second)
    if min(len(first), len(second)) < 2:
        return Comparison(difference=difference, noise=math.inf)
    parts = [statistics.variance(group) / len(group) for group in (first, second)]
    error = sum(parts)
    if error <= (1e-12 * max(map(abs, (*first, *second)))) ** 2:
        return Comparison(difference=difference, noise=math.inf if difference else 0.0)
    freedom = error**2 / sum(
        part**2 / (len(group) - 1) for part, group in zip(parts, (first, second), strict=True)
    )
    quantile = t_quantile(1 - (1 - CONFIDENCE) / (2 * comparisons), max(1, math.floor(freedom + 1e-9)))
    return Comparison(difference=difference, noise=quantile * math.sqrt(error))


@cache
def t_quantile(probability: float, freedom: int) -> float:
    """The t that a Student variable with `freedom` degrees stays below with this probability above a half."""
    low, high = 0.0, 1.0
    while _t_below(high, freedom) < probability:
        high *= 2
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if _t_below(middle, freedom) < probability else (low, middle)
    return high


def _t_below(t: float, freedom: int) -> float:
    """Student's distribution function in closed form (Abramowitz and Stegun, 26.7.3 and 26.7.4)."""
    angle = math.atan(t / math.sqrt(freedom))
    cosine, sine = math.cos(angle), math.sin(angle)
    odd = freedom % 2
    term, total = (cosine, 0.0) if odd else (1.0, 0.0)
    for k in range(1 + odd, freedom, 2):
        total += term
        term *= cosine**2 * k / (k + 1)
    within = 2 / math.pi * (angle + sine * total) if odd else sine * total
    return (1 + within) / 2


Judged = tuple[Arm, Arm, Comparison]


# ---- sentences


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One sentence about one axis, all else equal."""

    axis: Axis
    context: str
    """The row of the grid it is about, such as `nf4, attention`; empty when there is one row only."""

    claim: str
    """Short enough for a title, without the context and without a full stop."""

    detail: str
    """The numbers behind it."""

    verdict: Verdict
    """`differ` when at least one pair does."""

    @property
    def headline(self) -> str:
        """`No difference beyond seed noise between r=8 and r=64 at nf4`."""
        return f"{self.claim} at {self.context}" if self.context else self.claim

    @property
    def text(self) -> str:
        """The whole of it."""
        return f"{self.headline}{self.detail}"


def findings(arms: Iterable[Arm]) -> list[Finding]:
    """One for each axis and each row of the grid along it, at every setting's best learning rate."""
    best = [arm for arm in at_best_rate(arms) if arm.losses]
    return [finding for axis in AXES for finding in _along(axis, best)]


def _along(axis: Axis, arms: Sequence[Arm]) -> Iterator[Finding]:
    others = [other for other in AXES if other != axis]
    varied = [other for other in others if len({getattr(arm.setting, other) for arm in arms}) > 1]
    rows: dict[tuple[object, ...], list[Arm]] = {}
    for arm in arms:
        rows.setdefault(tuple(getattr(arm.setting, other) for other in others), []).append(arm)
    for row in rows.values():
        if len(row) > 1:
            context = ", ".join(level(row[0].setting, other) for other in varied)
            yield _finding(axis, context, sorted(row, key=lambda arm: _place(arm.setting, axis)))


def _finding(axis: Axis, context: str, row: Sequence[Arm]) -> Finding:
    spread = [arm for arm in row if len(set(arm.losses)) > 1]
    if len(spread) < 2:
        return Finding(axis=axis, context=context, verdict="unknown", **_unknown(axis, row))
    pairs = list(itertools.combinations(spread, 2))
    judged = [(a, b, compare(a.losses, b.losses, comparisons=len(pairs))) for a, b in pairs]
    judged.sort(key=_by_gap)
    apart = [pair for pair in judged if pair[2].verdict == "differ"]
    said = _apart(axis, apart, len(pairs)) if apart else _alike(axis, spread, judged[0])
    left_out = [arm for arm in row if arm not in spread]
    if left_out:
        said["detail"] += f" Not compared, having no spread over seeds: {_names(left_out, axis)}."
    return Finding(axis=axis, context=context, verdict="differ" if apart else "noise", **said)


def _by_gap(pair: Judged) -> float:
    return -abs(pair[2].difference)


def _unknown(axis: Axis, row: Sequence[Arm]) -> dict[str, str]:
    if all(len(arm.losses) < 2 for arm in row):
        return {
            "claim": f"One seed can't tell {_names(row, axis)} apart",
            "detail": ". Add two seeds or more.",
        }
    return {"claim": f"Too few seeds finished to tell {_names(row, axis)} apart", "detail": "."}


def _alike(axis: Axis, row: Sequence[Arm], widest: Judged) -> dict[str, str]:
    a, b, found = widest
    join, whose = "between", ""
    if len(row) > 2:
        join, whose = "among", f" ({level(a.setting, axis)} and {level(b.setting, axis)})"
    return {
        "claim": f"No difference beyond seed noise {join} {_names(row, axis)}",
        "detail": (
            f": the largest gap{whose} is {abs(found.difference):.3f}, and seeds alone explain up to "
            f"{found.noise:.3f} ({_seeds(row)})."
        ),
    }


def _apart(axis: Axis, apart: Sequence[Judged], pairs: int) -> dict[str, str]:
    first, *others = (_difference(axis, *pair) for pair in apart)
    detail = "".join(f"; {other}" for other in others[: SHOWN_DIFFERENCES - 1])
    more, rest = len(apart) - SHOWN_DIFFERENCES, pairs - len(apart)
    if more > 0:
        detail += f"; {more} more"
    detail += f" ({_seeds([arm for pair in apart for arm in pair[:2]])})."
    if rest:
        detail += f" No difference beyond seed noise in the other {_pairs(rest)}."
    return {"claim": first, "detail": detail}


def _difference(axis: Axis, a: Arm, b: Arm, found: Comparison) -> str:
    low, high = (a, b) if found.difference < 0 else (b, a)
    gap = f"{abs(found.difference):.3f} ± {found.noise:.3f}"
    return f"{level(low.setting, axis)} ends {gap} lower than {level(high.setting, axis)}"


def _pairs(number: int) -> str:
    return "pair" if number == 1 else f"{number} pairs"


def _seeds(arms: Sequence[Arm]) -> str:
    fewest, most = min(len(arm.losses) for arm in arms), max(len(arm.losses) for arm in arms)
    return f"{fewest} seeds" if fewest == most else f"{fewest} to {most} seeds"


def _names(row: Sequence[Arm], axis: Axis) -> str:
    *first, last = (level(arm.setting, axis) for arm in row)
    return f"{', '.join(first)} and {last}" if first else last


def level(setting: Setting, axis: Axis) -> str:
    """`r=8`, `nf4-dq`, `attention`, `dora`."""
    value = getattr(setting, axis)
    return f"r={value}" if axis == "rank" else str(value)


def _place(setting: Setting, axis: Axis) -> int:
    orders: dict[Axis, Callable[[], int]] = {
        "rank": lambda: setting.rank,
        "bits": lambda: BITS.index(setting.bits),
        "targets": lambda: TARGET_SETS.index(setting.targets),
        "variant": lambda: VARIANTS.index(setting.variant),
    }
    return orders[axis]()


# ---- learning rates


def variants_share_one_rate(arms: Sequence[Arm]) -> bool:
    """A race between variants at a single learning rate, which says little (arXiv:2602.04998)."""
    return len({arm.setting.variant for arm in arms}) > 1 and len(rates(arms)) == 1


def at_the_edge(arms: Sequence[Arm]) -> list[Arm]:
    """Settings whose best learning rate is the lowest or highest one tried: the real best may lie beyond."""
    tried = rates(arms)
    if len(tried) < 2:
        return []
    return [
        arm for arm in at_best_rate(arms) if arm.losses and arm.setting.learning_rate in (tried[0], tried[-1])
    ]


def rank_headline(found: Sequence[Finding]) -> str:
    """What the findings about ranks come to, as a title."""
    about = [each for each in found if each.axis == "rank"]
    if not about:
        return "Held-out loss by rank"
    for verdict in ("differ", "noise", "unknown"):
        chosen = [each for each in about if each.verdict == verdict]
        if chosen:
            break
    same = len(about) > 1 and len({each.claim for each in about}) == 1
    return f"{chosen[0].claim}, at any bit width" if same else chosen[0].headline
