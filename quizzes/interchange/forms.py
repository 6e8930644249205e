"""The forms that other programs have for a question, and which of our kinds fit into them.

    form        our kinds                                  in Moodle
    choice      single, multiple, find-the-error           multichoice
    truth       true-false                                 truefalse
    number      numeric                                    numerical
    words       short-text                                 shortanswer
    pairs       matching, ordering (place by place)        matching
    gaps        cloze                                      cloze; in GIFT with one gap only

A chart can't be exported, so a question about one stays here. Our own fields of a question are exported next
to its form: importing the file here restores all of them. Of a question whose form was changed meanwhile, the
form wins, and our own fields have what it has no place for.
"""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import partial
from typing import Any, Literal

from quizzes.interchange.entry import QuestionEntry
from quizzes.kinds.words import BLANK
from study.content.user_files import build_slug
from study.text.html_import import normalize_html

FormKind = Literal["choice", "truth", "number", "words", "pairs", "gaps"]

# The fractions that Moodle accepts, in percent, by the number of right options.
SHARES = {
    1: "100", 2: "50", 3: "33.33333", 4: "25", 5: "20",
    6: "16.66667", 7: "14.28571", 8: "12.5", 9: "11.11111", 10: "10",
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One answer of a form, in our markup. `right` says whether it counts."""

    text: str
    right: bool
    feedback: str = ""
    left: str = ""
    """The left side of a pair; empty for a choice that belongs to nothing."""

    gap: int = 0


@dataclass(frozen=True, kw_only=True)
class Form:
    """A question in the form of other programs, in our markup."""

    kind: FormKind
    answers: tuple[Answer, ...]
    name: str = ""
    stem: str = ""
    several: bool = False
    tolerance: float = 0.0
    keep: str = ""


def build_form(entry: QuestionEntry) -> Form | None:
    """Convert a question to a form; None if its kind has none."""
    stem, feedback = entry.text("stem") + _format_unit(entry), entry.text("feedback")
    build = partial(Form, name=entry.id, stem=stem, keep=entry.text("keep"))
    match entry.kind:
        case "single" | "multiple":
            options = (_build_answer(o, right=o.get("correct") is True) for o in entry.children("options"))
            return build(kind="choice", answers=tuple(options), several=entry.kind == "multiple")
        case "find-the-error":
            lines = (_build_answer(line, right="fix" in line) for line in entry.children("lines"))
            return build(kind="choice", answers=tuple(lines))
        case "true-false":
            truth = entry.fields.get("answer") is True
            answer = Answer(text="True" if truth else "False", right=truth, feedback=feedback)
            return build(kind="truth", answers=(answer,))
        case "numeric":
            number = Answer(text=format_number_text(entry.fields.get("value")), right=True, feedback=feedback)
            tolerance = float(entry.fields.get("tolerance", 0))
            return build(kind="number", answers=(number,), tolerance=tolerance)
        case "short-text":
            return build(kind="words", answers=_read_words(entry))
        case "matching":
            return build(kind="pairs", answers=_read_pairs(entry))
        case "ordering":
            items = enumerate(entry.children("items"), 1)
            places = (Answer(left=f"{number}.", text=str(i["text"]), right=True) for number, i in items)
            return build(kind="pairs", answers=tuple(places))
        case "cloze":
            return build(kind="gaps", answers=_read_gaps(entry))
    return None


def parse_kept(text: str | None, *, topic: str = "", line: int = 0) -> QuestionEntry | None:
    """Return the question whose own fields stand next to its form, as JSON; None if they can't be read."""
    try:
        fields = json.loads(text or "null")
        if not isinstance(fields, dict):
            return None
        entry = QuestionEntry(topic=str(fields.pop("topic", topic)), fields=fields, line=line)
        build_form(entry)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return None
    return entry


def build_fields(
    form: Form, kept: QuestionEntry | None = None, *, before: Form | None = None
) -> dict[str, Any]:
    """Convert a form to a question of ours; `kept` has our own fields of it from before its form was changed.

    `before` is the form of the kept fields. If only the texts around its answers differ, all fields stay.
    """
    if kept and before and replace(before, name=form.name, stem=form.stem, keep=form.keep) == form:
        return change_texts(kept, stem=form.stem, keep=form.keep)
    fields: dict[str, Any] = {"stem": form.stem, "keep": form.keep, **_convert_fields(form)}
    if kept:
        names = {"hint", "steps", "source"}
        if kept.kind == fields["kind"] in ("single", "multiple"):
            fields["options"] = [_with_names(option, kept) for option in fields["options"]]
        if kept.kind == fields["kind"] == "numeric":
            names |= {"unit", "slips"} if kept.fields.get("value") == fields["value"] else {"unit"}
            fields["stem"] = _without_unit(form.stem, kept)
        fields |= {name: kept.fields[name] for name in names & kept.fields.keys()}
    return {name: value for name, value in fields.items() if value not in ("", [])}


def _with_names(option: Mapping[str, Any], kept: QuestionEntry) -> dict[str, Any]:
    """Return an option with the id or misconception that the same option had."""
    said = option.get("correct"), normalize_html(option["text"])
    same = (o for o in kept.children("options") if (o.get("correct"), normalize_html(str(o["text"]))) == said)
    known = next(same, {})
    return {**{name: known[name] for name in ("id", "misconception") if name in known}, **option}


def change_texts(kept: QuestionEntry, *, stem: str, keep: str) -> dict[str, Any]:
    """Return the fields with another text before and after the answers, and without checks of the old one."""
    fields = {**kept.fields, "stem": _without_unit(stem, kept), "keep": keep, "check": ""}
    return {name: value for name, value in fields.items() if value not in ("", [])}


def derive_id(name: str, given: str = "") -> str:
    """Return the id of a question to which another program gives only a name."""
    return given if re.fullmatch(r"[\w.-]{1,100}", given) else build_slug(name, limit=80)


def format_number_text(value: Any) -> str:
    """Format as every program reads it: with a point, and without an exponent where that is short."""
    number = float(value or 0)
    return str(int(number)) if number == int(number) and abs(number) < 1e15 else repr(number)


def _format_unit(entry: QuestionEntry) -> str:
    """Format the unit that a number is asked in, as other programs have it at the stem's end."""
    unit = entry.text("unit")
    return f" (in {unit})" if entry.kind == "numeric" and unit else ""


def _without_unit(stem: str, entry: QuestionEntry) -> str:
    return stem.removesuffix(_format_unit(entry))


def _build_answer(choice: Mapping[str, Any], *, right: bool) -> Answer:
    return Answer(text=str(choice["text"]), right=right, feedback=str(choice.get("feedback", "")))


def _read_words(entry: QuestionEntry) -> tuple[Answer, ...]:
    right = [Answer(text=text, right=True, feedback=entry.text("feedback")) for text in entry.texts("accept")]
    wrong = [
        Answer(text=str(text), right=False, feedback=str(mistake.get("feedback", "")))
        for mistake in entry.children("mistakes")
        for text in mistake.get("texts", [])
    ]
    return (*right, *wrong)


def _read_pairs(entry: QuestionEntry) -> tuple[Answer, ...]:
    pairs = [Answer(left=str(p["left"]), text=str(p["right"]), right=True) for p in entry.children("pairs")]
    return (*pairs, *(Answer(text=str(o["text"]), right=False) for o in entry.children("others")))


def _read_gaps(entry: QuestionEntry) -> tuple[Answer, ...]:
    feedback = [*entry.texts("feedback"), *[""] * 50]
    return tuple(
        Answer(gap=number, text=text.strip(), right=True, feedback=feedback[number - 1])
        for number, inside in enumerate(BLANK.findall(entry.text("stem")), 1)
        for text in inside.split("|")
    )


def _convert_fields(form: Form) -> Mapping[str, Any]:
    match form.kind:
        case "choice":
            kind = "multiple" if form.several else "single"
            return {"kind": kind, "options": [_write_option(answer) for answer in form.answers]}
        case "truth":
            true = any(answer.right for answer in form.answers)
            feedback = next((a.feedback for a in form.answers if a.feedback), "")
            texts = (("True", true), ("False", not true))
            options = [
                _write_option(Answer(text=t, right=r, feedback=feedback if r else "")) for t, r in texts
            ]
            return {"kind": "single", "options": options}
        case "number":
            right = next(answer for answer in form.answers if answer.right)
            value = {"value": float(right.text), "tolerance": form.tolerance}
            return {"kind": "numeric", **value, "feedback": right.feedback}
        case "words":
            right_ones = [answer for answer in form.answers if answer.right]
            return {
                "kind": "short-text",
                "accept": [answer.text for answer in right_ones],
                "feedback": next((answer.feedback for answer in right_ones if answer.feedback), ""),
            }
        case "pairs":
            pairs = [{"left": a.left, "right": a.text} for a in form.answers if a.left]
            return {
                "kind": "matching",
                "pairs": pairs,
                "others": [{"text": a.text} for a in form.answers if not a.left],
            }
        case "gaps":
            gaps = sorted({answer.gap for answer in form.answers})
            return {
                "kind": "cloze",
                "feedback": [
                    next((a.feedback for a in form.answers if a.gap == gap and a.feedback), "-")
                    for gap in gaps
                ],
            }


def _write_option(answer: Answer) -> dict[str, Any]:
    fields = {"text": answer.text, "correct": True} if answer.right else {"text": answer.text}
    return {**fields, "feedback": answer.feedback} if answer.feedback else fields
