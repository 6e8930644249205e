"""A question family: texts with placeholders, and a function that draws the numbers for them.

A placeholder of a text stands for one of the drawn `values`, for the `right` number or, in the feedback to a
slip, for the `wrong` one. A value with an entry in `phrases` is replaced by that entry's text.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import Random
from typing import Annotated, Any

from quizzes.families.drawn import (
    WRONG_OPTIONS,
    DrawnAnswer,
    DrawnKind,
    DrawnNumbers,
    DrawnQuestion,
    keep_distinct,
)
from quizzes.families.template import FamilyTemplate, read_template
from quizzes.kinds.choices import RIGHT
from study.base.typed_numbers import is_known_unit
from study.content.yaml_reader import ContentError, Fields, Level, Problem

DrawNumbers = Callable[[Random], DrawnNumbers]


@dataclass(frozen=True, kw_only=True)
class SlipText:
    """What a wrong answer shows: the misconception completes "you"."""

    misconception: str
    feedback: Annotated[FamilyTemplate, read_template]


@dataclass(frozen=True, kw_only=True)
class QuestionFamily:
    """A generator of questions about one idea. The id never changes: the log holds `id@seed`."""

    id: str
    title: str
    concepts: tuple[str, ...]
    level: Level
    kind: DrawnKind
    answer: Annotated[FamilyTemplate, read_template]
    """How an answer is written; its only placeholder is `answer`."""

    unit: str = ""
    source: str = ""
    stem: Annotated[FamilyTemplate, read_template]
    right: Annotated[FamilyTemplate, read_template]
    slips: Mapping[str, SlipText]
    steps: tuple[FamilyTemplate, ...]
    hint: Annotated[FamilyTemplate, read_template]
    keep: Annotated[FamilyTemplate, read_template]
    phrases: Mapping[str, Mapping[str, FamilyTemplate]]
    """Texts for a value that is a word or one of a few numbers: value name, value, text."""

    draw_numbers: DrawNumbers
    build_problem: Callable[[str], Problem]
    """Builds a problem that names the file and line of the texts."""

    def note_problems(self, fields: Fields) -> None:
        """Note an answer without its number, and an unknown unit."""
        if self.answer.names != {"answer"}:
            fields.note("`answer` must have the placeholder {answer} and no other")
        if not is_known_unit(self.unit):
            fields.note(f"unknown unit {self.unit!r}")

    def draw(self, rng: Random) -> DrawnQuestion:
        """Draw numbers and fill the texts. Raises ContentError with all values that they miss."""
        numbers = self.draw_numbers(rng)
        texts = _FilledTexts(self, numbers)
        right = DrawnAnswer(
            id=RIGHT,
            misconception="",
            value=numbers.right,
            text=self.answer.fill({"answer": numbers.right}),
            feedback=texts.fill("right", self.right),
        )
        slips = tuple(texts.fill_slip(slip_id, value) for slip_id, value in numbers.slips.items())
        apart = keep_distinct(right, slips, tolerance=numbers.tolerance)
        if self.kind == "single":
            count = min(WRONG_OPTIONS, len(apart))
            # Sampled: a fixed choice of slips would mostly make the right number the smallest.
            apart = apart[:count] if numbers.in_order else tuple(rng.sample(apart, count))
        filled = {name: texts.fill(name, getattr(self, name)) for name in ("stem", "hint", "keep")}
        steps = "\n".join(texts.fill("steps", step) for step in self.steps)
        if texts.problems:
            raise ContentError(texts.problems)
        return DrawnQuestion(
            kind=self.kind,
            right=right,
            wrong=apart,
            steps=tuple(steps.splitlines()),  # one value may hold several lines
            checks=numbers.checks,
            source=self.source,
            unit=self.unit,
            tolerance=numbers.tolerance if self.kind == "numeric" else 0.0,
            shape=numbers.shape,
            **filled,
        )

    @property
    def names(self) -> frozenset[str]:
        """The drawn values that any text needs."""
        phrases = [text for texts in self.phrases.values() for text in texts.values()]
        feedback = [self.right, *(slip.feedback for slip in self.slips.values())]
        texts = (self.stem, self.hint, self.keep, *self.steps, *phrases, *feedback)
        return frozenset().union(*(text.names for text in texts)) - {"right", "wrong"}


class _FilledTexts:
    """Fills the texts of one draw and notes each value that they miss."""

    def __init__(self, family: QuestionFamily, numbers: DrawnNumbers) -> None:
        self._family = family
        self.problems: list[Problem] = []
        self._values: dict[str, Any] = {**numbers.values, "right": numbers.right}
        phrased = {}
        for name, texts in family.phrases.items():
            key = str(numbers.values.get(name))
            if key in texts:
                phrased[name] = self.fill(f"phrases.{name}.{key}", texts[key])
            else:
                self._note(f"`phrases` has no {name} for the value {key}")
        self._values.update(phrased)

    def fill(self, field: str, text: FamilyTemplate, **more: float) -> str:
        """Return the filled text; note what it misses and return an empty one."""
        values = {**self._values, **more}
        missing = text.names - values.keys()
        for name in sorted(missing):
            self._note(f"`{field}`: {{{name}}} is not drawn")
        return "" if missing else text.fill(values)

    def fill_slip(self, slip_id: str, value: float) -> DrawnAnswer:
        """Return a slip with its texts; note when the family has none for it."""
        text = self._family.slips.get(slip_id)
        if text is None:
            self._note(f"`slips` has no {slip_id}")
            text = SlipText(misconception="", feedback=FamilyTemplate())
        return DrawnAnswer(
            id=slip_id,
            value=value,
            text=self._family.answer.fill({"answer": value}),
            misconception=text.misconception,
            feedback=self.fill(f"slips.{slip_id}", text.feedback, wrong=value),
        )

    def _note(self, text: str) -> None:
        self.problems.append(self._family.build_problem(text))
