"""Published tables: each number as printed, and computed again where the lab can.

A printed number agrees when the computed one comes to it by rounding or cutting at its last digit; papers do
both (18,874,368 stands as 18M, 37,748,736 as 37.7M).
"""

import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from study.base.checks import Check, evaluate
from study.content.yaml_reader import ContentError, Fields, Problem, note_repeated_ids, read_list

PAPERS_FILE = Path(__file__).with_name("papers.yaml")
UNITS = {"": 1.0, "K": 1e3, "M": 1e6, "B": 1e9, "kB": 1e3, "MB": 1e6, "GB": 1e9, "TB": 1e12}
_PRINTED = re.compile(r"(?P<digits>\d[\d,]*(?:\.\d+)?)(?P<unit>[A-Za-z]*)")

Verdict = Literal["agrees", "close", "differs", "published"]
CLOSE_PERCENT = 1.0


@dataclass(frozen=True, kw_only=True)
class Number:
    """One cell of a table."""

    printed: str
    """As the paper has it; empty where the paper has nothing."""

    check: Check | None = None

    @property
    def value(self) -> float:
        """The printed number in plain units."""
        digits, unit = _parts(self.printed)
        return float(digits.replace(",", "")) * UNITS[unit]

    @property
    def unit(self) -> str:
        """`M`, `GB`, or nothing."""
        return _parts(self.printed)[1]

    @property
    def computed(self) -> float | None:
        """The lab's own number; None where it has none."""
        return evaluate(self.check) if self.check else None

    @property
    def verdict(self) -> Verdict:
        """Whether the computed number is the printed one, rounded or cut; `close` to 1 %."""
        computed = self.computed
        if computed is None:
            return "published"
        digits, unit = _parts(self.printed)
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
class Row:
    """One line of a table."""

    name: str
    numbers: tuple[Number, ...]


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """What of a table is drawn: some rows over all columns, or some columns over all rows."""

    finding: str
    y_label: str
    across: tuple[str, ...]
    """Places on the horizontal axis."""

    series: tuple[tuple[str, tuple[float | None, ...]], ...]
    """Each line's name and its value at each place."""


@dataclass(frozen=True, kw_only=True)
class Table:
    """One published table, or a set of claims from one place."""

    id: str
    title: str
    source: str
    about: str
    columns: tuple[str, ...]
    rows: tuple[Row, ...]
    drawn: Drawn | None

    @property
    def numbers(self) -> Iterator[Number]:
        """Every number that is printed."""
        return (number for row in self.rows for number in row.numbers if number.printed)

    def count(self, verdict: Verdict) -> int:
        """How many numbers came out that way."""
        return sum(number.verdict == verdict for number in self.numbers)


@cache
def published_tables() -> tuple[Table, ...]:
    """All tables in reading order. Raises ContentError naming every problem of the file."""
    problems: list[Problem] = []
    entries = read_list(PAPERS_FILE, kind="table", problems=problems)
    tables = [_table(fields) for fields in entries]
    note_repeated_ids((table.id, fields) for table, fields in zip(tables, entries, strict=True))
    if problems:
        raise ContentError(problems)
    return tuple(tables)


def printed(table_id: str, row: str) -> Number:
    """The first number of a row of a table."""
    table = next(table for table in published_tables() if table.id == table_id)
    return next(found for found in table.rows if found.name == row).numbers[0]


def _table(fields: Fields) -> Table:
    columns = fields.texts("columns")
    rows = tuple(_row(row, columns) for row in fields.children("rows", kind="row"))
    table = Table(
        id=fields.text("id"),
        title=fields.text("title"),
        source=fields.text("source"),
        about=fields.text("about"),
        columns=columns,
        rows=rows,
        drawn=_drawn(fields.raw("plot"), columns, rows, fields),
    )
    fields.close()
    return table


def _row(fields: Fields, columns: tuple[str, ...]) -> Row:
    written = fields.raw("numbers")
    entries = written if isinstance(written, list) else []
    if len(entries) != len(columns):
        fields.note(f"`numbers` must hold one entry for each of the {len(columns)} columns")
    row = Row(name=fields.text("name"), numbers=tuple(_number(entry, fields) for entry in entries))
    fields.close()
    return row


def _number(entry: Any, fields: Fields) -> Number:
    printed = entry.get("printed") if isinstance(entry, dict) else entry
    if not isinstance(printed, str) or (printed and not _is_number(printed)):
        fields.note(f"a number is printed as a text such as 4.7M, got {printed!r}")
        return Number(printed="")
    if not isinstance(entry, dict):
        return Number(printed=printed)
    check = entry.get("check")
    if not isinstance(check, dict) or not isinstance(check.get("quantity"), str):
        fields.note(f"a computed number needs a check with a `quantity`, got {check!r}")
        return Number(printed=printed)
    arguments = {name: value for name, value in check.items() if name != "quantity"}
    plain = Number(printed=printed)
    return Number(
        printed=printed,
        check=Check(quantity=check["quantity"], arguments=arguments, expect=plain.value),
    )


def _drawn(written: Any, columns: tuple[str, ...], rows: tuple[Row, ...], fields: Fields) -> Drawn | None:
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
    series = tuple((name, _values(numbers)) for name, numbers in lines)
    return Drawn(finding=written["finding"], y_label=written["y_label"], across=across, series=series)


def _values(numbers: tuple[Number, ...]) -> tuple[float | None, ...]:
    return tuple(number.value if number.printed else None for number in numbers)


def _is_number(printed: str) -> bool:
    found = _PRINTED.fullmatch(printed)
    return found is not None and found["unit"] in UNITS


def _parts(printed: str) -> tuple[str, str]:
    found = _PRINTED.fullmatch(printed)
    assert found is not None, printed
    return found["digits"], found["unit"]
