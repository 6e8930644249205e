"""Tables as an XLSX workbook, one sheet each."""

import io
from collections.abc import Mapping

from classroom.reports.answer_tables import Table
from study.plots.plot import neutral

WIDEST = 40
"""Characters of a column."""


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
                        sheet.write(at, column, neutral(value), bold if at == 0 else None)
            for column in range(len(rows[0])):
                widest = max(len(str(row[column])) for row in rows)
                sheet.set_column(column, column, min(WIDEST, widest + 2))
    return content.getvalue()
