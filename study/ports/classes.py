"""What other parts provide for a live class: questions to vote on, and training runs that answer guesses."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from markupsafe import Markup


@dataclass(frozen=True, kw_only=True)
class ClassOption:
    """One option of a question; a wrong one has a named misconception."""

    id: str
    html: Markup
    correct: bool
    feedback: Markup
    misconception: str


@dataclass(frozen=True, kw_only=True)
class ClassQuestion:
    """A question with one right option, ready to show."""

    id: str
    html: Markup
    options: tuple[ClassOption, ...]
    keep: Markup


class FindClassQuestion(Protocol):
    """The function that finds a question by its id; quizzes provides it."""

    def __call__(self, question_id: str) -> ClassQuestion | None:
        """Return None for an unknown id, or a question that can't be voted on."""


@dataclass(frozen=True, kw_only=True)
class ClassRunState:
    """How far a run is. `value` is the measured quantity once it is known."""

    run_id: str
    address: str
    """Its page in the lab."""

    doing: str
    step: int
    steps: int
    ended: bool
    value: float | None
    error: str = ""


class ClassRuns(Protocol):
    """Real training runs on the teacher's machine; the lab provides them."""

    def problem(self, setting: Mapping[str, Any], quantity: str) -> str:
        """Say why a run can't answer a guess; empty when it can."""

    def describe(self, setting: Mapping[str, Any]) -> str:
        """Describe a setting in one line."""

    def start(self, setting: Mapping[str, Any]) -> str:
        """Queue a run and return its id. Raises LearnerError when it can't be started."""

    def state(self, run_id: str, quantity: str) -> ClassRunState:
        """Read a run. Raises LearnerError when it is deleted."""
