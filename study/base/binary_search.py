"""The largest whole number for which something still holds."""

from bisect import bisect_left
from collections.abc import Callable


def find_largest(holds: Callable[[int], bool], *, none: int, most: int) -> int:
    """Find the largest number above `none` and up to `most` for which `holds`; `none` where it does for none.

    It must hold for every number below one for which it holds. Asks about log2 of the range's length.
    """
    return none + bisect_left(range(none + 1, most + 1), True, key=lambda number: not holds(number))
