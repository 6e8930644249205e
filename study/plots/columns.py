"""A column chart: one number per position on the horizontal axis, drawn from zero, labelled above."""

from dataclasses import dataclass

from study.plots.area import Area
from study.plots.axis import choose_span, choose_ticks
from study.plots.points import BLUE
from study.plots.sheet import EDGE, TEXT_LEADING, TEXT_SIZE, Sheet, measure_text_width, wrap_text

BODY = 200.0
ABOVE = TEXT_LEADING + 18  # the label of the vertical axis, and the number above the tallest column
BELOW = TEXT_LEADING + 18  # tick labels and the label of the horizontal axis
FILLED = 0.72  # share of a position's width that its column fills


@dataclass(frozen=True, kw_only=True)
class Columns:
    """Counts, minutes or shares."""

    labels: tuple[str, ...]
    values: tuple[float, ...]
    numbers: tuple[str, ...]
    """The text above each column; empty for none."""

    x_label: str
    y_label: str
    footnote: str = ""

    def compute_body_height(self, width: float) -> float:
        return ABOVE + BODY + BELOW + self._foot_height(width) + EDGE

    def draw(self, sheet: Sheet, top: float) -> None:
        _, highest = choose_span(0.0, max(max(self.values), 1e-9), about=4)
        ticks = {tick: f"{tick:g}" for tick in choose_ticks(0.0, highest, about=4)}
        left = EDGE + max(measure_text_width(label) for label in ticks.values()) + 8
        box = (left, top + ABOVE, sheet.width - EDGE, top + ABOVE + BODY)
        area = Area(sheet, box, across=(0.0, float(len(self.values))), upwards=(0.0, highest))
        sheet.draw_text(EDGE, top + TEXT_SIZE + 2, self.y_label, soft=True)
        area.draw_levels(ticks)
        for place, value in enumerate(self.values):
            self._draw_column(area, place, value)
        self._draw_words(area)
        sheet.draw_text((left + area.right) / 2, area.bottom + BELOW, self.x_label, align="center", soft=True)
        if self.footnote:
            sheet.draw_paragraph(area.bottom + BELOW + 20, self.footnote)

    def _foot_height(self, width: float) -> float:
        lines = len(wrap_text(self.footnote, width - 2 * EDGE)) if self.footnote else 0
        return lines * TEXT_LEADING + (8 if lines else 0)

    def _draw_column(self, area: Area, place: int, value: float) -> None:
        if value:
            start, end = area.x(place + (1 - FILLED) / 2), area.x(place + (1 + FILLED) / 2)
            height, ground = area.y(value), area.bottom
            corners = [(start, ground), (start, height), (end, height), (end, ground)]
            area.sheet.draw_shape(corners, fc=BLUE, lw=0)

    def _draw_words(self, area: Area) -> None:
        """Draw labels below; above, every number if each fits over its column, else only the largest."""
        middles = [place + 0.5 for place in range(len(self.values))]
        area.draw_labels_below(list(zip(middles, self.labels, strict=True)), first=(0, len(middles) - 1))
        room = area.x(1.0) - area.x(0.0)
        tallest = self.values.index(max(self.values))
        all_fit = all(measure_text_width(number) <= room for number in self.numbers)
        for place in range(len(self.values)) if all_fit else (tallest,):
            x, y = area.x(middles[place]), area.y(self.values[place]) - 4
            if self.numbers[place]:
                area.sheet.draw_text(x, y, self.numbers[place], align="center")
