"""Protocols that each kind of study implements for the shared pages, and the values that they exchange."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from markupsafe import Markup

from study.plots.plot import Plot
from study.ports.context import Visit
from study.store.logs.five_minute_reviews import ReviewRun

# ---- the five-minute review


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

    def seconds_each(self, visit: Visit) -> float:
        """Estimate this learner's seconds per exercise."""

    def steps(self, visit: Visit, run: ReviewRun) -> Steps:
        """Read the learner's progress from the log."""

    def show(self, visit: Visit, run: ReviewRun) -> Fragment:
        """Render the next exercise."""

    def act(self, event: dict[str, Any], visit: Visit, run: ReviewRun) -> Fragment | None:
        """Handle an event: return something to show first, or None to go on. The log has it either way."""

    def describe_ending(self, visit: Visit, run: ReviewRun) -> Ending:
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


# ---- Learn


@dataclass(frozen=True, kw_only=True)
class ChallengeLink:
    """A link to the timed challenge of a concept."""

    address: str
    """The URL of a new challenge, drawn for this learner; the clock starts when they press Start."""

    problems: int
    rules: str
    best: str
    """The best result; empty before the first one."""

    done: bool
    badge: bool


@dataclass(frozen=True, kw_only=True)
class ProjectLink:
    """A link to a guided experiment."""

    name: str
    address: str
    question: str
    progress: str
    """This learner's progress in it, in words."""

    done: bool


@dataclass(frozen=True, kw_only=True)
class TaskLink:
    """A link to a task that the lab judges."""

    name: str
    address: str
    status: str
    """Whether this learner has tried or solved it, in words."""


@dataclass(frozen=True, kw_only=True)
class TasksDone:
    """The number of tasks, and of those that this learner has solved."""

    settings: int = 0
    settings_solved: int = 0
    runs: int = 0
    runs_solved: int = 0
    builds: int = 0
    builds_solved: int = 0


@dataclass(frozen=True, kw_only=True)
class MisconceptionLink:
    """A misconception by name, with what to do about it."""

    id: str
    name: str
    """Completes "you"."""

    address: str
    """The page that refutes it."""


@dataclass(frozen=True, kw_only=True)
class RecurringMiss:
    """A misconception behind several of the latest misses, and what to do about it."""

    misconception: MisconceptionLink
    count: int
    total: int
    """The latest misses whose mistake is known."""

    where: str
    """The kinds of exercise in words: `2 questions and 1 card`."""

    questions: str
    """The address of questions on its concept."""

    experiment: str
    """The address of a task or a run that shows what is right."""

    experiment_name: str


@dataclass(frozen=True, kw_only=True)
class LabLink:
    """A link to a prepared training run."""

    address: str
    settings: tuple[tuple[str, str], ...]
    command: str


# ---- the introduction


@dataclass(frozen=True, kw_only=True)
class FirstRunView:
    """A learner's first training run as it is now."""

    html: Markup
    ended: bool
    loss_before: float | None
    """The loss on examples that aren't trained on, before the run; None until it was measured."""

    loss_after: float | None
    outcome: str
    """`falls`, `stays` or `rises`; empty until both losses were measured."""

    guessed: str
    """What the learner said of the loss, in the words of `outcome`; empty without a guess."""

    peak: str
    """The measured peak memory, once both losses were measured or the run has ended."""

    guessed_peak: str
    again: str
    """The URL of the same run at rank 1, filled in but not started."""


class FirstRuns(Protocol):
    """Starts and shows the training run at the end of the introduction."""

    def start(self, visit: Visit, *, anew: bool, guess: Mapping[str, str]) -> str:
        """Start the run with the learner's guess and return its id. Raises LearnerError on a bad guess."""

    def has(self, run_id: str) -> bool:
        """Return whether there is such a run; False once it was deleted."""

    def show(self, visit: Visit, run_id: str) -> FirstRunView:
        """Render the run as it is now. Raises LearnerError when there is no such run."""

    def stop(self, run_id: str) -> None:
        """Stop the run. Raises LearnerError where others look at it too."""

    def duration(self) -> str:
        """Estimate how long the steps take here; empty when nothing is known."""


# ---- Progress


class Section(Protocol):
    """One section of the Progress page."""

    @property
    def name(self) -> str:
        """Its name, safe in a URL and in an `id`."""

    def html(self, visit: Visit) -> Markup:
        """Render the part that is shown at once; empty for nothing."""

    @property
    def leading(self) -> Sequence[str]:
        """The names of the charts to show first; the others are folded."""

    def figures(self, visit: Visit) -> Iterable[Plot]:
        """Build its charts, which are drawn after the page has loaded; none before they mean something."""

    def act(self, event: dict[str, Any], visit: Visit) -> Mapping[str, Any] | None:
        """Reply to this section's own events, as `static/island.js` expects; None for any other event."""


# ---- Today


@dataclass(frozen=True, kw_only=True)
class CardsDue:
    """A learner's due flashcards."""

    due: int
    """Learning, requested and due cards."""

    new: int
    """New cards within today's limit."""

    coming: tuple[int, ...]
    """Cards due on each of the next days, today first. Overdue cards, and those requested by a missed
    question, count for today.
    """

    unseen: int = 0
    """Of `due`, the cards that a missed question requested and that were never shown."""

    @property
    def seen(self) -> int:
        """The due cards that were shown before."""
        return self.due - self.unseen

    @property
    def left(self) -> int:
        """All cards that a learner would see today."""
        return self.due + self.new


@dataclass(frozen=True, kw_only=True)
class Subjects:
    """The concepts of each card, question, prompt and prediction."""

    of_card: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    of_question: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    of_prompt: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    asked: Mapping[str, str] = field(default_factory=dict)
    """The text of each prompt, by its id."""

    of_idea: Mapping[tuple[str, str], tuple[str, ...]] = field(default_factory=dict)
    """By prompt, and by an idea of a good explanation."""

    of_prediction: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """By the guessed quantity."""

    def counts(self, concept_id: str) -> tuple[int, int]:
        cards = sum(concept_id in concepts for concepts in self.of_card.values())
        questions = sum(concept_id in concepts for concepts in self.of_question.values())
        return cards, questions
