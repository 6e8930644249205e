"""A question answered by a number with a unit. The right number comes from the question's check."""

from dataclasses import dataclass
from typing import ClassVar, Literal

from quizzes.kinds.choices import read_misconception
from quizzes.kinds.grade import Form, Grade, GradedPart, Offered, Response, build_right_part, read_typed
from study.base.checks import Check
from study.base.errors import LearnerError
from study.base.numbers import is_finite_number
from study.base.typed_numbers import (
    find_unit_size,
    format_number,
    is_known_unit,
    is_within,
    parse_in_unit,
    read_number,
)
from study.content.declared import read_declared
from study.content.yaml_reader import Fields


@dataclass(frozen=True, kw_only=True)
class NumericMistake:
    """A wrong number whose mistake is recognized."""

    id: str
    value: float
    misconception: str
    feedback: str


@dataclass(frozen=True, kw_only=True)
class Numeric:
    """A number within a tolerance. Other spellings and multiples of the unit are accepted."""

    kind: ClassVar[Literal["numeric"]] = "numeric"
    value: float
    feedback: str
    unit: str = ""
    tolerance: float = 0.0
    slips: tuple[NumericMistake, ...] = ()

    @property
    def rule(self) -> str:
        """The tolerance, as the learner reads it."""
        if not self.tolerance:
            return "Only the exact number counts as right."
        return f"Within {_with_unit(format_number(self.tolerance), self.measure)} counts as right."

    @property
    def measure(self) -> str:
        """The unit as it stands in a sentence: a factor is "4 times", but nobody answers "in times"."""
        return "" if self.unit == "times" else self.unit

    @property
    def text(self) -> str:
        return _with_unit(format_number(self.value), self.unit)

    @property
    def answer(self) -> Response:
        return {"text": self.text}

    @property
    def texts(self) -> tuple[str, ...]:
        return (
            self.text,
            self.feedback,
            *(f"{format_number(slip.value)} {slip.feedback}" for slip in self.slips),
        )

    def offer(self, _salt: str) -> Offered:
        """Return nothing: the answer is typed."""
        return ()

    def read(self, form: Form, _offered: Offered) -> Response:
        """Parse the typed text. Raises LearnerError when it has no number in a matching unit."""
        text = read_typed(form, "number")
        parse_in_unit(text, self.unit)
        return {"text": text}

    def grade(self, response: Response) -> Grade:
        """Grade by the tolerance; a number that a known distractor leads to is explained by it."""
        text = str(response.get("text", ""))
        try:
            value = parse_in_unit(text, self.unit)
        except LearnerError:  # nothing was given
            return Grade(fraction=0.0, parts=(build_right_part(self.text, "missed", self.feedback),))
        typed = text if read_number(text).unit else _with_unit(text, self.unit)
        if is_within(value, self.value, tolerance=self.tolerance):
            exact = is_within(value, self.value, tolerance=0.0)
            shown = self.text if exact else f"{typed} (exactly {self.text})"
            return Grade(fraction=1.0, parts=(build_right_part(shown, "right", self.feedback),))
        slip = next((s for s in self.slips if is_within(value, s.value, tolerance=self.tolerance)), None)
        given = GradedPart(
            id=slip.id if slip else "other",
            text=typed,
            state="wrong",
            feedback=slip.feedback if slip else _describe_distance(value, self.value),
            misconception=slip.misconception if slip else "",
        )
        return Grade(fraction=0.0, parts=(given, build_right_part(self.text, "missed", self.feedback)))


def read_numeric(fields: Fields, checks: tuple[Check, ...]) -> Numeric:
    """Read unit, tolerance and known distractors; the number is that of the first check."""
    unit = fields.text("unit", default="")
    if not is_known_unit(unit):
        fields.note(f"the unit {unit!r} is not known to study/base/typed_numbers.py")
    own = _read_number(fields, "value", default=None) if fields.own and not checks else 0.0
    if not checks and not fields.own:
        fields.note("a numeric question needs a `check`: its number is the right answer")
    numeric = Numeric(
        # A check counts in bytes, a question may ask for megabytes.
        value=checks[0].expect / find_unit_size(unit) if checks else own,
        feedback=fields.text("feedback"),
        unit=unit,
        tolerance=_read_tolerance(fields),
        slips=tuple(_read_slip(entry) for entry in fields.children("slips", kind="slip", needed=False)),
    )
    for slip in numeric.slips:
        if is_within(slip.value, numeric.value, tolerance=2 * numeric.tolerance):
            fields.note(f"the slip {slip.id!r} is the right answer")
    return numeric


def _read_slip(fields: Fields) -> NumericMistake:
    found, named = read_misconception(fields, what="a slip")
    value = _read_number(fields, "value", default=None)
    return read_declared(fields, NumericMistake, id=found, value=value, misconception=named)


def _read_tolerance(fields: Fields) -> float:
    tolerance = _read_number(fields, "tolerance", default=0.0)
    if tolerance < 0:
        fields.note(f"`tolerance` must be 0 or more, got {tolerance:g}")
    return max(tolerance, 0.0)


def _read_number(fields: Fields, name: str, *, default: float | None) -> float:
    value = fields.raw(name)
    if value is None and default is not None:
        return default
    if not is_finite_number(value):
        fields.note(f"`{name}` must be a number, got {value!r}")
        return 0.0
    return float(value)


def _with_unit(number: str, unit: str) -> str:
    return f"{number} {unit}".strip()


def _describe_distance(value: float, right: float) -> str:
    if value * right <= 0:
        return "Look at the sign and size again."
    ratio = value / right
    direction, times = ("large", ratio) if ratio > 1 else ("small", 1 / ratio)
    if times >= 1000:
        return f"That is more than a thousand times too {direction}."
    if times >= 1.5:
        return f"That is {times:.3g} times too {direction}."
    return f"That is too {direction} by {100 * abs(ratio - 1):.2g} %."
