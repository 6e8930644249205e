"""The kinds of activity and the phases each goes through. Specs are JSON, as the room stores them."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal, get_args

from markupsafe import Markup

from study.base.errors import LearnerError
from study.base.html import NO_HTML, trust_html

Kind = Literal["talk", "question", "poll", "number", "predict"]
KINDS: tuple[Kind, ...] = get_args(Kind)

Phase = Literal[
    "show", "vote", "advice", "discuss", "revote", "reveal", "twin", "twin-reveal", "distribution", "run"
]

PHASES: Mapping[Kind, tuple[Phase, ...]] = {
    "talk": ("show",),
    "question": ("vote", "advice", "discuss", "revote", "reveal", "twin", "twin-reveal"),
    "poll": ("vote", "reveal"),
    "number": ("vote", "reveal"),
    "predict": ("vote", "distribution", "run"),
}

ROUNDS: Mapping[Phase, int] = {"vote": 1, "revote": 2, "twin": 3}
"""The phases in which answers are taken, with the number of their round."""

CONFIDENCES = ("guess", "think", "sure")
"""From least to most sure, as in a quiz."""

LARGEST_GUESS = 1e15


@dataclass(frozen=True, kw_only=True)
class VoteOption:
    """One option of a question or poll. Texts are HTML made by the content markup."""

    id: str
    html: Markup
    correct: bool = False
    feedback: Markup = NO_HTML
    misconception: str = ""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A question with its options and what to keep from it."""

    id: str
    html: Markup
    options: tuple[VoteOption, ...]
    keep: Markup = NO_HTML

    @property
    def right(self) -> str:
        """The id of the right option; empty for a poll."""
        return next((option.id for option in self.options if option.correct), "")


@dataclass(frozen=True, kw_only=True)
class Guessed:
    """A number that everyone guesses. The true value is known beforehand, or measured by a run."""

    html: Markup
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


@dataclass(frozen=True, kw_only=True)
class Activity:
    """One entry of a lesson plan, with all the texts that the screens need."""

    kind: Kind
    title: str
    minutes: int = 0
    """The suggested time for voting or discussing; 0: no timer."""

    html: Markup = NO_HTML
    """The text of a talk."""

    asked: Asked | None = None
    twin: Asked | None = None
    """The same concept with fresh content, to tell understanding from copying."""

    guessed: Guessed | None = None

    @property
    def phases(self) -> tuple[Phase, ...]:
        """The phases of this activity, in order; without a twin question, those before it."""
        phases = PHASES[self.kind]
        return phases if self.kind != "question" or self.twin else phases[:5]

    def asked_in(self, round_number: int) -> Asked | None:
        """The question that a round asks."""
        return self.twin if round_number == ROUNDS["twin"] else self.asked

    def read_answer(self, round_number: int, given: Mapping[str, Any]) -> dict[str, Any]:
        """Parse an answer as a phone sends it. Raises LearnerError when it is no answer to this activity."""
        asked = self.asked_in(round_number)
        if asked is not None:
            option = given.get("option")
            if option not in [each.id for each in asked.options]:
                raise LearnerError("No option is chosen.", do_next="Choose one that is listed, then send it.")
            return {"option": option}
        if self.guessed is not None:
            return {"number": read_number(given.get("number"))}
        raise LearnerError("This activity takes no answers.", do_next="Wait for the next one.")

    def is_correct(self, round_number: int, value: Mapping[str, Any]) -> bool | None:
        """Whether an answer is right; None where nothing is right or wrong."""
        asked = self.asked_in(round_number)
        if asked is None or not asked.right:
            return None
        return bool(value.get("option") == asked.right)

    def to_json(self) -> dict[str, Any]:
        """Return the spec that `activity_from` reads."""
        return asdict(self)


def read_number(written: Any) -> float:
    """Parse a guess: digits, a decimal point or comma. Raises LearnerError for anything else."""
    text = str(written if written is not None else "").strip().replace(" ", "")
    if text.count(",") == 1 and "." not in text:
        text = text.replace(",", ".")
    try:
        number = float(text.replace(",", ""))
    except ValueError:
        number = math.nan
    if not math.isfinite(number) or abs(number) > LARGEST_GUESS:
        raise LearnerError("That is not a number.", do_next="Type digits, such as 1.8, then send it.")
    return number


def activity_from(spec: Mapping[str, Any]) -> Activity:
    """Read a stored spec, whose texts were rendered when the plan was read."""
    guessed = spec["guessed"]
    return Activity(
        kind=spec["kind"],
        title=spec["title"],
        minutes=spec["minutes"],
        html=trust_html(spec["html"]),
        asked=_asked(spec["asked"]),
        twin=_asked(spec["twin"]),
        guessed=Guessed(**{**guessed, "html": trust_html(guessed["html"])}) if guessed else None,
    )


def _asked(spec: Mapping[str, Any] | None) -> Asked | None:
    if spec is None:
        return None
    options = tuple(
        VoteOption(
            **{**option, "html": trust_html(option["html"]), "feedback": trust_html(option["feedback"])}
        )
        for option in spec["options"]
    )
    return Asked(id=spec["id"], html=trust_html(spec["html"]), options=options, keep=trust_html(spec["keep"]))
