"""What the shared pages ask of each kind of study, so that they need not know the packages behind it."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from markupsafe import Markup

from study.plots.plot import Plot
from study.ports.context import Visit
from study.store.five_minute_reviews import ReviewRun

# ---- the five-minute review


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


# ---- Learn


@dataclass(frozen=True, kw_only=True)
class ChallengeDoor:
    """The timed challenge of a concept."""

    address: str
    """Of a fresh one, drawn for this learner; the clock starts there, on a press."""

    problems: int
    rules: str
    best: str
    """How the best one went; empty before the first."""

    done: bool
    badge: bool


@dataclass(frozen=True, kw_only=True)
class ProjectDoor:
    """A guided experiment."""

    name: str
    address: str
    question: str
    standing: str
    """Where this learner is in it, in words."""

    done: bool


@dataclass(frozen=True, kw_only=True)
class LabDoor:
    """A lab run, filled in."""

    address: str
    settings: tuple[tuple[str, str], ...]
    command: str


@dataclass(frozen=True, kw_only=True)
class Doors:
    """One function a mode that leads elsewhere."""

    lab: Callable[[Mapping[str, Any]], LabDoor]
    challenge: Callable[[Visit, str], ChallengeDoor]
    project: Callable[[Visit, str], ProjectDoor]


# ---- Progress


class Section(Protocol):
    """One part of the Progress page."""

    @property
    def name(self) -> str:
        """Safe in an address and in an `id`."""

    def html(self, visit: Visit) -> Markup:
        """What is shown at once; empty for nothing."""

    def figures(self, visit: Visit) -> Iterable[Plot]:
        """Its charts, drawn when the page is there."""

    def act(self, event: dict[str, Any], visit: Visit) -> Mapping[str, Any] | None:
        """The reply to a press of this section, as `static/island.js` reads it; None if it is not its own."""


def find_figure(sections: Iterable[Section], visit: Visit, name: str) -> Plot | None:
    """A chart of any section, by its name."""
    return next((plot for part in sections for plot in part.figures(visit) if plot.name == name), None)


# ---- Today


@dataclass(frozen=True, kw_only=True)
class CardsDue:
    """The flashcards waiting for a learner."""

    due: int
    """Learning, requested and due cards."""

    new: int
    """New cards that today's limit still allows."""

    coming: tuple[int, ...]
    """Cards due on each of the coming days, today first; what is overdue, or asked for by a missed
    question, counts for today."""

    @property
    def left(self) -> int:
        """All cards a learner would see today."""
        return self.due + self.new


@dataclass(frozen=True, kw_only=True)
class Subjects:
    """Which concepts each card, question, prompt and prediction is about."""

    of_card: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    of_question: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    of_prompt: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    asked: Mapping[str, str] = field(default_factory=dict)
    """What each prompt asks, by its id."""

    of_idea: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    """By prompt, and by what a good explanation of it says."""

    of_prediction: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By the quantity that was guessed."""

    def counts(self, concept_id: str) -> tuple[int, int]:
        """How many cards and how many questions are about a concept."""
        cards = sum(concept_id in concepts for concepts in self.of_card.values())
        questions = sum(concept_id in concepts for concepts in self.of_question.values())
        return cards, questions
