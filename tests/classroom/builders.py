"""Small activities and events for tests of the classroom."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup, escape

from classroom.activities.activity import Activity, Guessed, ShownFigure
from classroom.activities.crowd_grid import CrowdGrid
from classroom.plans.plan import Plan
from study.base.errors import LearnerError
from study.figures.controls import define_choice, define_slider
from study.figures.figure import Figure, Figures, FigureView
from study.ports.classes import (
    ClassCell,
    ClassConcept,
    ClassGrade,
    ClassGridPlan,
    ClassGridState,
    ClassOption,
    ClassPrompt,
    ClassQuestion,
    ClassRunState,
    Place,
)
from study.store.class_records import ClassEvent


def asked(question_id: str = "q") -> ClassQuestion:
    return ClassQuestion(
        id=question_id,
        html=escape(f"What is {question_id}?"),
        keep=escape("Keep this."),
        text=f"What is {question_id}? $BA$",
        keep_text="Keep this.",
        concepts=(f"concept-of-{question_id}",),
        options=(
            ClassOption(
                id="slip", html=escape("Wrong"), feedback=escape("That is a slip."), misconception="a slip"
            ),
            ClassOption(id="right", html=escape("Right"), correct=True, feedback=escape("Yes.")),
            ClassOption(
                id="other", html=escape("Other"), feedback=escape("No."), misconception="another slip"
            ),
        ),
    )


QUESTION = Activity(kind="question", title="A question", minutes=2, asked=asked("q"), twin=asked("t"))
POLL = Activity(
    kind="poll",
    title="A poll",
    asked=ClassQuestion(
        id="poll",
        html=escape("Well?"),
        options=(ClassOption(id="1", html=escape("Yes")), ClassOption(id="2", html=escape("No"))),
    ),
)
NUMBER = Activity(
    kind="number",
    title="A number",
    guessed=Guessed(html=escape("How many?"), unit="MB", value=40.0, source="Counted."),
)
PREDICT = Activity(
    kind="predict",
    title="A run",
    guessed=Guessed(
        html=escape("What percentage?"),
        unit="%",
        quantity="percent-trainable",
        setting={"rank": 8},
        why=escape("A and B are small."),
        why_text="A and B are small.",
        concept_name="Counting",
    ),
)
TALK = Activity(kind="talk", title="A talk", html=escape("Listen."))
PLAN = (QUESTION, POLL, NUMBER, PREDICT, TALK)


def plan_of(*activities: Activity) -> Plan:
    return Plan(id="test", title="A plan", about="", minutes=5, activities=activities)


@dataclass(frozen=True, kw_only=True)
class RankSettings:
    rank: int = define_slider("Rank r", default=8, stops=(1, 4, 8, 16, 32, 64))


def show_rank(settings: RankSettings) -> FigureView:
    finding = f"At rank {settings.rank}."
    return FigureView(finding=finding, numbers=(), picture=Markup("<svg></svg>"), alt=finding, origins=())


@dataclass(frozen=True, kw_only=True)
class MatrixSettings(RankSettings):
    matrix: str = define_choice("Matrix", (("q", "query"), ("down", "down")), default="q")


def show_matrix(settings: MatrixSettings) -> FigureView:
    finding = f"At rank {settings.rank} of {dict(q='query', down='down')[settings.matrix]}."
    return FigureView(finding=finding, numbers=(), picture=Markup("<svg></svg>"), alt=finding, origins=())


FIGURES: Figures = {
    "of-matrix": Figure(
        id="of-matrix", title="Matrix", minutes=1, concepts=(), settings=MatrixSettings, show=show_matrix
    ),
    "of-rank": Figure(
        id="of-rank", title="Rank", minutes=1, concepts=(), settings=RankSettings, show=show_rank
    ),
}
FIGURE = Activity(
    kind="figure",
    title="A figure",
    figure=ShownFigure(id="of-rank", settings={"rank": "4"}, slider="rank"),
    guessed=Guessed(html=escape("Where?"), text="Where?", value=16.0, source="Computed."),
)

GRID_PLAN = ClassGridPlan(
    row_name="Bits",
    rows=("fp32", "nf4"),
    column_name="Rank",
    columns=("r=1", "r=8"),
    seeds=2,
    described="tiny",
    first_cell="/lab?model=tiny",
)
GRID = Activity(
    kind="grid",
    title="A grid",
    crowd=CrowdGrid(
        html=escape("Which cell?"), text="Which cell?",
        axes={"ranks": [1, 8]}, **asdict(GRID_PLAN),
    ),
)  # fmt: skip
CONCEPTS = (
    ClassConcept(id="frozen", label="Frozen base", definition="The base is frozen."),
    ClassConcept(id="pair", label="Two matrices", definition="Two small matrices are trained."),
)
WALL = Activity(
    kind="wall",
    title="A wall",
    wanted=ClassPrompt(id="explain-it", html=escape("Explain it."), text="Explain it.", concepts=CONCEPTS),
)
TEXT = Activity(kind="text", title="A text", wanted=ClassPrompt(id="", html=escape("Write something.")))


def happened(number: int, kind: str, value: Mapping[str, Any]) -> ClassEvent:
    """An event of a room, at any time."""
    return ClassEvent(number=number, kind=kind, value=value, at=datetime(2026, 3, 4, tzinfo=UTC))


def find_question(question_id: str) -> ClassQuestion | None:
    if question_id.startswith("unknown"):
        return None
    return ClassQuestion(
        id=question_id,
        html=Markup(f"What is {question_id}?"),
        text=f"What is {question_id}?",
        options=(
            ClassOption(
                id="right", html=Markup("R"), correct=True, feedback=Markup("Yes."), misconception=""
            ),
            ClassOption(
                id="slip", html=Markup("S"), correct=False, feedback=Markup("No."), misconception="x"
            ),
        ),
        keep=Markup("Keep."),
    )


def find_twins(question_id: str) -> list[ClassQuestion]:
    found = find_question(f"{question_id}-twin")
    return [found] if found else []


def search_questions(words: str) -> list[ClassQuestion]:
    found = find_question(f"q-{words}") if words else None
    return [found] if found else []


class Runs:
    """A lab in which a run ends when a test says so."""

    def __init__(self) -> None:
        self.started: list[Mapping[str, Any]] = []
        self.value: float | None = None
        self.so_far: float | None = None

    def describe_problem(self, setting: Mapping[str, Any], quantity: str) -> str:
        return ""

    def describe(self, setting: Mapping[str, Any]) -> str:
        return "rank 8"

    def start(self, setting: Mapping[str, Any]) -> str:
        self.started.append(setting)
        return f"run-{len(self.started)}"

    def state(self, run_id: str, quantity: str) -> ClassRunState:
        ended = self.value is not None
        return ClassRunState(
            run_id=run_id,
            address=f"/lab?run={run_id}",
            doing="Training",
            step=3,
            steps=10,
            ended=ended,
            value=self.value,
            so_far=self.so_far,
        )


class Grids:
    """A lab whose grids go on when a test says so."""

    def __init__(self) -> None:
        self.started: list[tuple[Place, ...]] = []
        self.losses: dict[Place, float] = {}
        self.findings: tuple[str, ...] = ()
        self.error = ""
        self.takes_seconds: float | None = 90.0
        self.estimated = 0
        """How often the time was asked for."""

    def plan(self, setting: Mapping[str, Any], axes: Mapping[str, Any]) -> ClassGridPlan:
        if "ranks" not in axes:
            raise LearnerError("A grid has ranks.", do_next="Write `ranks`.")
        return GRID_PLAN

    def estimate_seconds(self, setting: Mapping[str, Any], axes: Mapping[str, Any]) -> float | None:
        self.estimated += 1
        return self.takes_seconds

    def start(self, setting: Mapping[str, Any], axes: Mapping[str, Any], first: Sequence[Place]) -> str:
        self.started.append(tuple(first))
        return f"sweep-{len(self.started)}"

    def state(self, grid_id: str) -> ClassGridState:
        places = [(row, column, seed) for row in range(2) for column in range(2) for seed in range(2)]
        return ClassGridState(
            address=f"/grid?sweep={grid_id}",
            cells=tuple(
                ClassCell(
                    place=place,
                    address="/lab",
                    doing="failed" if self.error else "finished" if place in self.losses else "running",
                    curve=(5.5, 5.4),
                    steps=20,
                    loss=self.losses.get(place),
                )
                for place in places
            ),
            findings=self.findings,
            error=self.error,
        )


class Grader:
    """A grader that finds the concepts whose first word an answer has; `not` contradicts."""

    def __init__(self, *, is_on: bool = True) -> None:
        self.is_on = is_on
        self.read: list[str] = []
        self.broken = False
        self.tried = 0

    def prompt(self, prompt_id: str) -> ClassPrompt | None:
        if prompt_id.startswith("unknown"):
            return None
        return ClassPrompt(id=prompt_id, html=Markup("Explain it."), text="Explain it.", concepts=CONCEPTS)

    def grade(self, prompt_id: str, answers: Sequence[str]) -> list[dict[str, ClassGrade]]:
        self.tried += 1
        if self.broken:
            raise LearnerError("The model is not here.", do_next="Judge them yourself.")
        self.read += answers
        return [{concept.id: self._grade(concept.id, answer) for concept in CONCEPTS} for answer in answers]

    def _grade(self, concept: str, answer: str) -> ClassGrade:
        if concept not in answer:
            return ClassGrade(verdict="missing", quote=None)
        at = answer.index(concept)
        found: Any = "contradicted" if f"not {concept}" in answer else "covered"
        return ClassGrade(verdict=found, quote=(at, at + len(concept)))
