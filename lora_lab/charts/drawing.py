"""Small drawings as SVG: boxes, hatched weights, and charts with linear or logarithmic scales.

A drawing is 400 units wide, so on a phone a unit is about a pixel and text stays readable. Colours are
classes of `study/static/figures.css`, so one drawing serves light and dark pages.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from markupsafe import Markup, escape

from lora_lab.charts.svg import format_number, format_path, render_element
from study.base.html import NO_HTML, join_html
from study.base.units import write_minus
from study.plots.axis import choose_span, choose_ticks

WIDTH = 400.0
TEXT_SIZE = 13
LEADING = 16.0
SOFT = 0.78  # opacity of secondary text, which keeps 4.5 : 1 on white and on the dark page
PAPER = "var(--sheet, Canvas)"
HATCH_GAP = 8

Point = tuple[float, float]
Anchor = Literal["start", "middle", "end"]


def render_drawing(height: float, *parts: Markup) -> Markup:
    """Render the whole picture. Its host page names it, so it is hidden from screen readers here."""
    return render_element(
            "svg", *parts,
            xmlns="http://www.w3.org/2000/svg", viewBox=f"0 0 {format_number(WIDTH)} {format_number(height)}",
            font_size=TEXT_SIZE, aria_hidden="true", focusable="false",
        )  # fmt: skip


def draw_box(x: float, y: float, width: float, height: float, look: str) -> Markup:
    """Render a rectangle; `look` is its CSS classes."""
    return render_element("rect", x=x, y=y, width=max(0.0, width), height=max(0.0, height), class_=look)


def draw_hatched(x: float, y: float, width: float, height: float) -> Markup:
    """Render frozen weights: a slate box with hatching."""
    pieces = []
    for offset in range(HATCH_GAP, int(width + height), HATCH_GAP):
        left, right = max(0.0, offset - height), min(width, float(offset))
        pieces.append([(x + left, y + offset - left), (x + right, y + offset - right)])
    hatch = render_element("path", d=format_path(pieces), class_="hatch") if pieces else ""
    return draw_box(x, y, width, height, "w") + hatch


def draw_line(points: Sequence[Point], look: str = "line ink") -> Markup:
    return render_element("path", d=format_path([points]), class_=look)


def draw_dots(points: Iterable[Point], look: str, *, radius: float = 4) -> Markup:
    return join_html(render_element("circle", cx=x, cy=y, r=radius, class_=look) for x, y in points)


def draw_diamond(x: float, y: float) -> Markup:
    """Render the mark of a published number."""
    corners = format_path([[(x - 7, y), (x, y - 7), (x + 7, y), (x, y + 7), (x - 7, y)]])
    return render_element("path", d=corners, class_="published")


def draw_words(
    x: float,
    y: float,
    text: str,
    *,
    anchor: Anchor = "start",
    soft: bool = False,
    bold: bool = False,
    halo: bool = False,
    then_bold: str = "",
) -> Markup:
    """Render one line of text, its baseline at `y`; a halo keeps it readable across lines."""
    return render_element(
        "text",
        escape(text),
        render_element("tspan", escape(then_bold), font_weight="600") if then_bold else NO_HTML,
        x=x,
        y=y,
        fill="currentColor",
        fill_opacity=SOFT if soft else None,
        font_weight="600" if bold else None,
        text_anchor=None if anchor == "start" else anchor,
        style=f"stroke:{PAPER};paint-order:stroke" if halo else None,
        stroke_width=4 if halo else None,
        stroke_linejoin="round" if halo else None,
    )


def draw_beside(x: float, y: float, text: str, *, gap: float, left: bool, **look: Any) -> Markup:
    """Render one line of text `gap` units left or right of `x`; `look` is as in `draw_words`."""
    return draw_words(x - gap if left else x + gap, y, text, anchor="end" if left else "start", **look)


@dataclass(frozen=True, kw_only=True)
class Scale:
    """A linear or logarithmic map from a value to a coordinate on the page."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high, at = self.low, self.high, value
        if self.log:
            low, high, at = math.log(low), math.log(high), math.log(value)
        return self.start + (at - low) / (high - low) * (self.end - self.start)

    def clip(self, value: float) -> float:
        """Clip the coordinate of `value` to the scale."""
        return self(min(max(value, self.low), self.high))

    def list_ticks(self, about: int = 5) -> tuple[float, ...]:
        """List round values; on a logarithmic scale the powers of ten."""
        if not self.log:
            return choose_ticks(self.low, self.high, about=about)
        powers = range(math.ceil(math.log10(self.low) - 1e-9), math.floor(math.log10(self.high) + 1e-9) + 1)
        return tuple(10.0**power for power in powers)


def format_plain(value: float) -> str:
    """Format a tick in as few characters as possible, with the minus sign that texts have."""
    return write_minus(f"{value:,.6g}")


@dataclass(frozen=True, kw_only=True)
class ChartFrame:
    x: Scale
    y: Scale
    x_label: str
    y_label: str
    x_ticks: Sequence[tuple[float, str]] = ()
    y_format: Callable[[float], str] = format_plain

    def render_axes(self) -> Markup:
        """Render grid, tick labels and axis names."""
        left, right, bottom, top = self.x.start, self.x.end, self.y.start, self.y.end
        parts = [draw_words(4, top - 10, self.y_label, soft=True)]
        for value in self.y.list_ticks(4):
            at = self.y(value)
            parts.append(draw_line([(left, at), (right, at)], "rule"))
            parts.append(draw_words(left - 6, at + 4, self.y_format(value), anchor="end", soft=True))
        parts.append(draw_line([(left, bottom), (right, bottom)], "axis"))
        for value, label in self.x_ticks or [(tick, format_plain(tick)) for tick in self.x.list_ticks()]:
            parts.append(draw_words(self.x(value), bottom + LEADING, label, anchor="middle", soft=True))
        parts.append(
            draw_words((left + right) / 2, bottom + 2 * LEADING + 2, self.x_label, anchor="middle", soft=True)
        )
        return join_html(parts)

    def map_points(self, points: Iterable[Point]) -> list[Point]:
        """Map values to coordinates."""
        return [(self.x(x), self.y(y)) for x, y in points]


def build_chart(
    *,
    x_span: Point,
    y_span: Point,
    x_label: str,
    y_label: str,
    height: float = 250,
    left: float = 56,
    right: float = 12,
    x_log: bool = False,
    y_log: bool = False,
    x_ticks: Sequence[tuple[float, str]] = (),
    y_format: Callable[[float], str] = format_plain,
) -> ChartFrame:
    """Build a chart as wide as the drawing and `height` units high with its labels."""
    low, high = y_span if y_log else choose_span(*y_span, about=4)
    return ChartFrame(
        x=Scale(low=x_span[0], high=x_span[1], start=left, end=WIDTH - right, log=x_log),
        y=Scale(low=low, high=high, start=height - 40, end=30, log=y_log),
        x_label=x_label,
        y_label=y_label,
        x_ticks=x_ticks,
        y_format=y_format,
    )
