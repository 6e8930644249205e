"""The largest whole number for which something still holds, by halving the range."""

from collections.abc import Callable


def largest_holding(holds: Callable[[int], bool], *, none: int, most: int) -> int:
    """Find the largest number above `none` and up to `most` for which `holds`; `none` where it does for none.

    It must hold for every number below one for which it holds. Asks about log2 of the range's length.
    """
    low, high = none, most
    while low < high:
        middle = (low + high + 1) // 2
        if holds(middle):
            low = middle
        else:
            high = middle - 1
    return low
