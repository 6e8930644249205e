"""Numbers from files that anyone may have written."""

import sys
from typing import TypeGuard


def is_finite_number(value: object) -> TypeGuard[int | float]:
    """Return whether a value can be reckoned with as a float: no infinity, no NaN, no endless integer.

    `math.isfinite` raises OverflowError for an integer beyond the floats.
    """
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return abs(value) <= sys.float_info.max
