"""The parts of an activity in a plan's file: questions, polls, numbers and positions of a slider."""

from collections.abc import Mapping
from typing import Any, Literal

from classroom.activities.activity import Guessed
from classroom.plans.on_the_spot import LONGEST_MINUTES, read_activity
from study.base.errors import FieldError
from study.base.numbers import is_finite_number
from study.content.evidence import read_checks
from study.content.yaml_reader import Fields
from study.ports.classes import ClassOption, ClassQuestion
from study.text.markup import to_html


def read_poll(fields: Fields) -> ClassQuestion:
    """A question without a right option."""
    options = fields.texts("options")
    if not 2 <= len(options) <= 6:
        fields.note(f"a poll needs 2 to 6 options, got {len(options)}")
    ask = fields.text("ask")
    return ClassQuestion(
        id="poll",
        html=to_html(ask),
        text=ask,
        options=tuple(ClassOption(id=str(i), html=to_html(text)) for i, text in enumerate(options, start=1)),
    )


def read_number_guess(fields: Fields) -> Guessed:
    """A number whose true value is checked when the plan is read."""
    checks = read_checks(fields)
    if len(checks) != 1:
        fields.note("a number needs exactly one `check`: it is the true value")
    scale = fields.raw("divide_by") if fields.has("divide_by") else 1
    if not is_finite_number(scale) or not scale:
        fields.note(f"`divide_by` must be a number other than 0, got {scale!r}")
        scale = 1
    return _read_guess(fields, checks[0].expect / scale if checks else None)


def read_typed(fields: Fields, kind: Literal["question", "number"]) -> ClassQuestion | Guessed | None:
    """A question with its options, or a number with its value, as a teacher types them."""
    form = {"kind": kind, "ask": fields.text("ask")}
    if kind == "question":
        form["options"] = "\n".join(" ".join(text.split()) for text in fields.texts("options"))
    else:
        form |= {"value": str(fields.raw("value")), "unit": fields.text("unit", default="")}
    try:
        activity = read_activity(form)
    except FieldError as error:
        fields.note(f"`{error.field}`: {error}")
        return None
    return activity.asked or activity.guessed


def read_position(fields: Fields) -> Guessed:
    """The right position of a slider; a check of the same fields says why it is that one."""
    if len(read_checks(fields)) != 1:
        fields.note("a slider's question needs exactly one `check` that shows its `value`")
    value = fields.raw("value")
    if not is_finite_number(value):
        fields.note(f"`value` must be a position of the slider, got {value!r}")
        value = 0
    return _read_guess(fields, float(value))


def _read_guess(fields: Fields, value: float | None) -> Guessed:
    text, unit, source = fields.text("ask"), fields.text("unit", default=""), fields.text("source")
    return Guessed(html=to_html(text), text=text, unit=unit, value=value, source=source)


def read_minutes(fields: Fields, name: str) -> int:
    """A number of minutes; anything else is a problem of the file."""
    value = fields.raw(name)
    if type(value) is not int or not 0 < value <= LONGEST_MINUTES:  # True is an int, too
        fields.note(f"`{name}` must be a whole number of minutes, got {value!r}")
        return 0
    return value


def read_settings(fields: Fields, name: str) -> Mapping[str, Any]:
    """A mapping; anything else is a problem of the file."""
    value = fields.raw(name)
    if not isinstance(value, dict):
        fields.note(f"`{name}` must be a mapping")
        return {}
    return value
