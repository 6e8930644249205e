"""The kinds of activity and the phases each goes through. Specs are JSON, as the room stores them."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from textwrap import shorten
from typing import Any, Literal, get_args

from pydantic import TypeAdapter

from classroom.activities.crowd_grid import CrowdGrid, RunGrid
from classroom.activities.number import NATS, read_number
from classroom.activities.wall import read_text
from study.base.errors import LearnerError
from study.base.html import NO_HTML
from study.ports.classes import ClassPrompt, ClassQuestion, ClassResponse, Html
from study.text.markup import to_plain

ActivityKind = Literal[
    "talk", "question", "poll", "number", "predict", "compare", "grid", "text", "wall", "figure", "quiz"
]
KINDS: tuple[ActivityKind, ...] = get_args(ActivityKind)

KIND_NAMES: Mapping[ActivityKind, str] = {
    "talk": "Talk",
    "question": "Question",
    "poll": "Poll",
    "number": "Number to guess",
    "predict": "Prediction and run",
    "compare": "Prediction and runs that compare",
    "grid": "Grid of runs",
    "text": "Short text",
    "wall": "Explanation, read by the grader",
    "figure": "Live figure",
    "quiz": "Self-paced quiz",
}

Phase = Literal[
    "show", "vote", "advice", "discuss", "revote", "reveal", "twin", "twin-reveal", "distribution", "run"
]

PHASES: Mapping[ActivityKind, tuple[Phase, ...]] = {
    "talk": ("show",),
    "question": ("vote", "advice", "discuss", "revote", "reveal", "twin", "twin-reveal"),
    "poll": ("vote", "reveal"),
    "number": ("vote", "reveal"),
    "predict": ("vote", "distribution", "run"),
    "compare": ("vote", "distribution", "run"),
    "grid": ("vote", "run"),
    "text": ("vote", "reveal"),
    "wall": ("vote", "reveal"),
    "figure": ("show", "vote", "reveal"),
    "quiz": ("vote", "reveal"),
}

ROUNDS: Mapping[Phase, int] = {"vote": 1, "revote": 2, "twin": 3}
"""The phases in which answers are taken, with the number of their round."""

LONGEST_TITLE = 60
"""Of an activity that is named by what it asks."""

ReadResponse = Callable[[Mapping[str, Any], Mapping[str, Sequence[str]]], ClassResponse]
"""Reads the form of a question with a task: `ClassKinds.read`."""


def refuse_response(_task: Mapping[str, Any], _form: Mapping[str, Sequence[str]]) -> ClassResponse:
    """Read nothing: the process knows no kinds of question."""
    raise LearnerError("This process can't read that answer.", do_next="Tell your teacher.")


@dataclass(frozen=True, kw_only=True)
class Guessed:
    """A number that everyone guesses. The true value is known beforehand, or measured by a run."""

    html: Html
    text: str = ""
    unit: str = ""
    value: float | None = None
    """None until a run has measured it."""

    source: str = ""
    """How the value is known."""

    quantity: str = ""
    """What a run measures: `percent-trainable`, `peak-memory` or `final-loss`."""

    setting: Mapping[str, Any] = field(default_factory=dict)
    """The run's setting, for a prediction."""

    described: str = ""
    """The setting in words."""

    why: Html = NO_HTML
    why_text: str = ""
    """Why the run measures what it does, shown with the measured value; the text is for cards."""

    concept: str = ""
    concept_name: str = ""
    """What it is an example of."""


@dataclass(frozen=True, kw_only=True)
class ShownFigure:
    """A live figure of the app on every screen."""

    id: str
    settings: Mapping[str, str] = field(default_factory=dict)
    """What it begins with; the teacher changes it."""

    slider: str = ""
    """The setting whose position a question collects; empty without a question."""


@dataclass(frozen=True, kw_only=True)
class Activity:
    """One entry of a lesson plan, with all the texts that the screens need."""

    kind: ActivityKind
    title: str
    minutes: int = 0
    """The suggested time for voting or discussing; 0: no timer."""

    html: Html = NO_HTML
    """The text of a talk."""

    asked: ClassQuestion | None = None
    twin: ClassQuestion | None = None
    """The same concept with fresh content, to tell understanding from copying."""

    questions: tuple[ClassQuestion, ...] = ()
    """Of a quiz: each is answered in a round of its own, whenever a student gets there."""

    guessed: Guessed | None = None
    crowd: CrowdGrid | None = None
    compared: RunGrid | None = None
    """One row of settings; `asked` asks which of them ends lowest."""

    wanted: ClassPrompt | None = None
    """The text that students write."""

    figure: ShownFigure | None = None

    asked_after: int | None = None
    """Of an activity made on the spot: the position in the plan after which it was asked."""

    comes_next: bool = False
    """Of an activity made on the spot: Next leads to it; the class did not go to it at once."""

    @property
    def task(self) -> ClassQuestion | Guessed | CrowdGrid | ClassPrompt | None:
        """What students answer; None where they only look."""
        parts = (self.asked, self.guessed, self.crowd, self.wanted)
        return next((part for part in parts if part is not None), None)

    @property
    def trained(self) -> RunGrid | None:
        """The grid of runs that the lab trains for it."""
        return self.crowd or self.compared

    @property
    def html_asked(self) -> Html:
        return self.task.html if self.task else self.html

    @property
    def asks_its_title(self) -> bool:
        """Whether the title is the beginning of the task, so that a page shows the task alone."""
        return self.task is not None and self.title == shorten_question(self.task.text)

    @property
    def heading(self) -> str:
        """What stands above the task."""
        return KIND_NAMES[self.kind] if self.asks_its_title else self.title

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The phases of this activity, in order; without a twin question, those before it."""
        phases = PHASES[self.kind]
        if self.kind == "figure":
            return phases if self.guessed else phases[:1]
        return tuple(phase for phase in phases if self.twin or not phase.startswith("twin"))

    @property
    def unit(self) -> str:
        """The unit of what is guessed; a grid's cells are guessed by their held-out loss."""
        return self.guessed.unit if self.guessed else NATS if self.crowd else ""

    @property
    def rounds(self) -> Sequence[int]:
        """The numbers that the rounds of an answer can have."""
        return range(1, len(self.questions) + 1) if self.questions else tuple(ROUNDS.values())

    def find_question(self, round_number: int) -> ClassQuestion | None:
        if self.questions:
            return self.questions[round_number - 1] if round_number in self.rounds else None
        return self.twin if round_number == ROUNDS["twin"] else self.asked

    def read_answer(
        self, round_number: int, given: Mapping[str, Any], read: ReadResponse = refuse_response
    ) -> dict[str, Any]:
        """Parse an answer as a phone sends it. Raises LearnerError when it doesn't fit this activity."""
        asked = self.find_question(round_number)
        if asked is not None and asked.task:
            return asdict(read(asked.task, _read_form(given.get("fields"))))
        if asked is not None:
            option = given.get("option")
            if option not in [each.id for each in asked.options]:
                raise LearnerError("No option is chosen.", do_next="Choose one that is listed, then send it.")
            return {"option": option}
        if self.guessed is not None:
            guessed = self.guessed
            return {"number": read_number(given.get("number"), unit=guessed.unit, quantity=guessed.quantity)}
        if self.crowd is not None:
            return self.crowd.read(given)
        if self.wanted is not None:
            return {"text": read_text(given.get("text"))}
        raise LearnerError("This activity takes no answers.", do_next="Wait for the next one.")

    def is_correct(self, round_number: int, value: Mapping[str, Any]) -> bool | None:
        """Whether an answer is right; None where nothing is right or wrong."""
        asked = self.find_question(round_number)
        if asked is None or not asked.right:
            return None
        return derive_key(value) == asked.right

    def to_json(self) -> dict[str, Any]:
        """Return the spec that `parse_activity_spec` reads."""
        return asdict(self)


def shorten_question(ask: str) -> str:
    """Shorten a question to its beginning in plain text, as the title of its activity."""
    return shorten(to_plain(ask), LONGEST_TITLE, placeholder=" …") or ask[:LONGEST_TITLE]


def derive_key(value: Mapping[str, Any]) -> str:
    """What two answers to a question have in common that say the same: an option, or the key of its kind."""
    return str(value["option"] if "option" in value else value["key"])


def list_chosen(value: Mapping[str, Any]) -> Sequence[str]:
    """List the options that an answer to a question chooses."""
    return [value["option"]] if "option" in value else value["chosen"]


def _read_form(sent: Any) -> dict[str, list[str]]:
    """The fields of a phone's form; anything else in it counts as not filled in."""
    fields = sent if isinstance(sent, dict) else {}
    return {
        str(name): [value for value in values if isinstance(value, str)]
        for name, values in fields.items()
        if isinstance(values, list)
    }


def parse_activity_spec(spec: Mapping[str, Any]) -> Activity:
    """Read a stored spec, whose texts were rendered when it was made; also of a version with fewer kinds."""
    return ACTIVITY.validate_python(spec)


ACTIVITY = TypeAdapter(Activity)
