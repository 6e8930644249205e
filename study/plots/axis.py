"""Positions of ticks and labels on an axis. Pure arithmetic, shared by static plots and live charts."""

import math
from collections.abc import Sequence

NICE_STEPS = (1.0, 2.0, 2.5, 5.0, 10.0)  # multiples of a power of ten that people read easily

SMALLEST_SPAN = 1e-200  # below it, floating point has no round numbers


def choose_ticks(low: float, high: float, *, about: int) -> tuple[float, ...]:
    """Return about `about` round numbers from `low` to `high`."""
    low, high = _with_room(low, high)
    step = choose_step((high - low) / max(1, about))
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    digits = max(0, 1 - math.floor(math.log10(step)))
    return tuple(round(number * step, digits) + 0.0 for number in range(first, last + 1))


def choose_span(low: float, high: float, *, about: int) -> tuple[float, float]:
    """Widen the range to whole ticks."""
    low, high = _with_room(low, high)
    step = choose_step((high - low) / max(1, about))
    return math.floor(low / step + 1e-9) * step, math.ceil(high / step - 1e-9) * step


def _with_room(low: float, high: float) -> tuple[float, float]:
    """Widen a range that is visually one value on both sides."""
    if high - low > max(abs(low), abs(high)) * 1e-6 and high - low > SMALLEST_SPAN:
        return low, high
    room = abs(low) / 2 if abs(low) > SMALLEST_SPAN else 1.0
    return low - room, low + room


def choose_step(rough: float, *, steps: Sequence[float] = NICE_STEPS, at_least: float = 0.75) -> float:
    """Return the smallest of `steps` times a power of ten that is no less than `at_least` of a rough step."""
    # A step that is a quarter finer than requested is better than one that is twice as coarse.
    power = 10.0 ** math.floor(math.log10(rough))
    return power * next(nice for nice in steps if nice * power >= at_least * rough)


def spread_labels(wanted: Sequence[float], *, gap: float, low: float, high: float) -> list[float]:
    """Return positions in the order of `wanted`, at least `gap` apart, from `low` to `high`, moved little.

    When they don't all fit, they are spaced evenly over the whole range.
    """
    if not wanted:
        return []
    gap = min(gap, (high - low) / max(1, len(wanted) - 1))
    order = sorted(range(len(wanted)), key=wanted.__getitem__)
    groups: list[list[float]] = []  # each [mean wanted start of its members, number of members]
    for index in order:
        groups.append([wanted[index], 1])
        while len(groups) > 1 and groups[-1][0] - groups[-2][0] < groups[-2][1] * gap:
            _merge_groups(groups, gap)
    placed = [start + number * gap for start, members in groups for number in range(int(members))]
    return _keep_inside(placed, order, gap=gap, low=low, high=high)


def _merge_groups(groups: list[list[float]], gap: float) -> None:
    """Merge the last two groups at the start that moves their members least."""
    start, members = groups.pop()
    before, count = groups[-1]
    total = count + members
    groups[-1] = [(before * count + (start - count * gap) * members) / total, total]


def _keep_inside(
    placed: list[float], order: list[int], *, gap: float, low: float, high: float
) -> list[float]:
    for number in range(len(placed)):
        placed[number] = max(placed[number], low + number * gap)
    for number in range(len(placed)):
        placed[-1 - number] = min(placed[-1 - number], high - number * gap)
    result = [0.0] * len(placed)
    for position, index in zip(placed, order, strict=True):
        result[index] = position
    return result
