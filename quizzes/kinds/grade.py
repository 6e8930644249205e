"""The result of grading: a fraction of the full points, and the parts of an answer with their reasons."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from random import Random
from typing import Any, Literal, Protocol, TypeVar

from study.base.errors import LearnerError

LETTERS = "ABCDEFGHIJKL"
MOST_KEYS = 7  # A to G: the key H asks for a hint

PartState = Literal["right", "wrong", "missed", "left"]
"""Given and right; given and wrong; right but not given; rightly left out."""

Form = Mapping[str, Sequence[str]]
"""A submitted form: the values of each field."""

Response = Mapping[str, Any]
"""An answer as the log stores it, in JSON: ids and the learner's own words, never letters or positions."""


class AnswerChoice(Protocol):
    """Something to choose: it has an id and a text."""

    @property
    def id(self) -> str:
        """The stable id, written by the author."""

    @property
    def text(self) -> str:
        """The text that the learner reads."""


C = TypeVar("C", bound=AnswerChoice)
Offered = Sequence[tuple[str, AnswerChoice]]
"""Choices with their letters, or numbers where pairs are matched, as one quiz shows them; none for a kind
that is typed."""


@dataclass(frozen=True, kw_only=True)
class GradedPart:
    """One part of an answer, given or missing. `about` names it if the answer has several."""

    id: str
    text: str
    state: PartState
    feedback: str = ""
    misconception: str = ""
    about: str = ""


@dataclass(frozen=True, kw_only=True)
class Grade:
    """The fraction of an answer that is right, from 0 to 1, and its parts."""

    fraction: float
    parts: tuple[GradedPart, ...]

    @property
    def correct(self) -> bool:
        """Whether all of it is right."""
        return self.fraction == 1.0


def build_right_part(text: str, state: PartState, feedback: str) -> GradedPart:
    """Return the part of a right answer that was typed, or missed."""
    return GradedPart(id="right", text=text, state=state, feedback=feedback)


def choose_part_state(*, correct: bool, chosen: bool) -> PartState:
    """Choose the state of something that could be chosen."""
    if chosen:
        return "right" if correct else "wrong"
    return "missed" if correct else "left"


def assign_letters(choices: Sequence[C], *, salt: str) -> list[tuple[str, C]]:
    """Shuffle the choices and give them letters; the same salt gives the same order in every process."""
    shuffled = list(choices)
    Random(salt).shuffle(shuffled)  # a string seed is the same in every process, unlike hash()
    return list(zip(LETTERS, shuffled, strict=False))


def assign_numbers(choices: Sequence[C], *, salt: str) -> list[tuple[str, C]]:
    """Shuffle the choices as `assign_letters` does, and number them from 1."""
    return [(str(number), choice) for number, (_, choice) in enumerate(assign_letters(choices, salt=salt), 1)]


def read_typed(form: Form, field: str) -> str:
    """Return the first value of a field with single spaces; empty for none."""
    return " ".join(next(iter(form.get(field, ())), "").split())


def read_chosen(form: Form, field: str, offered: Offered, *, missing: str, do_next: str) -> list[str]:
    """Return the ids of the letters in a form. Raises LearnerError when there are none or one is unknown."""
    ids = {letter: choice.id for letter, choice in offered}
    letters = [letter for letter in form.get(field, ()) if letter]
    if not letters:
        raise LearnerError(missing, do_next=do_next)
    if unknown := [letter for letter in letters if letter not in ids]:
        raise LearnerError(f"There is no option {unknown[0]!r}.", do_next="Choose one that is listed.")
    return [ids[letter] for letter in letters]
