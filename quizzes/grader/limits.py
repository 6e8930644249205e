"""Measured accuracy of the grader, in one sentence for the learner."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from quizzes.grader.metrics import JudgedAnswer, compute_report
from quizzes.grader.weights import WEIGHTS
from study.base.confidence_intervals import format_percent

CARD = "card.json"

UNMEASURED = "How often this grader is right has not been measured."


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


def read_measured(folder: Path = WEIGHTS, *, own: bool = False) -> MeasuredAccuracy | None:
    """Read the measurement on the app's prompts, or on own ones, stored with the weights, if there is one."""
    found = _read_card(folder).get(_name_part(own=own))
    if found is None:
        return None
    return MeasuredAccuracy(**{name: found[name] for name in MeasuredAccuracy.__dataclass_fields__})


def write_measured(
    judged: Sequence[JudgedAnswer], folder: Path = WEIGHTS, *, own: bool = False
) -> MeasuredAccuracy:
    """Write the measurement on answers outside the training set next to the weights, and return it."""
    found = compute_report(judged)
    measured = MeasuredAccuracy(
        answers=len(judged),
        precision=round(found.precision.value, 3),
        recall=round(found.recall.value, 3),
        false_accepted=round(found.false_accepted.value, 3),
        unsure=round(found.unsure.value, 3),
    )
    card = _read_card(folder) | {_name_part(own=own): asdict(measured)}
    (folder / CARD).write_text(json.dumps(card, indent=1) + "\n", "utf-8")
    return measured


def _read_card(folder: Path) -> dict[str, Any]:
    try:
        return dict(json.loads((folder / CARD).read_text("utf-8")))
    except FileNotFoundError:
        return {}


def _name_part(*, own: bool) -> str:
    return "own prompts" if own else "measured"


def describe_trust(measured: MeasuredAccuracy | None) -> str:
    """Say in one line how far to trust the grader."""
    if measured is None:
        return "This is practice: how often the grader is right here has not been measured."
    return (
        f"This is practice: the grader finds {format_percent(measured.recall)} of what is said and mistakes "
        f"{format_percent(measured.false_accepted)} of false statements for right ones."
    )


def describe_limits(measured: MeasuredAccuracy | None, *, own: bool = False) -> str:
    """Format the measurement as a sentence for the learner."""
    if measured is None:
        return UNMEASURED
    answers = "1 answer" if measured.answers == 1 else f"{measured.answers:,} answers"
    unseen = "to prompts that it had not learnt from" if own else "that it had not seen"
    return (
        f"The grader was measured on {answers} {unseen}. Of the concepts that it called covered, "
        f"{format_percent(measured.precision)} really were. It found {format_percent(measured.recall)} of "
        f"those that were said, mistook {format_percent(measured.false_accepted)} of false statements for "
        f"right ones, and could not tell in {format_percent(measured.unsure)} of cases."
    )
