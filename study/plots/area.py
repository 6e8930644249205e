"""A plot area with two linear scales, drawn on a sheet in points."""

from collections.abc import Sequence
from typing import Any

from study.plots.sheet import EDGE, FAINT, INK, PAPER, TEXT_LEADING, Sheet, choose_fitting, measure_text_width

Span = tuple[float, float]


class Area:
    """A plot area. `box` is left, top, right, bottom in points; the spans are the data at its edges."""

    def __init__(
        self, sheet: Sheet, box: tuple[float, float, float, float], *, across: Span, upwards: Span
    ) -> None:
        self.sheet, self.across, self.upwards = sheet, across, upwards
        self.left, self.top, self.right, self.bottom = box

    def x(self, value: float) -> float:
        """Map a data value to points from the sheet's left edge."""
        low, high = self.across
        return self.left + (value - low) / (high - low) * (self.right - self.left)

    def y(self, value: float) -> float:
        """Map a data value to points from the sheet's top edge."""
        low, high = self.upwards
        return self.bottom - (value - low) / (high - low) * (self.bottom - self.top)

    def draw_levels(self, labels: dict[float, str]) -> None:
        """Draw a grid line with its label for each value, and the base line."""
        for value, label in labels.items():
            y = self.y(value)
            self.sheet.draw_text(self.left - 6, y + 4, label, align="right", soft=True)
            self.sheet.draw_line([self.left, self.right], [y, y], color=INK, alpha=FAINT, lw=0.8)
        self.sheet.draw_line([self.left, self.right], [self.bottom, self.bottom], color=INK, lw=1.0)

    def draw_labels_below(self, labels: Sequence[tuple[float, str]], *, first: Sequence[int]) -> None:
        """Draw labels below the base line, as many as fit side by side, none beyond the sheet's edge."""
        widths = [measure_text_width(label) for _, label in labels]
        places = [
            min(self.x(value), self.sheet.width - EDGE - width / 2)
            for (value, _), width in zip(labels, widths, strict=True)
        ]
        for index in choose_fitting(places, widths, first=first):
            y = self.bottom + TEXT_LEADING
            self.sheet.draw_text(places[index], y, labels[index][1], align="center", soft=True)

    def draw_line(self, xs: Sequence[float], ys: Sequence[float], **style: Any) -> None:
        self.sheet.draw_line([self.x(x) for x in xs], [self.y(y) for y in ys], **style)

    def draw_dot(self, x: float, y: float, *, colour: str, size: float, **style: Any) -> None:
        """Draw a filled mark, because it was measured, with a halo that separates it from what is below."""
        look = {"marker": "o", "ms": size, "mfc": colour, "mec": PAPER, "mew": 1.2, "zorder": 6} | style
        self.sheet.draw_line([self.x(x)], [self.y(y)], **look)

    def draw_band(
        self, xs: Sequence[float], lows: Sequence[float], highs: Sequence[float], **look: Any
    ) -> None:
        """Draw the area between two lines."""
        edge = [*zip(xs, lows, strict=True), *reversed(list(zip(xs, highs, strict=True)))]
        self.sheet.draw_shape([(self.x(x), self.y(y)) for x, y in edge], **look)
