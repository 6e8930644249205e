"""A learner's prediction about a run, compared with the result, with the reason in one sentence."""

from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from lora_lab.charts import run_view
from lora_lab.memory.ledger import COMPONENTS
from lora_lab.runs.state import RunState
from lora_lab.spec import RunSpec
from study.base.errors import LearnerError
from study.base.typed_numbers import parse_in_unit
from study.base.units import MB, as_bytes, as_count, as_percent
from study.base.yaml_loader import load_yaml

FACTOR = 1.25
"""A guessed number counts as right from 1/1.25 to 1.25 times the result."""

LOSS_TIE = 0.01
"""Held-out losses nearer than this count as equal, and either answer as right."""

Lower = Literal["this", "that", ""]
Course = Literal["falls", "stays", "rises", ""]
COURSES: tuple[Course, ...] = ("falls", "stays", "rises")


@dataclass(frozen=True, kw_only=True)
class RunGuess:
    """The guesses made before the figures are shown; an empty one is not judged."""

    percent: float | None = None
    peak_bytes: float | None = None
    rival: str = ""
    """Id of an earlier run on the same data."""

    lower: Lower = ""
    """Which of the two will end with the lower held-out loss."""

    course: Course = ""
    """What the held-out loss will do while the run trains."""


@dataclass(frozen=True, kw_only=True)
class EndedRun:
    spec: RunSpec
    state: RunState


@dataclass(frozen=True, kw_only=True)
class GuessVerdict:
    quantity: str
    guess: str
    result: str
    right: bool
    reason: str
    concepts: tuple[str, ...]


_CONCEPTS = load_yaml(Path(__file__).with_name("concepts.yaml").read_text("utf-8"))
QUANTITY_CONCEPTS: dict[str, tuple[str, ...]] = {
    quantity: tuple(concepts) for quantity, concepts in _CONCEPTS["quantities"].items()
}


def parse_guess_form(form: Mapping[str, str]) -> RunGuess:
    """Parse the fields of the form. Raises LearnerError when nothing, or nothing readable, is guessed."""
    lower: Lower = "this" if form.get("lower") == "this" else "that" if form.get("lower") == "that" else ""
    rival = form.get("rival", "") if lower else ""
    peak_mb = parse_guess(
        form.get("guess_mb", ""), "MB", above=0, most=1e9, expected="Peak memory must be a number above 0"
    )
    guess = RunGuess(
        percent=parse_guess(
            form.get("guess_percent", ""),
            "%",
            above=0,
            most=100,
            expected="Percent trainable must be a number above 0 and at most 100",
        ),
        peak_bytes=None if peak_mb is None else peak_mb * MB,
        rival=rival,
        lower=lower if rival else "",
        course=next((each for each in COURSES if each == form.get("course")), ""),
    )
    if guess == RunGuess():
        raise LearnerError(
            "Nothing is guessed yet.", do_next="Fill in one of the fields; a rough guess will do."
        )
    return guess


def parse_guess(written: str, unit: str, *, above: float, most: float, expected: str) -> float | None:
    """Parse a number in `unit` as a learner types it; None for an empty field.

    Raises LearnerError, with what was `expected`, when the number can't be read or is out of bounds.
    """
    if not written.strip():
        return None
    with suppress(LearnerError):
        if above < (value := parse_in_unit(written, unit)) <= most:
            return value
    raise LearnerError(f"{expected}, got {written.strip()!r}.", do_next="Correct it, or leave it empty.")


def judge_guess(guess: RunGuess, ended: EndedRun, rival: EndedRun | None) -> list[GuessVerdict]:
    """Judge what can be judged: a run that failed early has no peak, an interrupted one no held-out loss."""
    found = [
        _judge_course(guess, ended),
        _judge_percent(guess, ended),
        _judge_peak(guess, ended),
        _judge_lower(guess, ended, rival),
    ]
    return [verdict for verdict in found if verdict is not None]


def is_within_factor(guess: float, result: float) -> bool:
    """Return whether a guessed number counts as right."""
    return result / FACTOR <= guess <= result * FACTOR


def judge_course(before: float | None, after: float | None) -> Course:
    """Say what a held-out loss did; empty until it was measured twice."""
    if before is None or after is None:
        return ""
    if abs(after - before) < LOSS_TIE:
        return "stays"
    return "falls" if after < before else "rises"


def _judge_course(guess: RunGuess, ended: EndedRun) -> GuessVerdict | None:
    state = ended.state
    course = judge_course(state.loss_before, state.loss_after)
    if not guess.course or not course:
        return None
    return GuessVerdict(
        quantity="course",
        guess=guess.course,
        result=f"{course} ({state.loss_before:.2f} before, {state.loss_after:.2f} after)",
        right=guess.course == course,
        reason="It is measured on examples that are not trained on, before the first step and after the last"
        " one.",
        concepts=QUANTITY_CONCEPTS["course"],
    )


def _judge_percent(guess: RunGuess, ended: EndedRun) -> GuessVerdict | None:
    started = ended.state.started
    if guess.percent is None or started is None:
        return None
    trainable, total = started["trainable"], started["total"]
    percent = 100 * trainable / total
    frozen = total - trainable
    return GuessVerdict(
        quantity="percent",
        guess=as_percent(guess.percent),
        result=as_percent(percent),
        right=is_within_factor(guess.percent, percent),
        reason=(
            f"Rank {ended.spec.rank} gives the adapters {as_count(trainable)} numbers, "
            f"and {frozen / trainable:.0f} times as many, {as_count(frozen)}, stay frozen."
        ),
        concepts=QUANTITY_CONCEPTS["percent"],
    )


def _judge_peak(guess: RunGuess, ended: EndedRun) -> GuessVerdict | None:
    state = ended.state
    if guess.peak_bytes is None or state.started is None or not state.peak_bytes:
        return None
    predicted = {field: state.started["predicted"][field] for field, _ in COMPONENTS}
    names = dict(COMPONENTS)
    largest = sorted(predicted, key=lambda field: -predicted[field])[:2]
    total = sum(predicted.values())
    share = 100 * predicted[largest[0]] / total
    return GuessVerdict(
        quantity="peak",
        guess=as_bytes(guess.peak_bytes),
        result=as_bytes(state.peak_bytes),
        right=is_within_factor(guess.peak_bytes, state.peak_bytes),
        reason=(
            f"Of the {as_bytes(total)} computed, the largest part is {names[largest[0]].lower()} "
            f"({as_bytes(predicted[largest[0]])}, "
            f"{share:.0f} %), and the second is {names[largest[1]].lower()} "
            f"({as_bytes(predicted[largest[1]])})."
        ),
        concepts=tuple(_CONCEPTS["parts_of_peak"].get(largest[0], QUANTITY_CONCEPTS["peak"])),
    )


def _judge_lower(guess: RunGuess, ended: EndedRun, rival: EndedRun | None) -> GuessVerdict | None:
    if not guess.lower or rival is None:
        return None
    this, that = ended.state.loss_after, rival.state.loss_after
    if this is None or that is None:
        return None
    differing = [
        (name, value, other)
        for (name, value), (_, other) in zip(_list_conditions(ended), _list_conditions(rival), strict=True)
        if value != other
    ]
    equal = abs(this - that) < LOSS_TIE
    lower: Lower = "this" if this < that else "that"
    return GuessVerdict(
        quantity="lower",
        guess=LOWER_WORDS[guess.lower],
        result=f"{'neither' if equal else LOWER_WORDS[lower]} ({this:.2f} here, {that:.2f} there)",
        right=equal or guess.lower == lower,
        reason=_describe_difference(differing),
        concepts=_list_concepts({name for name, _, _ in differing}),
    )


def _list_conditions(ended: EndedRun) -> list[tuple[str, str]]:
    """Return every setting, and what the machine adds: its device and the number type it computed in."""
    device = (ended.state.started or {}).get("device", {})
    return [
        *run_view.list_setting_rows(ended.spec),
        ("computed in", device.get("compute_dtype", "")),
        ("device", device.get("name", "")),
    ]


LOWER_WORDS = {"this": "this run", "that": "the earlier run"}


def _describe_difference(differing: Sequence[tuple[str, str, str]]) -> str:
    if not differing:
        return (
            "Settings and device are equal, so only rounding can differ, for instance with library versions."
        )
    told = "; ".join(f"{name} {value} here, {other} there" for name, value, other in differing)
    if [name for name, _, _ in differing] == ["seed"]:
        return f"They differ in nothing but the seed ({told}): this much is chance."
    return f"They differ in: {told}. One seed each shows no more than a hint."


def _list_concepts(names: set[str]) -> tuple[str, ...]:
    """List the concepts of the settings that differ; held-out loss itself when none differ."""
    found = [concept for name, concept in _CONCEPTS["settings"].items() if name in names]
    return tuple(dict.fromkeys(found)) or QUANTITY_CONCEPTS["lower"]
