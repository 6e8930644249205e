"""Measured points with their confidence intervals, and computed curves, on two linear scales."""

from collections.abc import Iterator
from dataclasses import dataclass

from study.base.confidence_intervals import Share, format_percent
from study.plots.area import Area, Span
from study.plots.axis import choose_ticks
from study.plots.sheet import EDGE, INK, TEXT_LEADING, TEXT_SIZE, Sheet, measure_text_width, wrap_text

BLUE, ORANGE = "#0072B2", "#D55E00"
BODY = 220.0
ABOVE = TEXT_LEADING + 8
BELOW = TEXT_LEADING + 18
KEY_GAP = 18.0
DASHES = (0, (5, 3))
CAP = 3.5  # half width of an error bar's cap, in points


@dataclass(frozen=True, kw_only=True)
class PlotPoint:
    """One measured value; `low` and `high` bound its 95 % confidence interval."""

    x: float
    y: float
    low: float
    high: float


def place_point(x: float, share: Share) -> PlotPoint:
    low, high = share.interval
    return PlotPoint(x=x, y=share.value, low=low, high=high)


@dataclass(frozen=True, kw_only=True)
class Curve:
    """A computed line; a target is a level one."""

    xs: tuple[float, ...]
    ys: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Points:
    """Points and curves; filled and joined means measured, dashed means computed."""

    points: tuple[PlotPoint, ...]
    measured: str
    """The points' text in the legend."""

    curves: tuple[Curve, ...]
    computed: str
    """The dashed lines' text in the legend; empty without any."""

    x_label: str
    y_label: str
    x_ticks: tuple[tuple[float, str], ...]
    """Values and their labels."""

    percent: bool = True
    joined: bool = False

    def compute_body_height(self, width: float) -> float:
        return ABOVE + BODY + BELOW + KEY_GAP + len(self._list_key_lines(width)) * TEXT_LEADING + EDGE

    def draw(self, sheet: Sheet, top: float) -> None:
        upwards = self._choose_vertical_span()
        ticks = choose_ticks(*upwards, about=4)
        levels = {tick: format_percent(tick) if self.percent else f"{tick:g}" for tick in ticks}
        left = EDGE + max(measure_text_width(label) for label in levels.values()) + 8
        box = (left, top + ABOVE, sheet.width - EDGE - 8, top + ABOVE + BODY)
        area = Area(sheet, box, across=self._choose_horizontal_span(), upwards=upwards)
        sheet.draw_text(EDGE, top + TEXT_SIZE + 2, self.y_label, soft=True)
        area.draw_levels(levels)
        for curve in self.curves:
            area.draw_line(curve.xs, curve.ys, color=ORANGE, lw=2.0, ls=DASHES)
        if self.joined:
            area.draw_line([p.x for p in self.points], [p.y for p in self.points], color=BLUE, lw=1.4)
        for point in self.points:
            self._draw_point(area, point)
        self._draw_x_words(area)
        self._draw_key(sheet, area.bottom + BELOW + KEY_GAP + 6)

    def _list_values(self) -> Iterator[float]:
        for point in self.points:
            yield from (point.low, point.high)
        for curve in self.curves:
            yield from curve.ys

    def _choose_vertical_span(self) -> Span:
        low, high = min(self._list_values()), max(self._list_values())
        room = (high - low) * 0.08 or 0.05
        bottom, top = low - room, high + room
        return (max(bottom, 0.0), min(top, 1.0) if self.percent else top)

    def _choose_horizontal_span(self) -> Span:
        xs = [point.x for point in self.points] + [x for curve in self.curves for x in curve.xs]
        low, high = min(xs), max(xs)
        room = (high - low) * 0.04 or 0.5
        return low - room, high + room

    def _draw_point(self, area: Area, point: PlotPoint) -> None:
        x, low, high = area.x(point.x), area.y(point.low), area.y(point.high)
        area.sheet.draw_line([x, x], [low, high], color=BLUE, lw=1.2)
        for end in (low, high):
            area.sheet.draw_line([x - CAP, x + CAP], [end, end], color=BLUE, lw=1.2)
        area.draw_dot(point.x, point.y, colour=BLUE, size=7.0)

    def _draw_x_words(self, area: Area) -> None:
        area.draw_labels_below(self.x_ticks, first=(len(self.x_ticks) - 1, 0))
        middle = (area.left + area.right) / 2
        area.sheet.draw_text(middle, area.bottom + BELOW, self.x_label, align="center", soft=True)

    def _list_key_lines(self, width: float) -> list[tuple[str, bool]]:
        """List the lines of the legend, and whether each belongs to the measured points."""
        entries = [(self.measured, True)] if self.points else []
        entries += [(self.computed, False)] if self.curves else []
        return [
            (line if number == 0 else f" {line}", measured)
            for words, measured in entries
            for number, line in enumerate(wrap_text(words, width - 2 * EDGE - 26))
        ]

    def _draw_key(self, sheet: Sheet, y: float) -> None:
        for line, measured in self._list_key_lines(sheet.width):
            if not line.startswith(" "):
                if measured:
                    sheet.draw_line([EDGE + 8], [y - 4], color=BLUE, marker="o", ms=7)
                else:
                    sheet.draw_line([EDGE, EDGE + 18], [y - 4, y - 4], color=ORANGE, lw=2.0, ls=DASHES)
            sheet.draw_text(EDGE + 26, y, line.strip(), colour=INK)
            y += TEXT_LEADING
