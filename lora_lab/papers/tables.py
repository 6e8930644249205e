"""Published tables: each number as printed, and recomputed where the lab can.

A printed number agrees when the computed one gives it by rounding or truncating at its last digit; papers do
both (18,874,368 is printed as 18M, 37,748,736 as 37.7M).
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any, Literal

from study.base.checks import Check, evaluate
from study.content.declared import read_declared
from study.content.yaml_reader import Fields, read_items

PAPERS_FILE = Path(__file__).with_name("papers.yaml")
UNITS = {"": 1.0, "K": 1e3, "M": 1e6, "B": 1e9, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}
_PRINTED = re.compile(r"(?P<digits>\d[\d,]*(?:\.\d+)?)(?P<unit>[A-Za-z]*)")

Agreement = Literal["agrees", "close", "differs", "published"]
CLOSE_PERCENT = 1.0


@dataclass(frozen=True, kw_only=True)
class PublishedNumber:
    printed: str
    """The text in the paper; empty where the paper has nothing."""

    check: Check | None = None

    @property
    def value(self) -> float:
        """The printed number in plain units."""
        digits, unit = _split_parts(self.printed)
        return float(digits.replace(",", "")) * UNITS[unit]

    @property
    def computed(self) -> float | None:
        """The lab's own number; None without a check."""
        return evaluate(self.check) if self.check else None

    @property
    def verdict(self) -> Agreement:
        """Whether the computed number, rounded or truncated, is the printed one; `close` within 1 %."""
        computed = self.computed
        if computed is None:
            return "published"
        digits, unit = _split_parts(self.printed)
        decimals = len(digits.partition(".")[2])
        in_last_digits = computed / UNITS[unit] * 10**decimals
        printed = round(float(digits.replace(",", "")) * 10**decimals)
        if printed in (math.floor(in_last_digits), round(in_last_digits)):
            return "agrees"
        return "close" if abs(self.off_percent) <= CLOSE_PERCENT else "differs"

    @property
    def off_percent(self) -> float:
        """How far the printed number is from the computed one, in percent of the latter."""
        computed = self.computed
        assert computed is not None
        return 100 * (self.value - computed) / computed


@dataclass(frozen=True, kw_only=True)
class PublishedRow:
    name: str
    numbers: tuple[PublishedNumber, ...]


@dataclass(frozen=True, kw_only=True)
class PlottedPart:
    """The plotted part of a table: some rows over all columns, or one column over all rows."""

    finding: str
    y_label: str
    across: tuple[str, ...]
    """The labels of the horizontal axis."""

    series: tuple[tuple[str, tuple[float | None, ...]], ...]
    """Each line's name and its value at each label."""


@dataclass(frozen=True, kw_only=True)
class PublishedTable:
    """One published table, or a set of claims from one source."""

    id: str
    title: str
    source: str
    about: str
    columns: tuple[str, ...]
    rows: tuple[PublishedRow, ...]
    drawn: PlottedPart | None

    @property
    def numbers(self) -> Iterator[PublishedNumber]:
        return (number for row in self.rows for number in row.numbers if number.printed)

    def count(self, verdict: Agreement) -> int:
        return sum(number.verdict == verdict for number in self.numbers)


@cache
def read_published_tables() -> tuple[PublishedTable, ...]:
    """Read all tables in file order. Raises ContentError naming every problem of the file."""
    return read_items(PAPERS_FILE, kind="table", read=_read_table)


def find_printed(table_id: str, row: str) -> PublishedNumber:
    table = next(table for table in read_published_tables() if table.id == table_id)
    return next(found for found in table.rows if found.name == row).numbers[0]


def _read_table(fields: Fields) -> PublishedTable:
    columns = fields.texts("columns")
    rows = tuple(_read_row(row, columns) for row in fields.children("rows", kind="row"))
    drawn = _read_drawn(fields.raw("plot"), columns, rows, fields)
    return read_declared(fields, PublishedTable, columns=columns, rows=rows, drawn=drawn)


def _read_row(fields: Fields, columns: tuple[str, ...]) -> PublishedRow:
    written = fields.raw("numbers")
    entries = written if isinstance(written, list) else []
    if len(entries) != len(columns):
        fields.note(f"`numbers` must hold one entry for each of the {len(columns)} columns")
    numbers = tuple(_read_number(entry, fields) for entry in entries)
    return read_declared(fields, PublishedRow, numbers=numbers)


def _read_number(entry: Any, fields: Fields) -> PublishedNumber:
    printed = entry.get("printed") if isinstance(entry, dict) else entry
    if not isinstance(printed, str) or (printed and not _is_number(printed)):
        fields.note(f"a number is printed as a text such as 4.7M, got {printed!r}")
        return PublishedNumber(printed="")
    number = PublishedNumber(printed=printed)
    if not isinstance(entry, dict):
        return number
    check = entry.get("check")
    if not isinstance(check, dict) or not isinstance(check.get("quantity"), str):
        fields.note(f"a computed number needs a check with a `quantity`, got {check!r}")
        return number
    arguments = {name: value for name, value in check.items() if name != "quantity"}
    return replace(number, check=Check(quantity=check["quantity"], arguments=arguments, expect=number.value))


def _read_drawn(
    written: Any, columns: tuple[str, ...], rows: tuple[PublishedRow, ...], fields: Fields
) -> PlottedPart | None:
    if written is None:
        return None
    labels = tuple(written["labels"])
    if "column" in written:
        index = columns.index(written["column"])
        across, lines = labels, [("", tuple(row.numbers[index] for row in rows))]
    else:
        chosen = [row.numbers for row in rows if row.name in written["rows"]]
        across, lines = columns, list(zip(labels, chosen, strict=True))
    if any(len(numbers) != len(across) for _, numbers in lines):
        fields.note("`plot` needs a label for each of its rows")
    series = tuple((name, tuple(map(_read_value, numbers))) for name, numbers in lines)
    return PlottedPart(finding=written["finding"], y_label=written["y_label"], across=across, series=series)


def _read_value(number: PublishedNumber) -> float | None:
    return number.value if number.printed else None


def _is_number(printed: str) -> bool:
    found = _PRINTED.fullmatch(printed)
    return found is not None and found["unit"] in UNITS


def _split_parts(printed: str) -> tuple[str, str]:
    found = _PRINTED.fullmatch(printed)
    assert found is not None, printed
    return found["digits"], found["unit"]
