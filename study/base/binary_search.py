"""The largest whole number for which something still holds, or whose measure is within a limit."""

from bisect import bisect_left
from collections.abc import Callable


def find_largest(holds: Callable[[int], bool], *, none: int, most: int) -> int:
    """Find the largest number above `none` and up to `most` for which `holds`; `none` where it does for none.

    It must hold for every number below one for which it holds. Asks about log2 of the range's length.
    """
    return none + bisect_left(range(none + 1, most + 1), True, key=lambda number: not holds(number))


def find_largest_within(measure: Callable[[int], int], limit: int, *, none: int, most: int) -> int:
    """Find the largest number above `none` and up to `most` whose measure is at most `limit`; else `none`.

    The measure must not fall when the number grows. The next number asked about is where a straight line
    between the two ends meets the limit, and then the middle, unless the range has halved already: about five
    questions where the measure grows evenly, and never more than twice log2 of the range's length.
    """
    if most <= none or (at_low := measure(none + 1)) > limit:
        return none
    if (at_high := measure(most)) <= limit:
        return most
    low, high = none + 1, most
    while high - low > 1:
        width = high - low
        on_line = low + (limit - at_low) * width // (at_high - at_low)
        for half in (False, True):
            asked = (low + high) // 2 if half else min(max(on_line, low + 1), high - 1)
            found = measure(asked)
            if found <= limit:
                low, at_low = asked, found
            else:
                high, at_high = asked, found
            if high - low <= max(1, width // 2):
                break
    return low
