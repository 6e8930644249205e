"""Small activities and events for tests of the classroom."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup, escape

from classroom.activities.activity import Activity, Asked, Guessed, VoteOption
from study.ports.classes import ClassOption, ClassQuestion, ClassRunState


def asked(question_id: str = "q") -> Asked:
    return Asked(
        id=question_id,
        html=escape(f"What is {question_id}?"),
        keep=escape("Keep this."),
        options=(
            VoteOption(
                id="slip", html=escape("Wrong"), feedback=escape("That is a slip."), misconception="a slip"
            ),
            VoteOption(id="right", html=escape("Right"), correct=True, feedback=escape("Yes.")),
            VoteOption(
                id="other", html=escape("Other"), feedback=escape("No."), misconception="another slip"
            ),
        ),
    )


QUESTION = Activity(kind="question", title="A question", minutes=2, asked=asked("q"), twin=asked("t"))
POLL = Activity(
    kind="poll",
    title="A poll",
    asked=Asked(
        id="poll",
        html=escape("Well?"),
        options=(VoteOption(id="1", html=escape("Yes")), VoteOption(id="2", html=escape("No"))),
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
        html=escape("What percentage?"), unit="%", quantity="percent-trainable", setting={"rank": 8}
    ),
)
TALK = Activity(kind="talk", title="A talk", html=escape("Listen."))
PLAN = (QUESTION, POLL, NUMBER, PREDICT, TALK)


@dataclass(frozen=True)
class Happened:
    """An event of a room."""

    number: int
    kind: str
    value: Mapping[str, Any]


def find_question(question_id: str) -> ClassQuestion | None:
    if question_id.startswith("unknown"):
        return None
    return ClassQuestion(
        id=question_id,
        html=Markup(f"What is {question_id}?"),
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


class Runs:
    """A lab in which a run ends when a test says so."""

    def __init__(self) -> None:
        self.started: list[Mapping[str, Any]] = []
        self.value: float | None = None

    def problem(self, setting: Mapping[str, Any], quantity: str) -> str:
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
        )
