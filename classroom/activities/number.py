"""Reading a number that a person typed."""

import math
from typing import Any

from study.base.errors import LearnerError

LARGEST_GUESS = 1e15


def read_number(written: Any) -> float:
    """Parse a guess: digits, a decimal point or comma. Raises LearnerError for anything else."""
    text = str(written if written is not None else "").strip().replace(" ", "")
    if text.count(",") == 1 and "." not in text:
        text = text.replace(",", ".")
    try:
        number = float(text.replace(",", ""))
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or abs(number) > LARGEST_GUESS:
        raise LearnerError("That is not a number.", do_next="Type digits, such as 1.8, then send it.")
    return number
