"""Drawings of the quantization microscope: histograms with levels, error maps, errors, bars and losses."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any, Literal, cast

from markupsafe import Markup

from lora_lab.charts.drawing import (
    WIDTH,
    Scale,
    build_chart,
    draw_box,
    draw_dots,
    draw_line,
    draw_words,
    format_plain,
    render_drawing,
)
from lora_lab.charts.svg import format_path, render_element
from lora_lab.memory.ledger import bits_per_param
from lora_lab.microscope.query import SIDES, MicroscopeQuestion, Side
from lora_lab.spec import HQQ_BITS, Bits
from study.base.html import format_html, join_html

FEW_LEVELS = 32
"""A scheme with more levels than this is drawn as a comb under the histogram, not through it."""

STEPS = 7
"""The number of colours of an error map."""

ROW = 26.0


def render_pair(left: Markup, right: Markup) -> Markup:
    """Render two drawings side by side, or stacked on a narrow page."""
    return format_html('<div class="pair"><div>{}</div><div>{}</div></div>', left, right)


def render_histogram(name: str, found: Mapping[str, Any], *, in_codes: bool) -> Markup:
    """Render weights scaled by their block's constant, and the scheme's levels over them."""
    counts, levels = found["histogram"]["counts"], found["levels"]
    x = Scale(low=found["histogram"]["low"], high=found["histogram"]["high"], start=8, end=392)
    top, bottom, most = 34.0, 180.0, max(counts)
    width = (x.end - x.start) / len(counts)
    bars = join_html(
        draw_box(x.start + at * width, bottom - (bottom - top) * count / most, width - 0.6,
            (bottom - top) * count / most, "w")
        for at, count in enumerate(counts)
    )  # fmt: skip
    few = len(levels) <= FEW_LEVELS
    ends = (top, bottom) if few else (bottom + 3, bottom + 12)
    marks = join_html(draw_line([(x(level), y) for y in ends], "line good thin") for level in levels)
    ticks = (levels[0], (levels[0] + levels[-1]) / 2, levels[-1])
    labels = join_html(
        draw_words(x(at), bottom + 28, format_plain(at), anchor="middle", soft=True) for at in ticks
    )
    below = "weight in codes of its block" if in_codes else "weight / largest of its block"
    return render_drawing(
        bottom + 52,
        draw_words(x.start, 18, name if few else f"{name}: {len(levels)} levels", bold=True),
        bars,
        marks,
        draw_line([(x.start, bottom), (x.end, bottom)], "axis"),
        labels,
        draw_words((x.start + x.end) / 2, bottom + 46, below, anchor="middle", soft=True),
    )


def draw_error_map(name: str, cells: Sequence[Sequence[float]], most: float, d_out: int, d_in: int) -> Markup:
    """Render |W - decoded| over rows and columns, in equal steps from 0 to `most`; adjacent cells of one
    colour are one rectangle.
    """
    left, top, across = 62.0, 34.0, 326.0
    down = min(380.0, max(120.0, across * d_out / d_in))
    width, height = across / len(cells[0]), down / len(cells)
    paths = [""] * STEPS
    for row, values in enumerate(cells):
        at = 0
        for step, run in groupby(_choose_heat_step(value, most) for value in values):
            length = len(list(run))
            x, y = left + at * width, top + row * height
            paths[step] += f"M{x:.2f} {y:.2f}h{length * width:.2f}v{height:.2f}h{-length * width:.2f}z"
            at += length
    filled = join_html(
        render_element("path", d=path, class_=f"h{step}") for step, path in enumerate(paths) if path
    )
    bottom = top + down
    return render_drawing(
        bottom + 44,
        draw_words(left, 18, name, bold=True),
        filled,
        draw_box(left, top, across, down, "outline"),
        draw_words(left - 6, top + 11, "row 0", anchor="end", soft=True),
        draw_words(left - 6, bottom - 2, f"{d_out - 1:,}", anchor="end", soft=True),
        draw_words(left, bottom + 17, "column 0", soft=True),
        draw_words(left + across, bottom + 17, f"{d_in - 1:,}", anchor="end", soft=True),
        draw_words(
            left + across / 2, bottom + 36, "columns: what enters the layer", anchor="middle", soft=True
        ),
    )


def _choose_heat_step(value: float, most: float) -> int:
    return min(STEPS - 1, int(STEPS * value / most)) if most else 0


def draw_heat_legend(most: float) -> Markup:
    """Render the colours and the limits of their steps, in percent of a standard deviation."""
    width = (WIDTH - 40) / STEPS
    boxes = join_html(
        draw_box(20 + step * width, 24, width, 16, f"h{step} outlined") for step in range(STEPS)
    )
    marks = join_html(
        draw_words(20 + step * width, 56, f"{100 * most * step / STEPS:.3g}", anchor="middle", soft=True)
        for step in range(STEPS + 1)
    )
    title = "mean |W − decoded| in a cell, % of a standard deviation"
    return render_drawing(62, draw_words(20, 15, title, soft=True), boxes, marks)


MarkShape = Literal["circle", "square", "diamond", "triangle", "wedge"]


@dataclass(frozen=True, kw_only=True)
class SchemeFamily:
    """The look of a family of schemes; colour and shape each tell it apart."""

    name: str
    look: str
    shape: MarkShape
    schemes: tuple[str, ...]


FAMILIES = (
    SchemeFamily(
        name="HQQ, its bits at the line's end", look="good", shape="triangle", schemes=tuple(HQQ_BITS)
    ),
    SchemeFamily(name="int8", look="w", shape="wedge", schemes=("int8",)),
    SchemeFamily(name="FP4", look="b", shape="square", schemes=("fp4",)),
    SchemeFamily(name="NF4 + double quantization", look="ink", shape="diamond", schemes=("nf4-dq",)),
    SchemeFamily(name="NF4", look="a", shape="circle", schemes=("nf4",)),
)
"""In the order in which they are drawn: near 4 bits, the thin lines of NF4 stay on top."""

KEY_ROW = 22.0


def render_errors(
    question: MicroscopeQuestion, sweep: Mapping[str, Mapping[str, float]], d_in: int
) -> Markup:
    """Render error against stored bits: one line per scheme, one point per block size, chosen ones ringed."""
    points = {bits: _list_points(bits, by_size) for bits, by_size in sweep.items() if by_size}
    every = [point for each in points.values() for point in each.values()]
    lowest, highest = min(y for _, y in every), max(y for _, y in every)
    frame = build_chart(
        x_span=(1, 10.2), y_span=(lowest * 0.7, highest * 1.6), y_log=True, height=300, left=50, right=10,
        x_label="stored bits per weight", y_label="relative error, % (each line is ten times the one below)",
        x_ticks=[(bits, str(bits)) for bits in range(1, 11)], y_format=lambda value: f"{value:g}",
    )  # fmt: skip
    drawn, keys, y = [frame.render_axes()], list[Markup](), 318.0
    for family in FAMILIES:
        lines = [frame.map_points(points[bits].values()) for bits in family.schemes if bits in points]
        drawn += [draw_line(line, f"line {family.look} thin") for line in lines]
        drawn += [_draw_mark(place, family) for line in lines for place in line]
        if lines:
            keys += [_draw_mark((58, y), family), draw_words(72, y + 4, family.name)]
            y += KEY_ROW
    for bits, number in HQQ_BITS.items():
        if bits in points:
            x, y_end = frame.map_points([max(points[bits].values())])[0]
            drawn.append(draw_words(x + 7, y_end + 5, str(number), soft=True))
    for side in SIDES:
        scheme = question.side(side)
        size = str(scheme.block if scheme.bits != "int8" else d_in)
        if size in points.get(scheme.bits, {}):
            drawn.append(_draw_ring(*frame.map_points([points[scheme.bits][size]]), side=side))
        keys += [_draw_ring((58, y), side=side), draw_words(72, y + 4, scheme.name, bold=True)]
        y += KEY_ROW
    return render_drawing(y, *drawn, *keys)


MARK_CORNERS: dict[MarkShape, tuple[tuple[float, float], ...]] = {
    "square": ((-1, -1), (1, -1), (1, 1), (-1, 1)),
    "diamond": ((0, -1.4), (1.4, 0), (0, 1.4), (-1.4, 0)),
    "triangle": ((0, -1.3), (1.25, 0.9), (-1.25, 0.9)),
    "wedge": ((0, 1.3), (1.25, -0.9), (-1.25, -0.9)),
}
MARK_SIZE = 3.4


def _draw_mark(place: tuple[float, float], family: SchemeFamily) -> Markup:
    x, y = place
    if family.shape == "circle":
        return draw_dots([place], family.look, radius=MARK_SIZE)
    corners = [(x + MARK_SIZE * across, y + MARK_SIZE * down) for across, down in MARK_CORNERS[family.shape]]
    return render_element("path", d=format_path([[*corners, corners[0]]]), class_=family.look)


def _draw_ring(place: tuple[float, float], *, side: Side) -> Markup:
    """Render the ring around a chosen scheme: whole around the first, dashed around the second."""
    dashes = "3 2.5" if side == "second" else None
    return render_element("circle", cx=place[0], cy=place[1], r=8, class_="line ink", stroke_dasharray=dashes)


def _list_points(bits: str, by_size: Mapping[str, float]) -> dict[str, tuple[float, float]]:
    """Return stored bits and error in percent by block size; a scheme without blocks has one point."""
    return {size: (draw_stored_bits(bits, size), 100 * error) for size, error in by_size.items()}


def draw_stored_bits(bits: str, size: str) -> float:
    """Compute bits per weight of a scheme; `size` is the block size as text, as in the results."""
    return bits_per_param(cast(Bits, bits), block_size=int(size))


@dataclass(frozen=True, kw_only=True)
class LabelledBar:
    """One bar with its value as text next to it."""

    label: str
    value: float
    words: str
    look: str = "w"


def render_bars(groups: Sequence[tuple[str, Sequence[LabelledBar]]], *, most: float | None = None) -> Markup:
    """Render horizontal bars in groups, all on one scale from zero."""
    largest = most or max((bar.value for _, each in groups for bar in each), default=1) or 1
    start, across = 150.0, 165.0
    drawn, y = [], 0.0
    for title, each in groups:
        y += 18
        drawn.append(draw_words(4, y, title, bold=True))
        for bar in each:
            length = across * bar.value / largest
            drawn.append(draw_words(12, y + 21, bar.label, soft=True))
            drawn.append(draw_box(start, y + 9, length, 15, bar.look))
            drawn.append(draw_words(start + length + 6, y + 21, bar.words))
            y += ROW
        y += 10
    return render_drawing(y, *drawn)


def render_losses(rows: Sequence[tuple[str, float]], base: float) -> Markup:
    """Render a dot per measured loss, with the unchanged model as a vertical line in each row."""
    values = [value for _, value in rows]
    low, high = min(*values, base), max(*values, base)
    margin = max(high - low, 0.01) * 0.12
    x = Scale(low=low - margin, high=high + margin, start=20, end=326)
    drawn, y = [], 4.0
    for label, value in rows:
        drawn.append(draw_words(4, y + 12, label, soft=True))
        drawn.append(draw_line([(x.start, y + 27), (x.end, y + 27)], "rule"))
        drawn.append(draw_line([(x(base), y + 19), (x(base), y + 35)], "axis"))
        drawn.append(draw_line([(x(base), y + 27), (x(value), y + 27)], "line w"))
        drawn.append(draw_dots([(x(value), y + 27)], "good", radius=5))
        drawn.append(draw_words(x.end + 8, y + 31, f"{value:.4f}"))
        y += 44
    foot = [
        draw_words(x(tick), y + 20, format_plain(tick), anchor="middle", soft=True)
        for tick in x.list_ticks(4)
    ]
    name = draw_words((x.start + x.end) / 2, y + 38, "held-out loss; the upright line is the model as it is",
                 anchor="middle", soft=True)  # fmt: skip
    return render_drawing(y + 46, *drawn, *foot, name)
