"""What a page sends: texts from `data-` attributes and form fields, checked where they enter."""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, TypeVar

from study.base.errors import LearnerError
from study.text.surrogates import replace_unencodable

Default = TypeVar("Default")

_STALE = "Reload the page and try again."
MOST_VALUES = 300  # of a form: a grid of 200 runs is ticked whole, and each value costs reading it
LONGEST_WHOLE = 18  # a database takes no more digits


def build_unknown_act_error(event: Mapping[str, Any]) -> LearnerError:
    """Return the error of an event that its page doesn't handle."""
    return LearnerError(
        f"This page doesn't know the action {event.get('act')!r}.", do_next="Reload the page."
    )


ANY_LENGTH = 4_000_000
"""Up to BODY_LIMIT_BYTES of study/web/security/middleware.py a text that is too long gets a message; beyond
that the request fails."""


def clean(text: str) -> str:
    """What every database takes of a text: no zero byte, and no half of a character."""
    return replace_unencodable(text.replace("\0", ""))


def read_text(event: Mapping[str, Any], name: str, *, limit: int = 200) -> str:
    value = event.get(name)
    if not isinstance(value, str) or len(value) > limit:
        raise LearnerError(f"The request had no usable {name!r}.", do_next=_STALE)
    return clean(value)


def read_whole(event: Mapping[str, Any], name: str) -> int:
    """A whole number that must be there."""
    written = read_text(event, name, limit=LONGEST_WHOLE)
    return _parse_whole(written, f"{name!r} must be a whole number, got {written!r}.", do_next=_STALE)


def read_whole_field(event: Mapping[str, Any], name: str) -> int:
    """A whole number that was typed into a form."""
    typed = read_field(event, name, limit=LONGEST_WHOLE)
    return _parse_whole(
        typed, f"{typed!r} isn't a number.", do_next="Type digits only, or leave what was there."
    )


def _parse_whole(written: str, problem: str, *, do_next: str) -> int:
    if not written.removeprefix("-").isdecimal():
        raise LearnerError(problem, do_next=do_next)
    return int(written)


def read_moment(event: Mapping[str, Any], name: str) -> datetime:
    """A moment that our own page wrote into itself."""
    value = read_text(event, name)
    try:
        read = datetime.fromisoformat(value)
        return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise LearnerError(f"{name!r} must be a date and time, got {value!r}.", do_next=_STALE) from error


def read_field(event: Mapping[str, Any], name: str, *, default: str = "", limit: int = 200) -> str:
    """One value of a submitted form."""
    values = read_fields(event, name, limit=limit)
    return values[0] if values else default


def read_fields(event: Mapping[str, Any], name: str, *, limit: int = 200) -> list[str]:
    """All values of a form field, such as ticked boxes."""
    form = event.get("fields")
    values = form.get(name, []) if isinstance(form, dict) else []
    if not isinstance(values, list) or not all(isinstance(value, str) for value in values):
        raise LearnerError(f"The form came without a usable {name!r}.", do_next=_STALE)
    _refuse_many(len(values))
    if too_long := [value for value in values if len(value) > limit]:
        raise LearnerError(
            f"{name!r} has {len(too_long[0]):,} characters.", do_next=f"Shorten it to at most {limit:,}."
        )
    return [clean(value) for value in values]


def read_form(event: Mapping[str, Any], *, limit: int = 200) -> dict[str, list[str]]:
    """All fields of a submitted form, each with its values of at most `limit` characters."""
    sent = event.get("fields")
    if not isinstance(sent, dict):
        return {}
    _refuse_many(sum(max(1, len(values)) if isinstance(values, list) else 1 for values in sent.values()))
    return {name: read_fields(event, name, limit=limit) for name in sent}


def _refuse_many(count: int) -> None:
    if count > MOST_VALUES:
        raise LearnerError(
            f"The form came with {count:,} values; {MOST_VALUES} are the limit.", do_next="Choose fewer."
        )


def read_number(written: str, *, default: Default, low: int, high: int) -> int | Default:
    """A whole number from an address that anyone may have typed: out of range is brought into range."""
    short = written[:LONGEST_WHOLE]  # out of range at that length, and Python reads no thousands of digits
    return min(max(int(short), low), high) if written.removeprefix("-").isdecimal() else default
