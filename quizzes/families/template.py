"""A text with numbers to fill in: `rank {rank}`, `{count:,.0f} parameters`, `{memory:size}`.

After the colon comes a number format of Python, one of `FORMATS`, or a noun in singular and plural:
`{batch:example|examples}` gives `1 example`. A list is written with commas between its numbers.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from string import Formatter
from typing import Any

from study.base.typed_numbers import format_number
from study.base.units import as_bytes, write_minus
from study.content.yaml_reader import Fields

_SIDE_LIMIT = 1_000_000  # more than any side of a drawn matrix
_NAME = re.compile(r"[a-z][a-z0-9_]*")
_NUMBER_FORMAT = re.compile(r",?(?:\.\d[fg])?")


def encode_shape(rows: int, columns: int) -> float:
    """Encode a shape as one number, so that shapes compare like other answers."""
    return float(rows * _SIDE_LIMIT + columns)


def format_digits(value: float) -> str:
    """Format a number with as many digits as it has."""
    return format_number(value) if abs(value) >= 1e-3 else f"{value:.7f}".rstrip("0").rstrip(".")


def _format_shape(value: float) -> str:
    rows, columns = divmod(round(value), _SIDE_LIMIT)
    return f"{rows:,} × {columns:,}"


FORMATS: Mapping[str, Callable[[float], str]] = {
    "digits": format_digits,
    "factor": lambda value: f"({format_digits(value)})" if value < 0 else format_digits(value),
    "gigabytes": lambda value: as_bytes(value * 1e9),
    "shape": _format_shape,
    "size": as_bytes,
}
"""`factor` puts a negative number in brackets, `gigabytes` and `size` write bytes as `13.5 GB`."""


@dataclass(frozen=True)
class FamilyTemplate:
    """A parsed text: pieces of a literal text and the placeholder after it, as name and format."""

    pieces: tuple[tuple[str, str, str], ...] = ()

    @property
    def names(self) -> frozenset[str]:
        """The values that the text needs."""
        return frozenset(name for _, name, _ in self.pieces if name)

    def fill(self, values: Mapping[str, Any]) -> str:
        """Return the text with its values. Raises KeyError for a value that is missing."""
        return "".join(
            literal + (_format_value(values[name], spec) if name else "")
            for literal, name, spec in self.pieces
        )


def parse_template(text: str) -> FamilyTemplate:
    """Parse a text. Raises ValueError that names the brace, name or format which is wrong."""
    pieces = []
    for literal, name, spec, conversion in Formatter().parse(text):
        if name is not None and (conversion or not _NAME.fullmatch(name)):
            raise ValueError(f"{{{name}}} must be the plain name of a value")
        if spec and not (spec in FORMATS or _NUMBER_FORMAT.fullmatch(spec) or spec.count("|") == 1):
            raise ValueError(f"{{{name}:{spec}}} has an unknown format; use one of {', '.join(FORMATS)}")
        pieces.append((literal, name or "", spec or ""))
    return FamilyTemplate(tuple(pieces))


def _format_value(value: Any, spec: str) -> str:
    if isinstance(value, list | tuple):
        return ", ".join(_format_value(each, spec) for each in value)
    if isinstance(value, str):
        return value
    if "|" in spec:
        one, many = spec.split("|")
        return f"{value} {one if value == 1 else many}"
    written = FORMATS[spec](value) if spec in FORMATS else format(value, spec)
    return write_minus(written)


def read_template(fields: Fields, name: str) -> FamilyTemplate:
    """Read a text; note what is wrong with its placeholders."""
    return parse_noted(fields, name, fields.text(name))


def parse_noted(fields: Fields, name: str, text: str) -> FamilyTemplate:
    """Parse a text of a field; note what is wrong with its placeholders."""
    try:
        return parse_template(text)
    except ValueError as error:
        fields.note(f"`{name}`: {error}")
        return FamilyTemplate()
