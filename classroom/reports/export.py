"""The report of a class as files: two tables as CSV, and everything as JSON."""

import csv
import io
import json
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from classroom.reports.report import ItemRow, Report, StudentRow, as_json
from study.plots.plot import neutral

BOM = "\ufeff"  # so that a spreadsheet reads UTF-8

FILES = {
    "students.csv": "text/csv; charset=utf-8",
    "items.csv": "text/csv; charset=utf-8",
    "class.json": "application/json",
}


def export(found: Report, name: str) -> bytes:
    """The content of one of `FILES`."""
    match name:
        case "students.csv":
            return _table(StudentRow, found.students)
        case "items.csv":
            return _table(ItemRow, found.items)
    return json.dumps(as_json(found), ensure_ascii=False, indent=1).encode()


def _table(kind: type[Any], rows: Sequence[Any]) -> bytes:
    """A header and one line for each row. A text that a spreadsheet would run gets an apostrophe in front."""
    names = [field.name for field in fields(kind)]
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerow(names)
    writer.writerows([_cell(getattr(row, name)) for name in names] for row in rows)
    return (BOM + text.getvalue()).encode()


def _cell(value: Any) -> Any:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    return neutral(value)
