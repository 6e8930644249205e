"""What other parts provide for a live class: questions of every kind, training runs and grids of them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import Annotated, Any, Literal, Protocol, get_args

from markupsafe import Markup
from pydantic import PlainValidator

from study.base.html import NO_HTML, trust_html

Html = Annotated[Markup, PlainValidator(trust_html)]
"""Rendered when a class was opened; what the class has stored of it is read as HTML again."""


@dataclass(frozen=True, kw_only=True)
class ClassOption:
    """One option of a question or poll; a wrong one of the app's questions has a named misconception."""

    id: str
    html: Html
    correct: bool = False
    feedback: Html = NO_HTML
    misconception: str = ""
    text: str = ""
    feedback_text: str = ""
    """The same before it was made HTML, for cards; empty in classes from before there were any."""

    letter: str = ""
    """Where it isn't the one of its place: T and F of a statement."""


RIGHT_KEY = "right"
"""The key of every right answer to a question that isn't answered by one option."""


@dataclass(frozen=True, kw_only=True)
class ClassQuestion:
    """A question of any kind, or a poll, ready to show."""

    id: str
    html: Html
    options: tuple[ClassOption, ...] = ()
    """What can be chosen; empty where the answer is typed or arranged."""

    keep: Html = NO_HTML
    text: str = ""
    keep_text: str = ""
    concepts: tuple[str, ...] = ()
    kind: str = "single"
    task: Mapping[str, Any] = field(default_factory=dict)
    """What `ClassKinds` reads an answer with; empty where the answer is one option."""

    fields: Html = NO_HTML
    """The form's fields on a phone, for a question with a task."""

    figure: Html = NO_HTML
    """A chart, or the matrix that the question is about."""

    listed: Html = NO_HTML
    """What the projector lists where there are no options: items to arrange."""

    answer: Html = NO_HTML
    """The right answer, for a question with a task."""

    answer_text: str = ""
    because: Html = NO_HTML
    """Why it is right."""

    unit: str = ""
    value: float | None = None
    """Of a number that is asked for."""

    fresh: str = ""
    """The id of the same question with other numbers; empty for a question without drawn ones."""

    level: str = ""
    """`beginner`, `intermediate` or `advanced`; empty for what a teacher types."""

    @property
    def right(self) -> str:
        """The id of the right option, or RIGHT_KEY for a question with a task; empty for a poll."""
        if self.task:
            return RIGHT_KEY
        return next((option.id for option in self.options if option.correct), "")


@dataclass(frozen=True, kw_only=True)
class ClassResponse:
    """An answer to a question with a task, read and graded by its kind."""

    given: Mapping[str, Any]
    """As the quiz's log stores it."""

    fraction: float
    """How much of it is right, from 0 to 1."""

    key: str
    """Equal for answers that say the same; RIGHT_KEY for all right ones."""

    said: str
    """The answer in words, for a list of answers: an arranged one by its letters."""

    words: str
    """The answer in words that stand alone."""

    why: str
    """What is wrong with it; empty where nothing is, or nothing is known."""

    chosen: tuple[str, ...] = ()
    """The options that it chooses."""

    value: float | None = None
    """A typed number, in the unit of the question."""


class ClassKinds(Protocol):
    """The kinds of question that aren't answered by one option; quizzes provides them.

    A task is `ClassQuestion.task`, as it was stored with the class.
    """

    def read(self, task: Mapping[str, Any], form: Mapping[str, Sequence[str]]) -> ClassResponse:
        """Read and grade the fields of a form. Raises LearnerError when too little is filled in."""

    def fill_in_example(self, task: Mapping[str, Any], *, right: bool, rng: Random) -> dict[str, list[str]]:
        """Fill in the form as a student might, for a rehearsal."""


FindClassQuestion = Callable[[str], ClassQuestion | None]
"""Finds a question by its id; None for an unknown one. From quizzes."""

FindClassTwins = Callable[[str], Sequence[ClassQuestion]]
"""Questions that ask for the same as a question, the closest first. From quizzes."""

SearchClassQuestions = Callable[[str], Sequence[ClassQuestion]]
"""Finds the first questions that have every word; none for an empty text. From quizzes."""


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
    so_far: float | None = None
    """What the quantity has come to while the run trains, where it changes."""


class ClassRuns(Protocol):
    """Real training runs on the teacher's machine; the lab provides them."""

    def describe_problem(self, setting: Mapping[str, Any], quantity: str) -> str:
        """Say why a run can't answer a guess; empty when it can."""

    def describe(self, setting: Mapping[str, Any]) -> str:
        """Describe a setting in one line."""

    def start(self, setting: Mapping[str, Any]) -> str:
        """Queue a run and return its id. Raises LearnerError when it can't be started."""

    def state(self, run_id: str, quantity: str) -> ClassRunState:
        """Read a run. Raises LearnerError when it is deleted."""


Place = tuple[int, int, int]
"""A cell of a grid: row, column, seed, each from 0."""


@dataclass(frozen=True, kw_only=True)
class ClassGridPlan:
    """The cells of a grid: a row and a column name a setting, which is trained once for each seed."""

    row_name: str
    rows: tuple[str, ...]
    column_name: str
    columns: tuple[str, ...]
    seeds: int
    described: str
    """What all cells share, in one line."""

    vocab: int = 0
    """How many tokens the model chooses among; 0 where that isn't known."""

    first_cell: str = ""
    """The lab's form with the settings of one of its runs; whoever trains that one knows the grid's time."""

    @property
    def count(self) -> int:
        """The number of its runs."""
        return len(self.rows) * len(self.columns) * self.seeds


@dataclass(frozen=True, kw_only=True)
class ClassCell:
    """One run of a grid."""

    place: Place
    address: str
    """Its page in the lab; empty if it was deleted there."""

    doing: str
    """`waiting`, `running`, `finished`, or how it ended otherwise."""

    curve: tuple[float, ...] = ()
    """The training loss of each step so far."""

    steps: int = 0
    """The steps of a complete run."""

    loss: float | None = None
    """The held-out loss after training; None until it is measured."""

    @property
    def claim(self) -> str:
        """Its place as a student claims it, `row/column/seed`."""
        return "/".join(map(str, self.place))


@dataclass(frozen=True, kw_only=True)
class ClassGridState:
    """How far a grid is."""

    address: str
    """Its page in the lab."""

    cells: tuple[ClassCell, ...]
    findings: tuple[str, ...]
    """Sentences that the spread over seeds supports; empty until every cell has ended."""

    lowest: int | None = None
    """Of a grid of one row: the column that ends lower than all others beyond the noise of seeds.

    None before every cell has ended, and where none does.
    """

    error: str = ""
    """Why a cell failed, and what to do next; empty where none did."""

    @property
    def losses(self) -> Mapping[str, float]:
        """The held-out losses that are measured, by claim."""
        return {cell.claim: cell.loss for cell in self.cells if cell.loss is not None}

    @property
    def ended(self) -> bool:
        """Whether no cell is left to train."""
        return all(cell.doing not in ("waiting", "running") for cell in self.cells)


class ClassGrids(Protocol):
    """Grids of real training runs on the teacher's machine; the lab provides them."""

    def plan(self, setting: Mapping[str, Any], axes: Mapping[str, Any]) -> ClassGridPlan:
        """Return the cells. Raises LearnerError when the lab can't train such a grid."""

    def estimate_seconds(self, setting: Mapping[str, Any], axes: Mapping[str, Any]) -> float | None:
        """Estimate how long it takes on this machine; None when no similar run has finished here."""

    def start(self, setting: Mapping[str, Any], axes: Mapping[str, Any], first: Sequence[Place]) -> str:
        """Queue every cell, those of `first` before the others, and return the grid's id.

        Raises LearnerError when it can't be started.
        """

    def state(self, grid_id: str) -> ClassGridState:
        """Read a grid. Raises LearnerError when it is deleted."""


ConceptVerdict = Literal["covered", "partial", "contradicted", "missing", "unsure"]
"""On one concept of an explanation; `unsure` is for graders only, a learner always decides."""

VERDICTS: tuple[ConceptVerdict, ...] = get_args(ConceptVerdict)


@dataclass(frozen=True, kw_only=True)
class ClassConcept:
    """One idea that a good explanation has."""

    id: str
    label: str
    definition: str


@dataclass(frozen=True, kw_only=True)
class ClassPrompt:
    """A text that is asked for: a prompt with its concepts, or a short text without any."""

    id: str
    """The prompt's id; empty for a short text, which nobody grades."""

    html: Html
    text: str = ""
    concepts: tuple[ClassConcept, ...] = ()
    about: tuple[str, ...] = ()
    """Its concepts of the concept map."""


@dataclass(frozen=True, kw_only=True)
class ClassGrade:
    """The verdict on one concept, and the passage of the answer that carries it."""

    verdict: ConceptVerdict
    quote: tuple[int, int] | None
    """Start and end in the answer; None where it says nothing about the concept."""


class ClassGrader(Protocol):
    """Prompts, and the grader that reads answers to them on this machine; quizzes provides it."""

    def prompt(self, prompt_id: str) -> ClassPrompt | None:
        """Find a prompt."""

    @property
    def is_on(self) -> bool:
        """Whether this app has a grader; without one the teacher judges."""

    def grade(self, prompt_id: str, answers: Sequence[str]) -> list[dict[str, ClassGrade]]:
        """Return the verdicts on each answer by concept id. Raises LearnerError without a model."""


@dataclass(frozen=True, kw_only=True)
class ClassCard:
    """A card that a student takes home; texts are content markup."""

    id: str
    front: str
    back: str
    why: str = ""
    concepts: tuple[str, ...] = ()


class WriteClassCards(Protocol):
    """The function that writes cards as an Anki package; the flashcards provide it."""

    def __call__(self, cards: Sequence[ClassCard], *, deck: str, source: str, now: datetime) -> bytes:
        """Return the package. A later one of the same class updates its notes."""
