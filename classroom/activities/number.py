"""Reading a number that a person typed, and writing it."""

import math
from decimal import Decimal
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


def as_number(value: float) -> str:
    """A guess or a value with at most four significant digits, and separators in thousands; no exponent."""
    if abs(value) >= 1000:
        return f"{value:,.0f}"
    return format(Decimal(f"{value:.4g}"), "f")


def with_unit(value: float, unit: str) -> str:
    """The same with its unit: `1.94 %`."""
    return f"{as_number(value)} {unit}".rstrip()
