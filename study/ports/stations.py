"""What the kinds of exercise have in common, so that the five-minute review can mix them."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from markupsafe import Markup

from study.ports.context import Visit
from study.store.five_minute_reviews import ReviewRun


@dataclass(frozen=True, kw_only=True)
class Piece:
    """Something to show inside a page, what to announce, and what to put the focus on."""

    html: Markup
    say: str = ""
    focus: str = ""
    key: str = ""
    """Which of its kind it is, where an address can name it."""


@dataclass(frozen=True, kw_only=True)
class Steps:
    """How far a learner is with one kind of exercise."""

    done: int
    total: int

    @property
    def finished(self) -> bool:
        """Whether nothing of it is left."""
        return self.done >= self.total


class AskForCards(Protocol):
    """Makes the cards about something missed due; the flashcards know which these are."""

    def __call__(self, visit: Visit, concepts: tuple[str, ...], *, because: str) -> int:
        """How many cards were asked for."""


class Station(Protocol):
    """One kind of exercise in the five-minute review."""

    @property
    def label(self) -> str:
        """What the exercises are called."""

    def seconds_each(self, visit: Visit) -> float:
        """What one of them takes this learner, roughly."""

    def steps(self, visit: Visit, run: ReviewRun) -> Steps:
        """How far the learner is, read from the log."""

    def show(self, visit: Visit, run: ReviewRun) -> Piece:
        """The next exercise."""

    def act(self, event: dict[str, Any], visit: Visit, run: ReviewRun) -> Piece | None:
        """What a press did: something to show first, or None to go on. The log has it either way."""

    def summary(self, visit: Visit, run: ReviewRun) -> str:
        """One sentence on how it went."""


class CardStation(Station, Protocol):
    """Cards: a run holds as many as fit its time."""

    def planned(self, visit: Visit, *, seconds: float) -> int:
        """How many ratings fit."""

    def undoable(self, visit: Visit, *, since: datetime) -> int | None:
        """The id of the rating that undo would take back."""


class QuizStation(Station, Protocol):
    """Questions: a run holds a short quiz."""

    def drawn(self, visit: Visit, *, length: int, seed: int) -> tuple[str, ...]:
        """The ids of the questions."""

    def returning(self, visit: Visit) -> int:
        """How many questions that were missed with confidence come back today."""


class ExplainStation(Station, Protocol):
    """One explanation."""

    @property
    def acts(self) -> frozenset[str]:
        """The presses that its pieces send."""

    def chosen(self, visit: Visit) -> str:
        """The id of the prompt."""
