"""What each kind of exercise implements for the five-minute review, and the values that they exchange."""

from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from markupsafe import Markup

from study.ports.context import Visit
from study.store.logs.five_minute_reviews import FiveMinuteReview


@dataclass(frozen=True, kw_only=True)
class Fragment:
    """An HTML fragment for a page, with its announcement and its focus target."""

    html: Markup
    say: str = ""
    focus: str = ""
    key: str = ""
    """The exercise's id, if a URL can name it."""


@dataclass(frozen=True, kw_only=True)
class Steps:
    """Progress in one kind of exercise."""

    done: int
    total: int

    @property
    def finished(self) -> bool:
        return self.done >= self.total


@dataclass(frozen=True, kw_only=True)
class Missed:
    """One exercise that the learner got wrong."""

    name: Markup
    returns: str
    """When it comes back: `comes back tomorrow`."""

    concepts: tuple[str, ...]


@dataclass(frozen=True, kw_only=True)
class Ending:
    """The result of one kind of exercise at the end of a session."""

    summary: str
    missed: tuple[Missed, ...] = ()
    next_due: str = ""
    """A sentence on when the next exercise is due; empty where nothing is scheduled."""


class AskForCards(Protocol):
    """A function that makes the cards about something missed due; the flashcards find these cards."""

    def __call__(self, visit: Visit, concepts: tuple[str, ...], *, because: str) -> int:
        """Make the cards due and return their number."""


class ReviewActivity(Protocol):
    """One kind of exercise in the five-minute review."""

    @property
    def label(self) -> str:
        """The name of the exercises."""

    def estimate_seconds_each(self, visit: Visit) -> float:
        """Estimate this learner's seconds per exercise."""

    def count_steps(self, visit: Visit, review: FiveMinuteReview) -> Steps:
        """Count the learner's steps from the log."""

    def show(self, visit: Visit, review: FiveMinuteReview) -> Fragment:
        """Render the next exercise."""

    def act(self, event: dict[str, Any], visit: Visit, review: FiveMinuteReview) -> Fragment | None:
        """Handle an event: return something to show first, or None to go on. The log has it either way."""

    def describe_ending(self, visit: Visit, review: FiveMinuteReview) -> Ending:
        """Return the result, what was missed, and when it comes back."""


class CardActivity(ReviewActivity, Protocol):
    """Cards: a review holds as many as fit its time."""

    def count_planned(self, visit: Visit, *, seconds: float, concept: str = "") -> int:
        """Count the ratings that fit; with a concept, of its cards."""

    def find_undoable(self, visit: Visit, *, since: datetime) -> int | None:
        """Return the id of the rating that undo would take back."""


class QuizActivity(ReviewActivity, Protocol):
    """Questions: a review holds a short quiz."""

    def draw_question_ids(
        self, visit: Visit, *, length: int, seed: int, concept: str = ""
    ) -> tuple[str, ...]:
        """Draw questions, with a concept about it, and return their ids."""

    def count_returning(self, visit: Visit) -> int:
        """Count the questions missed with confidence that come back today."""


class ExplainActivity(ReviewActivity, Protocol):
    """One explanation."""

    @property
    def acts(self) -> frozenset[str]:
        """The events that its fragments send."""

    def choose_prompt(self, visit: Visit, concept: str = "") -> str:
        """Choose a prompt and return its id; empty if none is about the concept."""

    def prepare(self) -> None:
        """Start to load what grading needs, in the background."""
