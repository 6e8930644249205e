"""Measured accuracy of the grader, in one sentence for the learner."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from quizzes.grader.metrics import JudgedAnswer, compute_report
from quizzes.grader.weights import WEIGHTS

CARD = "card.json"

UNMEASURED = "How often this grader is right has not been measured."
UNMEASURED_OWN = (
    "How often the grader is right on your own prompts is not known: it was trained and measured on the "
    "app's prompts only."
)


@dataclass(frozen=True, kw_only=True)
class MeasuredAccuracy:
    """The accuracy on labelled answers outside the training set (docs/grader.md)."""

    answers: int
    precision: float
    """Share of the concepts called covered that are covered."""

    recall: float
    """Share of the covered concepts that it called covered."""

    false_accepted: float
    """Share of the false statements that it called covered."""

    unsure: float


def read_measured(folder: Path = WEIGHTS) -> MeasuredAccuracy | None:
    """Read the measurement stored with the weights; None when it is missing."""
    try:
        found = json.loads((folder / CARD).read_text("utf-8"))["measured"]
    except FileNotFoundError:
        return None
    return MeasuredAccuracy(**{name: found[name] for name in MeasuredAccuracy.__dataclass_fields__})


def write_measured(judged: Sequence[JudgedAnswer], folder: Path = WEIGHTS) -> MeasuredAccuracy:
    """Write the measurement on answers outside the training set next to the weights, and return it."""
    found = compute_report(judged)
    measured = MeasuredAccuracy(
        answers=len(judged),
        precision=round(found.precision.value, 3),
        recall=round(found.recall.value, 3),
        false_accepted=round(found.false_accepted.value, 3),
        unsure=round(found.unsure.value, 3),
    )
    (folder / CARD).write_text(json.dumps({"measured": asdict(measured)}, indent=1) + "\n", "utf-8")
    return measured


def trust_sentence(measured: MeasuredAccuracy | None, *, own: bool = False) -> str:
    """Say in one line how far to trust the grader."""
    if own or measured is None:
        return "This is practice: how often the grader is right here has not been measured."
    return (
        f"This is practice: the grader finds {measured.recall:.0%} of what is said and takes "
        f"{measured.false_accepted:.0%} of false statements for right."
    )


def limits_sentence(measured: MeasuredAccuracy | None, *, own: bool = False) -> str:
    """Format the measurement as a sentence for the learner."""
    if own:
        return UNMEASURED_OWN
    if measured is None:
        return UNMEASURED
    answers = "1 answer" if measured.answers == 1 else f"{measured.answers:,} answers"
    return (
        f"On {answers} that it had not seen, {measured.precision:.0%} of the concepts it "
        f"called covered were, it found {measured.recall:.0%} of those that were said, it took "
        f"{measured.false_accepted:.0%} of false statements for right, and it could not tell in "
        f"{measured.unsure:.0%} of cases."
    )
