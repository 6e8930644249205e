"""An activity that the teacher types, during a class or for a plan, read from a form."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from classroom.activities.activity import KIND_NAMES, Activity, Guessed, shorten_question
from classroom.activities.number import read_number
from study.base.errors import FieldError, LearnerError
from study.ports.classes import ClassOption, ClassPrompt, ClassQuestion
from study.text.markup import find_formula_problems, to_html

KINDS: Mapping[str, str] = {
    "question": "Question with one right option",
    **{kind: KIND_NAMES[kind] for kind in ("poll", "number", "text")},
}
FEWEST_OPTIONS, MOST_OPTIONS = 2, 6
LONGEST_ASK, LONGEST_OPTION, LONGEST_UNIT = 600, 200, 20
LONGEST_MINUTES = 180
RIGHT_MARK = "*"
"""Begins the line of the right option."""

FIELDS = {"kind", "title", "ask", "minutes", "options", "value", "unit"}
"""What the entry of a typed activity may have."""


def read_activity(form: Mapping[str, str]) -> Activity:
    """Read what was typed: `kind`, `ask`, `minutes`, and `options` by line, or `value` and `unit`.

    Raises FieldError that says what is missing where.
    """
    return replace(_read(form), minutes=read_typed_minutes(form))


def read_typed_minutes(form: Mapping[str, str]) -> int:
    """Read the minutes for an answer; 0, no timer, for nothing typed. Raises FieldError for anything else."""
    typed = form.get("minutes", "").strip()
    if not typed:
        return 0
    if not (typed.isdecimal() and len(typed) < 4 and 0 < int(typed) <= LONGEST_MINUTES):
        what = f"“{typed[:20]}” isn't a number of minutes from 1 to {LONGEST_MINUTES}."
        raise FieldError("minutes", what, do_next="Type digits, or leave it empty for no timer.")
    return int(typed)


def _read(form: Mapping[str, str]) -> Activity:
    kind, ask = form.get("kind", ""), form.get("ask", "").strip()
    if kind not in KINDS:
        raise FieldError("kind", "There is no such kind of activity.", do_next="Choose one that is listed.")
    if not ask or len(ask) > LONGEST_ASK:
        what = f"The question needs 1 to {LONGEST_ASK} characters."
        raise FieldError("ask", what, do_next="Type it, then ask.")
    _check_formulas("ask", ask)
    html, title = to_html(ask), shorten_question(ask)
    match kind:
        case "question" | "poll":
            asked = ClassQuestion(
                id=kind, html=html, text=ask, options=_parse_options(form, marked=kind == "question")
            )
            return Activity(kind=kind, title=title, asked=asked)
        case "number":
            return Activity(kind=kind, title=title, guessed=_parse_guess(form, ask))
    return Activity(kind="text", title=title, wanted=ClassPrompt(id="", html=html, text=ask))


def to_entry(form: Mapping[str, str]) -> dict[str, Any]:
    """What was typed as an entry of a plan's file. Raises FieldError as `read_activity` does."""
    activity = read_activity(form)
    entry: dict[str, Any] = {"kind": activity.kind, "title": activity.title, "ask": form["ask"].strip()}
    if activity.asked is not None:
        entry["options"] = [line.strip() for line in form["options"].splitlines() if line.strip()]
    if activity.minutes:
        entry["minutes"] = activity.minutes
    if activity.guessed is not None:
        entry |= {"value": activity.guessed.value}
        entry |= {"unit": activity.guessed.unit} if activity.guessed.unit else {}
    return entry


def is_typed(entry: Mapping[str, Any]) -> bool:
    """Whether `to_entry` may have made an entry, so that the form can change it."""
    ask = entry.get("ask")
    named = isinstance(ask, str) and entry.get("title") == shorten_question(ask)
    return named and entry.get("kind") in KINDS and entry.keys() <= FIELDS


def _parse_options(form: Mapping[str, str], *, marked: bool) -> tuple[ClassOption, ...]:
    """Parse one option per line; with `marked` exactly one begins with RIGHT_MARK."""
    lines = [line.strip() for line in form.get("options", "").splitlines() if line.strip()]
    if not FEWEST_OPTIONS <= len(lines) <= MOST_OPTIONS or max(map(len, lines)) > LONGEST_OPTION:
        raise FieldError(
            "options",
            f"{FEWEST_OPTIONS} to {MOST_OPTIONS} options are needed, each up to {LONGEST_OPTION} characters.",
            do_next="Write one option per line.",
        )
    right = [line.startswith(RIGHT_MARK) for line in lines]
    if marked and sum(right) != 1:
        raise FieldError(
            "options",
            f"{sum(right)} options are marked as right.",
            do_next=f"Put {RIGHT_MARK} before the right one and no other, or choose Poll.",
        )
    texts = [line.removeprefix(RIGHT_MARK).strip() if marked else line for line in lines]
    for text in texts:
        _check_formulas("options", text)
    return tuple(
        ClassOption(id=str(number), html=to_html(text), text=text, correct=marked and correct)
        for number, (text, correct) in enumerate(zip(texts, right, strict=True), start=1)
    )


def _parse_guess(form: Mapping[str, str], ask: str) -> Guessed:
    unit = form.get("unit", "").strip()[:LONGEST_UNIT]
    try:
        value = read_number(form.get("value"), unit=unit)
    except LearnerError as error:
        raise FieldError("value", error.what, do_next="Type digits, such as 1.8, then ask.") from error
    return Guessed(html=to_html(ask), text=ask, unit=unit, value=value)


def _check_formulas(field: str, text: str) -> None:
    for problem in find_formula_problems(text):
        raise FieldError(field, f"In “{text[:40]}” {problem}.", do_next="Correct the formula, then ask.")
