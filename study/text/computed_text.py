"""`[[lora_parameters model=llama-7b rank=8 targets=q,v]]` in a text: a number computed where it stands.

After a bar comes what to print it as: `|GB`, `|MB`, `|kB`, `|percent`, or a number of decimals.

`[[set rank=64|sixty-four]]` is a phrase that sets the figure beside the text; as plain text it is the phrase.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from study.base.checks import Quantity, evaluate, find_scale
from study.base.errors import LearnerError
from study.base.units import as_percent, as_three_digits, write_minus

PLACEHOLDER = re.compile(r"\[\[(?P<call>[^\[\]|]+)(?:\|(?P<unit>[^\[\]|]+))?\]\]")
BYTE_UNITS = ("kB", "MB", "GB", "TB")


@dataclass(frozen=True, kw_only=True)
class Computed:
    """A quantity and how its number is printed."""

    quantity: Quantity
    unit: str

    @property
    def shown(self) -> str:
        """The number as a learner reads it, computed now."""
        return _print_value(evaluate(self.quantity), self.unit)


def parse_computed(match: re.Match[str]) -> Computed:
    """What a placeholder asks for. Raises LearnerError when it can't be read."""
    name, *pairs = match["call"].split()
    arguments = dict(_read_argument(pair, match[0]) for pair in pairs)
    unit = (match["unit"] or "").strip()
    if unit and unit not in (*BYTE_UNITS, "percent") and not unit.isdecimal():
        raise LearnerError(
            f"{match[0]} can't be printed as {unit!r}.",
            do_next=f"Use {', '.join(BYTE_UNITS)}, percent, or a number of decimals.",
        )
    return Computed(quantity=Quantity(quantity=name, arguments=arguments), unit=unit)


@dataclass(frozen=True, kw_only=True)
class FigureSetting:
    """A phrase that sets the figure beside it."""

    settings: str
    """Pairs `name=value` as a URL's query."""

    phrase: str


def parse_figure_setting(match: re.Match[str]) -> FigureSetting | None:
    """Parse a placeholder that sets a figure; None when it asks for a number. Raises LearnerError."""
    verb, *pairs = match["call"].split()
    if verb != "set":
        return None
    if not pairs or not all("=" in pair for pair in pairs) or not match["unit"]:
        raise LearnerError(f"{match[0]} sets nothing.", do_next="Write [[set rank=64|the phrase]].")
    return FigureSetting(settings="&".join(pairs), phrase=match["unit"])


def list_settings_named_in(texts: Iterable[str]) -> set[str]:
    """Return the names of the figure's settings that phrases in these texts set."""
    found = (parse_figure_setting(match) for text in texts for match in PLACEHOLDER.finditer(text))
    return {pair.partition("=")[0] for setting in found if setting for pair in setting.settings.split("&")}


def fill_numbers(text: str) -> str:
    """The text with its numbers in place, as plain text."""
    return PLACEHOLDER.sub(_as_plain, text)


def _as_plain(match: re.Match[str]) -> str:
    setting = parse_figure_setting(match)
    return setting.phrase if setting else parse_computed(match).shown


def find_problems(text: str) -> Iterator[str]:
    """Find what is wrong with the placeholders of a text: unreadable, unknown, or not computable."""
    for match in PLACEHOLDER.finditer(text):
        try:
            _as_plain(match)
        except LearnerError as error:
            yield str(error)
        except (TypeError, ValueError, KeyError, IndexError, ZeroDivisionError) as error:
            yield f"{match[0]} can't be computed: {error}"
    left = PLACEHOLDER.sub("", text)
    if "[[" in left or "]]" in left:
        yield "a `[[` or `]]` has no partner"


def _read_argument(pair: str, whole: str) -> tuple[str, Any]:
    name, equals, value = pair.partition("=")
    if not equals or not value:
        raise LearnerError(f"{whole} has {pair!r} among its arguments.", do_next="Write each as name=value.")
    parts = [_read_value(part) for part in value.split(",") if part]
    return name, parts if "," in value else parts[0]


def _read_value(word: str) -> Any:
    if word in ("true", "false"):
        return word == "true"
    for kind in (int, float):
        try:
            return kind(word)
        except ValueError:
            continue
    return word


def _print_value(value: float, unit: str) -> str:
    if unit.isdecimal():
        text = f"{value:,.{int(unit)}f}"
    elif unit == "percent":
        text = as_percent(value)
    elif unit:
        text = f"{as_three_digits(value / (find_scale(unit) or 1.0))} {unit}"
    else:
        text = f"{value:,.0f}" if value == int(value) else f"{value:,.4g}"
    return write_minus(text)
