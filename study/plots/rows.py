"""A row chart, one line per name: a share with its confidence interval, or an amount as a bar."""

from dataclasses import dataclass

from study.plots.area import Area
from study.plots.axis import choose_span, choose_ticks
from study.plots.points import BLUE, DASHES, ORANGE
from study.plots.sheet import (
    EDGE,
    FAINT,
    INK,
    TEXT_LEADING,
    Sheet,
    measure_text_width,
    shorten_text,
    wrap_text,
)

ROW = 22.0
ABOVE = 10.0
BELOW = TEXT_LEADING + 18
NAMES_AT_MOST = 0.42  # as a share of the sheet's width
FOOT_GAP = 18.0


@dataclass(frozen=True, kw_only=True)
class PlotRow:
    """One name. A value without an interval is drawn as a bar from zero."""

    name: str
    value: float
    number: str
    interval: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Rows from top to bottom; `target` is a dashed line across them."""

    rows: tuple[PlotRow, ...]
    x_label: str
    footnote: str
    target: float | None = None

    def compute_body_height(self, width: float) -> float:
        foot = len(wrap_text(self.footnote, width - 2 * EDGE)) * TEXT_LEADING
        return ABOVE + ROW * len(self.rows) + BELOW + FOOT_GAP + foot + EDGE

    def draw(self, sheet: Sheet, top: float) -> None:
        names = min(max(measure_text_width(row.name) for row in self.rows), NAMES_AT_MOST * sheet.width)
        numbers = max(measure_text_width(row.number) for row in self.rows)
        bottom = top + ABOVE + ROW * len(self.rows)
        box = (EDGE + names + 10, top + ABOVE, sheet.width - EDGE - numbers - 10, bottom)
        area = Area(sheet, box, across=self._choose_horizontal_span(), upwards=(0.0, 1.0))
        self._draw_scale(area)
        for place, row in enumerate(self.rows):
            y = area.top + ROW * (place + 0.5)
            sheet.draw_text(EDGE, y + 4, shorten_text(row.name, names))
            sheet.draw_text(sheet.width - EDGE, y + 4, row.number, align="right", soft=True)
            _draw_mark(area, row, y)
        sheet.draw_paragraph(bottom + BELOW + FOOT_GAP + 2, self.footnote)

    def _choose_horizontal_span(self) -> tuple[float, float]:
        if all(row.interval is None for row in self.rows):
            return choose_span(0.0, max(row.value for row in self.rows), about=4)
        ends = [end for row in self.rows for end in row.interval or (row.value,)]
        ends += [self.target] if self.target is not None else []
        return max(0.0, min(ends) - 0.03), min(1.0, max(ends) + 0.03)

    def _draw_scale(self, area: Area) -> None:
        shares = any(row.interval for row in self.rows)
        ticks = choose_ticks(*area.across, about=3 if area.sheet.narrow else 5)
        for x in map(area.x, ticks):
            area.sheet.draw_line([x, x], [area.top, area.bottom], color=INK, alpha=FAINT, lw=0.8)
        labels = [(tick, f"{100 * tick:g} %" if shares else f"{tick:g}") for tick in ticks]
        area.draw_labels_below(labels, first=())
        if self.target is not None:
            x = area.x(self.target)
            area.sheet.draw_line([x, x], [area.top, area.bottom], color=ORANGE, lw=2.0, ls=DASHES)
        middle = (area.left + area.right) / 2
        area.sheet.draw_text(middle, area.bottom + BELOW, self.x_label, align="center", soft=True)


def _draw_mark(area: Area, row: PlotRow, y: float) -> None:
    if row.interval is None:
        start, end = area.x(0.0), area.x(row.value)
        area.sheet.draw_shape([(start, y - 7), (end, y - 7), (end, y + 7), (start, y + 7)], fc=BLUE, lw=0)
        return
    low, high = (area.x(end) for end in row.interval)
    area.sheet.draw_line([low, high], [y, y], color=BLUE, lw=1.4)
    area.sheet.draw_line([area.x(row.value)], [y], color=BLUE, marker="o", ms=7)
