"""A plot as a value: its message, its numbers, and its drawing."""

import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from study.base.spreadsheets import neutralize
from study.base.units import as_three_digits
from study.plots.sheet import (
    EDGE,
    NARROW_BELOW_POINTS,
    TEXT_LEADING,
    TITLE_LEADING,
    TITLE_SIZE,
    Sheet,
    apply_drawing_style,
    wrap_text,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Cell = str | int | float


class Drawing(Protocol):
    """The part of a plot below its title."""

    def compute_body_height(self, width: float) -> float:
        """Return its height in points on a sheet of `width` points."""

    def draw(self, sheet: Sheet, top: float) -> None:
        """Draw from `top` to the lower edge of the sheet."""


@dataclass(frozen=True, kw_only=True)
class Plot:
    """One chart. Equal settings give equal plots, so that rendered pictures can be cached."""

    name: str
    """Safe in a URL and in a file name."""

    title: str
    """The chart's message as a sentence with this setting's numbers."""

    subtitle: str
    """The conditions of that message."""

    header: tuple[str, ...]
    rows: tuple[tuple[Cell, ...], ...]
    """The exact data of the drawing; the header has the units."""

    alt: str
    drawing: Drawing

    @property
    def shown_rows(self) -> tuple[tuple[str, ...], ...]:
        """The rows as a learner reads them: 2,442,240 and three significant digits."""
        return tuple(tuple(format_cell(cell) for cell in row) for row in self.rows)

    def height(self, width: float, *, titled: bool = True) -> float:
        """Return the height in points of the whole chart at `width` points."""
        return self.drawing.compute_body_height(width) + (self._header_height(width) if titled else EDGE)

    def draw(self, figure: "Figure", *, titled: bool = True) -> None:
        """Draw onto an empty figure of the size that `height` returns."""
        with apply_drawing_style():
            sheet = Sheet(figure)
            if titled:
                below = sheet.draw_paragraph(EDGE + TITLE_SIZE, self.title, title=True)
                sheet.draw_paragraph(below, self.subtitle)
            self.drawing.draw(sheet, self._header_height(sheet.width) if titled else EDGE)

    def _header_height(self, width: float) -> float:
        """Return the height of title and subtitle: the same for most settings, so a slider shifts nothing."""
        room = width - 2 * EDGE
        reserved = 2 if width >= NARROW_BELOW_POINTS else 3
        titles = max(reserved, len(wrap_text(self.title, room, size=TITLE_SIZE, bold=True)))
        subtitles = max(reserved, len(wrap_text(self.subtitle, room)))
        return EDGE + titles * TITLE_LEADING + subtitles * TEXT_LEADING + 8


def format_cell(cell: Cell) -> str:
    if isinstance(cell, str):
        return cell
    return f"{cell:,}" if isinstance(cell, int) else as_three_digits(cell)


def to_csv(plot: Plot) -> str:
    """Return the table with exact numbers. Texts that a spreadsheet would run get an apostrophe in front."""
    file = io.StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(plot.header)
    writer.writerows([neutralize(cell) for cell in row] for row in plot.rows)
    return file.getvalue()
