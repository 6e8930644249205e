"""What a learner can move on a figure: sliders, choices and a text, each with its limits and its default.

A figure's settings are a frozen dataclass whose fields are made by `slider`, `choice` and `text`; the
controls on the page and the reading of an address both come from there.

    @dataclass(frozen=True, kw_only=True)
    class Settings:
        rank: int = slider("Rank r", 1, 64, default=8)
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import Any, TypeVar

from study.base.errors import LearnerError

Options = Sequence[tuple[str, str]]
"""Value and what a learner reads."""

S = TypeVar("S")


@dataclass(frozen=True, kw_only=True)
class Slider:
    """A whole number between two limits; `stops` are the places where the slider halts."""

    label: str
    low: int
    high: int
    default: int
    stops: tuple[int, ...] = ()
    only_stops: bool = False
    unit: str = ""

    kind = "slider"

    def read(self, typed: str) -> int:
        """Raises LearnerError on what is no whole number within the limits."""
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
        """What to pick instead."""
        if self.only_stops:
            return f"Pick one of {', '.join(map(str, self.stops))}."
        return f"Pick {self.low:,} to {self.high:,}."

    def shown(self, value: int) -> str:
        """The value with its unit."""
        return f"{value:,} {self.unit}".rstrip()

    def position(self, value: int) -> int:
        """Where the handle stands: the number of the nearest stop, or the value itself."""
        if not self.stops:
            return value
        return min(range(len(self.stops)), key=lambda at: abs(self.stops[at] - value))


@dataclass(frozen=True, kw_only=True)
class Choice:
    """One of a few values."""

    label: str
    options: Options | Callable[[], Options]
    default: str

    kind = "choice"

    def read(self, typed: str) -> str:
        """Raises LearnerError on a value that is not among the options."""
        known = dict(self.listed)
        if typed not in known:
            few = ", ".join(list(known)[:12])
            raise LearnerError(f"{self.label} can't be {typed!r} here.", do_next=f"Pick one of {few}.")
        return typed

    @property
    def listed(self) -> Options:
        """The options; a long list is made when it is first asked for."""
        return self.options() if callable(self.options) else self.options


@dataclass(frozen=True, kw_only=True)
class Text:
    """A learner's own words, up to a length."""

    label: str
    default: str
    most: int

    kind = "text"

    def read(self, typed: str) -> str:
        """Raises LearnerError on an empty or a very long text."""
        if not typed.strip():
            raise LearnerError(f"{self.label} is empty.", do_next="Type a sentence.")
        if len(typed) > self.most:
            raise LearnerError(
                f"{self.label} has {len(typed):,} characters.", do_next=f"Keep it under {self.most:,}."
            )
        return typed


Control = Slider | Choice | Text


def slider(
    label: str,
    low: int,
    high: int,
    *,
    default: int,
    stops: Sequence[int] = (),
    only_stops: bool = False,
    unit: str = "",
) -> Any:
    """A field for a whole number."""
    control = Slider(
        label=label, low=low, high=high, default=default, stops=tuple(stops), only_stops=only_stops, unit=unit
    )
    return field(default=default, metadata={"control": control})


def choice(label: str, options: Options | Callable[[], Options], *, default: str) -> Any:
    """A field for one of a few values."""
    return field(default=default, metadata={"control": Choice(label=label, options=options, default=default)})


def text(label: str, *, default: str, most: int) -> Any:
    """A field for a learner's own words."""
    return field(default=default, metadata={"control": Text(label=label, default=default, most=most)})


def controls_of(settings: type[Any]) -> Iterator[tuple[str, Control]]:
    """Field names and controls, in their order."""
    return ((each.name, each.metadata["control"]) for each in fields(settings))


def settings_from(settings: type[S], query: Mapping[str, str]) -> S:
    """Settings as an address gives them; what it does not name is at its default, what it names besides is
    somebody else's. Raises LearnerError on a value outside its limits.
    """
    given = {name: control.read(query[name]) for name, control in controls_of(settings) if name in query}
    return settings(**given)
