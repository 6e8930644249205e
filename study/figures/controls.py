"""Controls of a figure: sliders, choices and a text, each with its limits.

A figure's settings are a frozen dataclass whose fields are made by `define_slider`, `define_choice` and
`define_text`; the controls on the page and the parsing of a URL's query both derive from it.

    @dataclass(frozen=True, kw_only=True)
    class RankSettings:
        rank: int = define_slider("Rank r", 1, 64, default=8)
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from study.base.errors import LearnerError

Options = Sequence[tuple[str, str]]
"""Pairs of a value and its label."""

S = TypeVar("S")


@dataclass(frozen=True, kw_only=True)
class SliderControl:
    """A whole number between two limits; `stops` are the positions where the slider halts."""

    label: str
    low: int
    high: int
    stops: tuple[int, ...] = ()
    only_stops: bool = False
    unit: str = ""

    kind = "slider"

    def read(self, typed: str) -> int:
        """Parse a whole number. Raises LearnerError when it isn't one or is outside the limits."""
        allowed = self.allowed
        try:
            value = int(typed)
        except ValueError:
            raise LearnerError(
                f"{self.label} must be a whole number, got {typed!r}.", do_next=allowed
            ) from None
        if not self.low <= value <= self.high or (self.only_stops and value not in self.stops):
            raise LearnerError(f"{self.label} can't be {value:,} here.", do_next=allowed)
        return value

    @property
    def allowed(self) -> str:
        if self.only_stops:
            return f"Pick one of {', '.join(map(str, self.stops))}."
        return f"Pick {self.low:,} to {self.high:,}."

    def format_value(self, value: int) -> str:
        """Format the value with its unit."""
        return f"{value:,} {self.unit}".rstrip()

    def position(self, value: int) -> int:
        """Return the handle's position: the number of the nearest stop, or the value itself."""
        if not self.stops:
            return value
        return min(range(len(self.stops)), key=lambda at: abs(self.stops[at] - value))


@dataclass(frozen=True, kw_only=True)
class ChoiceControl:
    """One of a few values."""

    label: str
    options: Options | Callable[[], Options]

    kind = "choice"

    def read(self, typed: str) -> str:
        """Return the value. Raises LearnerError when it isn't among the options."""
        known = dict(self.listed)
        if typed not in known:
            few = ", ".join(list(known)[:12])
            raise LearnerError(f"{self.label} can't be {typed!r} here.", do_next=f"Pick one of {few}.")
        return typed

    @property
    def listed(self) -> Options:
        """The options; a long list is built on first use."""
        return self.options() if callable(self.options) else self.options


@dataclass(frozen=True, kw_only=True)
class TextControl:
    """A free text up to `most` characters."""

    label: str
    most: int

    kind = "text"

    def read(self, typed: str) -> str:
        """Return the text. Raises LearnerError when it is empty or too long."""
        if not typed.strip():
            raise LearnerError(f"{self.label} is empty.", do_next="Type a sentence.")
        if len(typed) > self.most:
            raise LearnerError(
                f"{self.label} has {len(typed):,} characters.",
                do_next=f"Shorten it to at most {self.most:,}.",
            )
        return typed


Control = SliderControl | ChoiceControl | TextControl


def define_slider(
    label: str,
    low: int = 0,
    high: int = 0,
    *,
    default: int,
    stops: Sequence[int] = (),
    only_stops: bool = False,
    unit: str = "",
) -> Any:
    """Define a dataclass field for a whole number from `low` to `high`, or over all of `stops`."""
    low, high = (stops[0], stops[-1]) if stops else (low, high)
    control = SliderControl(
        label=label, low=low, high=high, stops=tuple(stops), only_stops=only_stops, unit=unit
    )
    return field(default=default, metadata={"control": control})


def define_choice(label: str, options: Options | Callable[[], Options], *, default: str) -> Any:
    """Define a dataclass field for one of a few values."""
    return field(default=default, metadata={"control": ChoiceControl(label=label, options=options)})


def define_text(label: str, *, default: str, most: int) -> Any:
    """Define a dataclass field for a free text."""
    return field(default=default, metadata={"control": TextControl(label=label, most=most)})


def list_controls(settings: type[Any]) -> list[tuple[str, Control]]:
    """List field names and controls, in order."""
    return [(each.name, each.metadata["control"]) for each in fields(settings)]


def parse_settings(settings: type[S], query: Mapping[str, str]) -> S:
    """Parse settings from a URL's query. A missing parameter gets its default; an unknown one is ignored.

    Raises LearnerError on a value outside its limits.
    """
    given = {name: control.read(query[name]) for name, control in list_controls(settings) if name in query}
    return settings(**given)
