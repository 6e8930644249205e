"""Scores as a paper printed them: grey diamonds, because the lab neither computed nor measured them."""

from dataclasses import dataclass
from itertools import cycle
from typing import Any

from lora_lab.papers.tables import PlottedPart, PublishedTable
from study.plots.area import Area
from study.plots.axis import choose_span, choose_ticks, spread_labels
from study.plots.plot import Cell, Plot
from study.plots.sheet import (
    EDGE,
    FAINT,
    INK,
    NARROW_BELOW_POINTS,
    PAPER,
    SOFT,
    TEXT_LEADING,
    TEXT_SIZE,
    Sheet,
    choose_fitting,
    measure_text_width,
)

GREY = "#7A7A7A"  # published, as in UX.md
LOOKS: tuple[tuple[Any, str], ...] = (("-", GREY), ((0, (4, 3)), PAPER), ((0, (1, 2)), "#C4C4C4"))
"""Dashes of the line and filling of the diamonds, for each series."""

MEAN = "mean"
"""The column that doesn't continue the others, so no line leads to it."""

BODY_WIDE, BODY_NARROW = 230.0, 250.0
BELOW = 26.0


def plot_published(table: PublishedTable) -> Plot:
    """Plot the drawn part of a table; the table must have one."""
    drawn = table.drawn
    assert drawn is not None
    return Plot(
        name=f"published-{table.id}",
        title=drawn.finding,
        subtitle=f"Published, not measured here: {table.source}",
        header=("", *(name or drawn.y_label for name, _ in drawn.series)),
        rows=tuple(
            (place, *(_format_cell(values[i]) for _, values in drawn.series))
            for i, place in enumerate(drawn.across)
        ),
        alt=f"Published numbers, {drawn.y_label}. {_describe(drawn)}",
        drawing=Diamonds(drawn=drawn),
    )


def _format_cell(value: float | None) -> Cell:
    return "" if value is None else value


def _describe(drawn: PlottedPart) -> str:
    lines = []
    for name, values in drawn.series:
        points = (f"{p} {v:g}" for p, v in zip(drawn.across, values, strict=True) if v is not None)
        lines.append(f"{name}: {', '.join(points)}" if name else ", ".join(points))
    return "; ".join(lines) + "."


@dataclass(frozen=True, kw_only=True)
class Diamonds:
    """One grey line of diamonds per series, named at its end; a single series has no line."""

    drawn: PlottedPart

    def compute_body_height(self, width: float) -> float:
        return BODY_WIDE if width >= NARROW_BELOW_POINTS else BODY_NARROW

    def draw(self, sheet: Sheet, top: float) -> None:
        drawn = self.drawn
        values = [v for _, line in drawn.series for v in line if v is not None]
        low, high = choose_span(min(values), max(values), about=4)
        ticks = choose_ticks(low, high, about=4)
        left = EDGE + max(measure_text_width(f"{tick:g}") for tick in ticks) + 8
        names = max(measure_text_width(name) for name, _ in drawn.series)
        right, bottom = sheet.width - EDGE - (names + 14 if names else 4), sheet.height - BELOW
        upper = top + TEXT_LEADING + 10
        across = (-0.5, len(drawn.across) - 0.5)
        area = Area(sheet, (left, upper, right, bottom), across=across, upwards=(low, high))
        sheet.draw_text(EDGE, top + TEXT_SIZE + 2, drawn.y_label, soft=True)
        for tick in ticks:
            y = area.y(tick)
            sheet.draw_line([left, right], [y, y], color=INK, alpha=FAINT, lw=0.8)
            sheet.draw_text(left - 6, y + 4, f"{tick:g}", align="right", soft=True)
        places = [area.x(i) for i in range(len(drawn.across))]
        for i in choose_fitting(places, [measure_text_width(name) for name in drawn.across], first=(0,)):
            sheet.draw_text(places[i], bottom + 18, drawn.across[i], align="center", soft=True)
        for (dashes, fill), (_, line) in zip(cycle(LOOKS), drawn.series):
            points = [(i, v) for i, v in enumerate(line) if v is not None]
            joined = [(i, v) for i, v in points if drawn.across[i] != MEAN] if names else []
            if joined:
                area.draw_line(*zip(*joined, strict=True), color=GREY, lw=1.2, ls=dashes)
            area.draw_line(*zip(*points, strict=True), color=GREY, ls="none", marker="D", ms=6, mfc=fill)
        ends = [area.y([v for v in line if v is not None][-1]) for _, line in drawn.series]
        placed = spread_labels(ends, gap=TEXT_LEADING, low=upper, high=bottom)
        for (name, _), end, y in zip(drawn.series, ends, placed, strict=True):
            if name:
                sheet.draw_line([places[-1] + 7, right + 5], [end, y], color=INK, alpha=SOFT, lw=0.6)
            sheet.draw_text(right + 8, y + 4, name, soft=True)
