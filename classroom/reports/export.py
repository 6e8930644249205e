"""The report of a class as files: tables as CSV and XLSX, grades for Moodle, and everything as JSON."""

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

from classroom.reports.answer_tables import Table, answer_table, grade_table
from classroom.reports.report import ItemRow, Report, StudentRow, as_json
from study.base.spreadsheets import BOM, neutralize

WIDEST = 40
"""Characters of a column."""

NO_GRADE = "-"
"""As Moodle writes a missing grade itself. It reads an empty cell as 0 where the grade item is a new one
(`grade/import/csv/classes/load_data.php`)."""

_CSV = "text/csv; charset=utf-8"
FILES = {
    "class.xlsx": (
        "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        "the tables below and every answer, for a spreadsheet",
    ),
    "students.csv": (_CSV, "one row per student"),
    "items.csv": (_CSV, "one row per activity or question of a quiz"),
    "moodle.csv": (_CSV, "for Moodle's gradebook; a missing grade is a - and counts as 0 in “Class total”"),
    "class.json": ("application/json", "everything, for programs"),
}
"""The media type of each file, and what it has, for the report."""


def export(found: Report, name: str) -> bytes:
    match name:
        case "class.xlsx":
            return write_workbook(
                {
                    "Students": _build_table(StudentRow, found.students),
                    "Activities": _build_table(ItemRow, found.items),
                    "Answers": answer_table(found),
                }
            )
        case "students.csv":
            return _format_csv(_build_table(StudentRow, found.students), bom=True)
        case "items.csv":
            return _format_csv(_build_table(ItemRow, found.items), bom=True)
        case "moodle.csv":
            return _format_csv(grade_table(found), bom=False, missing=NO_GRADE)
    return json.dumps(as_json(found), ensure_ascii=False, indent=1).encode()


def _build_table(kind: type[Any], rows: Sequence[Any]) -> Table:
    """Build a header and one line for each row."""
    names = [field.name for field in fields(kind)]
    return [names, *([getattr(row, name) for name in names] for row in rows)]


def _format_csv(table: Table, *, bom: bool, missing: str = "") -> bytes:
    """Format a table as CSV; a text that a spreadsheet would run gets an apostrophe in front.

    `missing` stands for no value. Moodle reads UTF-8 and needs no BOM.
    """
    text = io.StringIO()
    csv.writer(text).writerows([_format_cell(value, missing) for value in row] for row in table)
    return ((BOM if bom else "") + text.getvalue()).encode()


def _format_cell(value: Any, missing: str) -> Any:
    if value is None:
        return missing
    if isinstance(value, float):
        return f"{value:.6g}"
    return neutralize(value)


def write_workbook(tables: Mapping[str, Table]) -> bytes:
    """Write each table with a bold header that stays in view. No text becomes a formula or a link."""
    import xlsxwriter  # 40 ms and more, which no start of the app should pay

    content = io.BytesIO()
    plain = dict.fromkeys(("strings_to_formulas", "strings_to_urls", "strings_to_numbers"), False)
    with xlsxwriter.Workbook(content, {"in_memory": True, **plain}) as book:
        bold = book.add_format({"bold": True})
        for title, rows in tables.items():
            sheet = book.add_worksheet(title)
            sheet.freeze_panes(1, 0)
            for at, row in enumerate(rows):
                for column, value in enumerate(row):
                    if value is not None:
                        # As in a CSV: a sheet saved as one has the same cells.
                        sheet.write(at, column, neutralize(value), bold if at == 0 else None)
            for column in range(len(rows[0])):
                widest = max(len(str(row[column])) for row in rows)
                sheet.set_column(column, column, min(WIDEST, widest + 2))
    return content.getvalue()
