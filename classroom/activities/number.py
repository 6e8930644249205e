"""Reading a number that a person typed, writing it, and saying how far it is from the true one."""

import math
from decimal import Decimal
from typing import Any

from classroom.activities.distribution import is_close
from study.base.errors import FieldError, LearnerError
from study.base.typed_numbers import is_known_unit, parse_in_unit

LARGEST_GUESS = 1e15
LIMITS = {
    "percent-trainable": (0.0, 100.0),
    "peak-memory": (0.0, LARGEST_GUESS),
    "final-loss": (0.0, LARGEST_GUESS),
}
"""The lowest and the highest value that a measured quantity can have."""

NATS = "nats"
UNIT_MEANINGS = {
    NATS: "The loss is minus the natural logarithm of the probability that the model gives to the right "
    "token, as a mean over tokens. Its unit is the nat."
}
"""Explains units that students may not know."""


def read_number(written: Any, *, unit: str = "", quantity: str = "") -> float:
    """Parse a guess as cards and quizzes do: a number in the unit that is asked for, or in one like it.

    Raises FieldError for anything else, and for a value that the quantity can't have.
    """
    text = str(written if written is not None else "").strip()
    if not is_known_unit(unit) and text.casefold().endswith(unit.casefold()):
        text = text[: -len(unit)]
    try:
        number = parse_in_unit(text, unit)
    except LearnerError as error:
        raise FieldError("number", error.what, do_next=error.do_next) from error
    if abs(number) > LARGEST_GUESS:
        do_next = "Write it in another unit, then send it."
        raise FieldError("number", "That number is too large.", do_next=do_next)
    low, high = LIMITS.get(quantity, (-math.inf, math.inf))
    if not low <= number <= high:
        allowed = f"{low:g} to {high:g} {unit}" if high < LARGEST_GUESS else f"{low:g} or more"
        what = f"{number:g} {unit} isn't a possible value."
        raise FieldError("number", what, do_next=f"Type {allowed}, then send it.")
    return number


def as_number(value: float) -> str:
    """A guess or a value with at most four significant digits, and separators in thousands; no exponent."""
    return format(_round(value), ",f" if abs(value) >= 1000 else "f")


def _round(value: float) -> Decimal:
    """Round to what `as_number` shows."""
    return Decimal(f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}")


def with_unit(value: float, unit: str) -> str:
    """The same with its unit: `1.94 %`."""
    return f"{as_number(value)} {unit}".rstrip()


def tell_distance(guess: float, value: float, unit: str) -> str:
    """How far a guess is from the value, in a sentence."""
    if is_close(guess, value):
        return "Your guess is within 10 % of it."
    points = "percentage points" if unit == "%" else unit
    distance = abs(_round(guess) - _round(value))  # of the two numbers that stand beside it
    return f"Your guess is off by {with_unit(float(distance), points)}."
