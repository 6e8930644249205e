"""The frame of a live chart: its two scales and what can be drawn in it. It is independent of runs."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from markupsafe import Markup

from lora_lab.charts.drawing import PAPER, SOFT, Point, Scale, draw_beside, draw_words
from lora_lab.charts.svg import format_path, render_element
from study.base.html import NO_HTML, join_html
from study.plots.axis import choose_span, choose_ticks, spread_labels

Colour = Literal["ink", "blue", "orange", "green", "purple", "brown"]
Format = Callable[[float], str]

HEIGHT = 260
NARROW_BELOW = 450
TEXT_SIZE, LEADING = 14, 17
TOP, BOTTOM, EDGE = 36, HEIGHT - 44, 6  # above is the axis name, below are tick and axis labels
CHARACTER = 0.62 * TEXT_SIZE  # width of a digit or small letter in the widest of the page's fonts
VALUE_CHARACTERS = 7  # room for a value, `1.25 GB`, so the plot does not move between 9.99 and 10.01
LEFT = EDGE + VALUE_CHARACTERS * CHARACTER + 7
LABEL_SHARE = 0.36  # largest share of the width for the names at the lines' ends
LABEL_GAP = 10  # between a line's end and its name

_ZEROS = re.compile(r"\.0+(?!\d)")
FAINT = 0.16  # opacity of grid lines
COLOURS: dict[Colour, str] = {  # each at least 3 : 1 on white and on the dark page; a page may set its own
    "ink": "currentColor",
    "blue": "var(--series-blue, #0072B2)",
    "orange": "var(--series-orange, #D55E00)",
    "green": "var(--series-green, #009E73)",
    "purple": "var(--series-purple, #AA5A88)",
    "brown": "var(--series-brown, #8C6D31)",
}


@dataclass(frozen=True, kw_only=True)
class EndLabel:
    name: str
    value: str
    at: Point
    colour: Colour
    dot: bool
    """Whether the last point gets a filled mark, because it was measured."""


@dataclass(frozen=True, kw_only=True)
class Frame:
    """The plotting area of a chart `width` units wide, and its scales from values to units."""

    width: int
    x: Scale
    y: Scale
    y_ticks: tuple[tuple[float, str], ...]

    @property
    def narrow(self) -> bool:
        """Whether this is a phone's chart: fewer ticks, and a name above its value."""
        return self.width < NARROW_BELOW

    def render_axes(self, x_label: str, y_label: str) -> Markup:
        """Render grid, tick labels and axis names."""
        parts = [draw_words(EDGE, 16, y_label, soft=True), self._render_rule(BOTTOM, SOFT)]
        for value, label in self.y_ticks:
            parts.append(self._render_rule(self.y(value), FAINT))
            parts.append(draw_words(LEFT - 7, self.y(value) + 5, label, anchor="end", soft=True))
        for value in self._choose_x_ticks():
            label = f"{value:,.6g}"
            parts.append(draw_words(self.x(value), BOTTOM + LEADING, label, anchor="middle", soft=True))
        middle = (LEFT + self.x.end) / 2
        parts.append(draw_words(middle, HEIGHT - 7, x_label, anchor="middle", soft=True))
        return join_html(parts)

    def _render_rule(self, y: float, opacity: float) -> Markup:
        level = format_path([[(LEFT, y), (self.x.end, y)]])
        return render_element("path", d=level, stroke="currentColor", stroke_opacity=opacity)

    def _choose_x_ticks(self) -> tuple[float, ...]:
        """Choose whole numbers if the range has any, because half a step has no meaning."""
        ticks = choose_ticks(self.x.low, self.x.high, about=4 if self.narrow else 7)
        return tuple(tick for tick in ticks if tick == int(tick)) or ticks

    def render_line(
        self, pieces: Sequence[Sequence[Point]], colour: Colour, *, dashed: bool, faint: bool
    ) -> Markup:
        """Render one line with gaps between its pieces."""
        return render_element(
            "path",
            d=format_path([[(self.x(x), self.y(y)) for x, y in piece] for piece in pieces]),
            fill="none",
            style=f"stroke:{COLOURS[colour]}",
            stroke_width=1.2 if faint else 1.6 if dashed else 2.2,
            stroke_opacity=0.75 if faint else None,
            stroke_dasharray="5 4" if dashed else None,
            stroke_linecap=None if dashed else "round",
            stroke_linejoin="round",
        )

    def end_labels(self, labels: Sequence[EndLabel]) -> Markup:
        """Render names and latest values next to the lines' ends, kept apart from each other.

        Lines that end at different places may cross each other's names; then all names go to the right edge.
        """
        apart = len({label.at[0] for label in labels if label.dot}) > 1
        room = BOTTOM - TOP
        rows = 2 if self.narrow and 2 * LEADING * len(labels) <= room else 1
        places = spread_labels(
            [self.y(label.at[1]) for label in labels],
            gap=rows * LEADING,
            low=TOP,
            high=BOTTOM - (rows - 1) * LEADING,
        )
        return join_html(
            self._end_label(label, y, rows=rows, start=self.x.end if apart else self.x(label.at[0]))
            for label, y in zip(labels, places, strict=True)
        )

    def _end_label(self, label: EndLabel, y: float, *, rows: int, start: float) -> Markup:
        x, own_y = self.x(label.at[0]), self.y(label.at[1])
        colour = COLOURS[label.colour]
        parts = []
        if abs(own_y - y) > 3 or start > x:
            leader = format_path([[(x, own_y), (start, own_y), (start + LABEL_GAP - 1, y)]])
            dots = "1 3" if start > x else None
            parts.append(
                render_element("path", d=leader, fill="none", style=f"stroke:{colour}", stroke_dasharray=dots)
            )
        if label.dot:
            look = f"fill:{colour};stroke:{PAPER}"
            parts.append(render_element("circle", cx=x, cy=own_y, r=4.5, style=look, stroke_width=1.5))
        x = start + LABEL_GAP
        room = self.width - EDGE - self.x.end - LABEL_GAP
        if rows == 2:
            parts.append(draw_words(x, y + 5, cut_words(label.name, room), soft=True, halo=True))
            parts.append(draw_words(x, y + 5 + LEADING, label.value, bold=True, halo=True))
        else:
            name = cut_words(label.name, room - (len(label.value) + 1) * CHARACTER)
            parts.append(draw_words(x, y + 5, f"{name} ", then_bold=label.value, halo=True))
        return join_html(parts)

    def render_mark(self, value: float, label: str) -> Markup:
        """Render a moment: a vertical line with its name at the top, on the side that has more room."""
        if not self.x.low <= value <= self.x.high:
            return NO_HTML
        x = self.x(value)
        late = x > (LEFT + self.x.end) / 2
        upright = format_path([[(x, TOP), (x, BOTTOM)]])
        return render_element(
            "path", d=upright, stroke="currentColor", stroke_opacity=0.6, stroke_dasharray="1 3"
        ) + draw_beside(x, TOP + 10, label, gap=6, left=late, soft=True, halo=True)

    def render_waiting(self) -> Markup:
        """Render the text that fills the plot until the first measurement."""
        x, y = (LEFT + self.x.end) / 2, (TOP + BOTTOM) / 2
        return draw_words(x, y, "Waiting for the first step", anchor="middle", soft=True, halo=True)


def build_live_frame(
    names: Sequence[str],
    values: Sequence[float],
    *,
    x_span: Point,
    y_format: Format,
    from_zero: bool,
    width: int,
) -> Frame:
    """Build a frame that fits all `values`, with room at the right for the lines' names and values."""
    rows_share_a_line = 0 if width < NARROW_BELOW else VALUE_CHARACTERS + 1
    longest = max((max(len(name) + rows_share_a_line, VALUE_CHARACTERS) for name in names), default=0)
    room = min(longest * CHARACTER + LABEL_GAP, LABEL_SHARE * width) if names else 0
    known = [*values, 0.0] if from_zero else values
    empty: tuple[Point, tuple[tuple[float, str], ...]] = ((0.0, 1.0), ())
    y_span, y_ticks = _choose_y_ticks(min(known), max(known), y_format) if values else empty
    x = Scale(low=x_span[0], high=x_span[1], start=LEFT, end=width - EDGE - room)
    y = Scale(low=y_span[0], high=y_span[1], start=BOTTOM, end=TOP)
    return Frame(width=width, x=x, y=y, y_ticks=y_ticks)


def _choose_y_ticks(low: float, high: float, y_format: Format) -> tuple[Point, tuple[tuple[float, str], ...]]:
    """Return range and labelled ticks; fewer ticks when a label would be rounded, or two would be equal."""
    choices = []
    for about, finer in ((4, 0), (3, 0), (3, 1), (2, 0), (2, 1), (1, 0)):
        span = choose_span(low, high, about=about)
        ticks = _without_zeros(
            [(value, y_format(value)) for value in choose_ticks(*span, about=about + finer)]
        )
        choices.append((span, ticks))
    apart = [one for one in choices if len({label for _, label in one[1]}) == len(one[1])]
    exact = [one for one in apart if all(_is_exact(*tick) for tick in one[1])]
    if exact:
        return exact[0] if exact[0] is choices[0] else max(exact, key=lambda one: len(one[1]))
    return apart[0] if apart else (span, ticks[:1])


def _without_zeros(ticks: Sequence[tuple[float, str]]) -> tuple[tuple[float, str], ...]:
    """Return `30 MB` for `30.0 MB` where no label of the axis needs a decimal."""
    if any("." in _ZEROS.sub("", label) for _, label in ticks):
        return tuple(ticks)
    return tuple((value, _ZEROS.sub("", label)) for value, label in ticks)


def _is_exact(value: float, label: str) -> bool:
    """Return whether a label says the value itself; one with a unit is taken to."""
    try:
        return math.isclose(float(label.replace(",", "")), value, rel_tol=1e-9, abs_tol=1e-12)
    except ValueError:
        return True


def cut_words(words: str, room: float) -> str:
    """Return as much of `words` as fits in `room` units, with an ellipsis for the rest."""
    letters = max(1, int(room / CHARACTER + 1e-6))
    return words if len(words) <= letters else f"{words[: letters - 1].rstrip()}…"
