"""Straight lines on log-log axes: a count for each rank, the chosen rank marked."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from study.plots.area import Area
from study.plots.axis import spread_labels
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

BLUE = "#0072B2"  # the adapters' colour (UX.md), here for the line of the chosen matrices
DASHES = (0, (4, 3))
BODY_WIDE, BODY_NARROW, BODY_BENCH = 262.0, 270.0, 262.0
ANSWER_SIZE = TEXT_SIZE + 2
BELOW = 40.0  # tick labels and axis label
DECADES = ("1", "10", "100", "1k", "10k", "100k", "1M", "10M", "100M", "1B", "10B", "100B", "1T")


@dataclass(frozen=True, kw_only=True)
class TargetLine:
    """The line of one set of target matrices."""

    label: str
    counts: tuple[int, ...]
    """One per rank of the picture."""

    chosen: bool


@dataclass(frozen=True, kw_only=True)
class RankLines:
    """Counts by rank on log-log axes, where "twice the rank, twice the count" is a straight line."""

    ranks: tuple[int, ...]
    lines: tuple[TargetLine, ...]
    rank: int
    answer: tuple[str, str]
    """The text of the mark, in two short lines."""

    y_label: str
    beside_form: bool = False
    """Whether it is drawn beside the form, where it is shorter."""

    def compute_body_height(self, width: float) -> float:
        if self.beside_form:
            return BODY_BENCH
        return BODY_WIDE if width >= NARROW_BELOW_POINTS else BODY_NARROW

    def draw(self, sheet: Sheet, top: float) -> None:
        decades = self._list_decades()
        left = EDGE + max(measure_text_width(DECADES[power]) for power in decades) + 8
        labels_width = max(measure_text_width(line.label, bold=line.chosen) for line in self.lines)
        right = sheet.width - EDGE - labels_width - 8
        bottom = sheet.height - BELOW
        across = (math.log2(self.ranks[0]), math.log2(self.ranks[-1]))
        box = (left, top + TEXT_LEADING + 8, right, bottom)
        plot = _LogLog(sheet, box, across=across, upwards=self._compute_limits())
        sheet.draw_text(EDGE, top + TEXT_SIZE + 2, self.y_label, soft=True)
        plot.draw_scales(decades, self.ranks, self.rank)
        for line in sorted(self.lines, key=lambda line: line.chosen):
            plot.draw_counts(self.ranks, line)
        count = next(line for line in self.lines if line.chosen).counts[self.ranks.index(self.rank)]
        plot.draw_mark(self.rank, count, keep_off=plot.draw_answer(self.answer))
        plot.end_labels(self.lines)

    def _compute_limits(self) -> tuple[float, float]:
        counts = [count for line in self.lines for count in line.counts]
        return math.log10(min(counts)) - 0.15, math.log10(max(counts)) + 0.15

    def _list_decades(self) -> list[int]:
        low, high = self._compute_limits()
        return list(range(math.ceil(low), math.floor(high) + 1))


class _LogLog(Area):
    """The plotting area, in powers of two across and powers of ten upwards."""

    def x(self, rank: float) -> float:
        """Return points from the left edge of the sheet."""
        return super().x(math.log2(rank))

    def y(self, count: float) -> float:
        """Return points from the top edge of the sheet."""
        return super().y(math.log10(count))

    def draw_scales(self, decades: Sequence[int], ranks: Sequence[int], chosen: int) -> None:
        """Draw grid, tick labels and the name of the horizontal axis; the vertical one is named above."""
        for power in decades:
            y = self.y(10.0**power)
            self.sheet.draw_line([self.left, self.right], [y, y], color=INK, alpha=FAINT, lw=0.8)
            self.sheet.draw_text(self.left - 6, y + 4, DECADES[power], align="right", soft=True)
        positions = [self.x(rank) for rank in ranks]
        widths = [measure_text_width(str(rank), bold=True) for rank in ranks]
        for index in choose_fitting(positions, widths, first=(ranks.index(chosen), len(ranks) - 1, 0)):
            rank = ranks[index]
            bold = rank == chosen
            self.sheet.draw_text(
                positions[index], self.bottom + 15, str(rank), align="center", bold=bold, soft=not bold
            )
        self.sheet.draw_text(
            (self.left + self.right) / 2, self.bottom + 32, "rank", align="center", soft=True
        )

    def draw_counts(self, ranks: Sequence[int], line: TargetLine) -> None:
        """Draw one target set's line: solid with open marks when chosen, else dashed and light."""
        if line.chosen:
            self.draw_line(ranks, line.counts, color=BLUE, lw=2.2, marker="o", ms=5, mfc=PAPER, mew=1.6)
        else:
            self.draw_line(ranks, line.counts, color=INK, alpha=0.55, lw=1.3, ls=DASHES)

    def draw_mark(self, rank: int, count: int, *, keep_off: tuple[float, float]) -> None:
        """Draw a mark at the chosen rank, with guides to both axes that end before the answer."""
        self.draw_line([rank], [count], color=BLUE, marker="o", ms=11, mfc=PAPER, mew=3)
        x, y = self.x(rank), self.y(count)
        start = keep_off[0] if y < keep_off[1] else self.left
        guides = ([start, x, x], [y, y, self.bottom])
        self.sheet.draw_line(*guides, color=INK, alpha=SOFT, lw=0.9, ls=(0, (1, 2.5)))

    def draw_answer(self, lines: tuple[str, str]) -> tuple[float, float]:
        """Draw the mark's text in the upper left corner, which rising lines leave free; return its end."""
        x, y = self.left + 12, self.top + 10
        width = max(measure_text_width(lines[0], bold=True, size=ANSWER_SIZE), measure_text_width(lines[1]))
        self.sheet.draw_line([x], [y], color=BLUE, marker="o", ms=9, mfc=PAPER, mew=2.6)
        self.sheet.draw_text(x + 11, y + 5, lines[0], bold=True, size=ANSWER_SIZE)
        self.sheet.draw_text(x + 11, y + 5 + TEXT_LEADING + 1, lines[1], soft=True)
        return x + 11 + width + 8, y + 5 + TEXT_LEADING + 7

    def end_labels(self, lines: Sequence[TargetLine]) -> None:
        """Draw each line's name next to its end."""
        wanted = [self.y(line.counts[-1]) for line in lines]
        placed = spread_labels(wanted, gap=TEXT_LEADING, low=self.top, high=self.bottom)
        for line, y in zip(lines, placed, strict=True):
            self.sheet.draw_text(self.right + 9, y + 4, line.label, bold=line.chosen, soft=not line.chosen)
