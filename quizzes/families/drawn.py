"""What a family draws: numbers first, then the question that its texts make of them.

    def draw_count(rng: Random) -> DrawnNumbers:
        rank = rng.choice((4, 8, 16))
        count = build_check("lora_parameters_matrix", d_in=768, d_out=768, rank=rank)
        return DrawnNumbers(
            right=count.expect,
            slips={"full-matrix": 768 * 768, "only-a": rank * 768},
            values={"rank": rank},
            checks=(count,),
        )

The right number comes from a lab function, by its name in the registry of checks; a distractor comes from the
misconception that produces it.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from quizzes.kinds.matrix_shape import Shape
from study.base.checks import Check, evaluate

DrawnKind = Literal["single", "numeric"]
WRONG_OPTIONS = 3

WIDTHS = (512, 768, 1024, 2048, 4096)
RANKS = (2, 4, 8, 16, 32, 64)
"""What most families draw the sides of a matrix and the rank from."""


@dataclass(frozen=True, kw_only=True)
class DrawnNumbers:
    """One draw: the right number, a number per slip, and the values that the texts name."""

    right: float
    slips: Mapping[str, float]
    """Slip id to wrong number, in the order of preference when two are the same."""

    values: Mapping[str, Any]
    """Numbers, words and lists of numbers by placeholder."""

    checks: tuple[Check, ...] = ()
    tolerance: float = 0.0
    """How far off still counts as the same answer, in the unit of the answer."""

    in_order: bool = False
    """Keep the first slips instead of a sample: ids from before sampling still draw what they drew."""

    shape: Shape | None = None


@dataclass(frozen=True, kw_only=True)
class DrawnAnswer:
    """The right answer, or a distractor, which a misconception leads to: as a number and as option text."""

    id: str
    """What the log has of it."""

    value: float
    text: str
    misconception: str
    """Empty for the right answer."""

    feedback: str


@dataclass(frozen=True, kw_only=True)
class DrawnQuestion:
    """One drawn question. For a numeric one, `wrong` are the numbers whose mistake is recognized."""

    kind: DrawnKind
    stem: str
    right: DrawnAnswer
    wrong: tuple[DrawnAnswer, ...]
    steps: tuple[str, ...]
    """The arithmetic line by line; the last line shows the answer."""

    hint: str
    keep: str
    checks: tuple[Check, ...] = ()
    source: str = ""
    unit: str = ""
    """Numeric only: a unit that `study.base.typed_numbers` knows, or nothing."""

    tolerance: float = 0.0
    """Numeric only: how far off counts as right, in the unit."""

    shape: Shape | None = None
    """The matrix that the question is about, drawn next to it."""

    def __post_init__(self) -> None:
        apart = keep_distinct(self.right, self.wrong, tolerance=self.tolerance)
        if apart != self.wrong:
            raise ValueError(f"two answers are the same, or a wrong one is right: {self.stem}")
        if self.kind == "single" and not 2 <= len(self.wrong) <= WRONG_OPTIONS:
            raise ValueError(f"needs 2 or 3 wrong options, got {len(self.wrong)}: {self.stem}")
        if not self.checks and not self.source:
            raise ValueError(f"has neither a check nor a source: {self.stem}")


def build_check(quantity: str, **arguments: Any) -> Check:
    """Build a check whose `expect` is computed now by the lab."""
    found = evaluate(Check(quantity=quantity, arguments=arguments, expect=0.0))
    return Check(quantity=quantity, arguments=arguments, expect=found)


def keep_distinct(
    right: DrawnAnswer, slips: Sequence[DrawnAnswer], *, tolerance: float
) -> tuple[DrawnAnswer, ...]:
    """Return the distractors that differ from the right answer and each other, in value and text.

    For some numbers two mistakes lead to the same result, or a mistake leads to the right one.
    """
    kept: list[DrawnAnswer] = []
    for slip in slips:
        if not any(_are_alike(slip, other, tolerance) for other in (right, *kept)):
            kept.append(slip)
    return tuple(kept)


def _are_alike(slip: DrawnAnswer, other: DrawnAnswer, tolerance: float) -> bool:
    # Twice the tolerance: no answer may be within reach of two numbers.
    near = math.isclose(slip.value, other.value, rel_tol=1e-9, abs_tol=2 * tolerance)
    return near or slip.text == other.text or slip.id == other.id


def compute_tolerance(value: float, percent: float) -> float:
    """Return about so many percent as a tolerance of one digit, which a learner can read: 0.1 for 13.477."""
    return float(f"{abs(value) / (100 / percent):.0e}")


def count_decimals_apart(right: float, mistake: float) -> int:
    """Return how many decimals tell a mistake from the right number, with the last one off by one."""
    return math.floor(-math.log10(abs(right - mistake) / 2)) + 1
