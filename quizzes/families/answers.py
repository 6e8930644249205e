"""Answer options of a drawn question: the right one, and one distractor per misconception, written alike."""

from collections.abc import Callable, Sequence
from random import Random

from quizzes.families.drawn import WRONG_OPTIONS, Right, Slip, keep_distinct
from quizzes.kinds.numbers import format_number
from study.base.units import as_bytes

Write = Callable[[float], str]
Mistake = tuple[str, float, str, str]
"""Id of the misconception, the number it leads to, the misconception in words, the feedback."""


def build_answers(
    write: Write, value: float, feedback: str, *mistakes: Mistake
) -> tuple[Right, tuple[Slip, ...]]:
    """Build the right answer and its distractors, in the order of the mistakes."""
    right = Right(value=value, text=write(value), feedback=feedback)
    slips = tuple(
        Slip(id=slip_id, value=wrong, text=write(wrong), misconception=misconception, feedback=why)
        for slip_id, wrong, misconception, why in mistakes
    )
    return right, slips


def sample_slips(dice: Random, right: Right, slips: Sequence[Slip], *, near: float = 0.0) -> tuple[Slip, ...]:
    """Sample up to three distractors; a fixed choice would always make the right number the smallest.

    When two mistakes lead to one number, the first is kept.
    """
    apart = keep_distinct(right, slips, tolerance=near, limit=len(slips))
    return tuple(dice.sample(apart, min(WRONG_OPTIONS, len(apart))))


def format_whole(value: float) -> str:
    """Format a whole number: `1,179,648`."""
    return f"{value:,.0f}"


def format_size(value: float) -> str:
    """Format bytes as `13.5 GB`."""
    return as_bytes(value)


def format_digits(value: float) -> str:
    """Format a number with as many digits as it has."""
    return format_number(value) if abs(value) >= 1e-3 else f"{value:.7f}".rstrip("0").rstrip(".")


def four_digits(value: float) -> str:
    """Format a number with four digits, `0.7071`, for options that nobody types."""
    return f"{value:.4g}"


def one_percent(value: float) -> float:
    """Return a tolerance of about 1 %, rounded to one digit: 0.1 for 13.477."""
    return float(f"{value / 100:.0e}")
