"""Held-out loss by rank: a line through the seeds' means, every seed as a point, their range as a band."""

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import cycle

from lora_lab.charts.grid_view import choose_loss_levels, compute_loss_span
from study.plots.area import Area
from study.plots.axis import spread_labels
from study.plots.sheet import EDGE, INK, TEXT_LEADING, TEXT_SIZE, Sheet, measure_text_width, wrap_text

BODY = 290.0
ABOVE = TEXT_LEADING + 8
BELOW = TEXT_LEADING + 18
FOOT_GAP = 12.0
BAND = 0.16  # opacity
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#AA5A88", "#8C6D31", INK)
"""Each is at least 3 : 1 on white and on the dark page."""

LOOKS = tuple(zip(cycle(COLOURS), "os^DvPX<>h*", strict=False))
"""Colour and mark: every mark once."""


@dataclass(frozen=True, kw_only=True)
class SeedLine:
    label: str
    ranks: tuple[int, ...]
    losses: tuple[tuple[float, ...], ...]
    """Per rank, the loss of every seed."""

    @property
    def means(self) -> list[float]:
        """The mean over the seeds, one per rank."""
        return [statistics.fmean(group) for group in self.losses]


@dataclass(frozen=True, kw_only=True)
class SeedLines:
    """Held-out loss by rank: ranks across in powers of two, loss upwards."""

    lines: tuple[SeedLine, ...]
    footnote: str

    def compute_body_height(self, width: float) -> float:
        foot = len(wrap_text(self.footnote, width - 2 * EDGE)) * TEXT_LEADING
        return BODY + FOOT_GAP + foot

    def draw(self, sheet: Sheet, top: float) -> None:
        span = compute_loss_span([loss for line in self.lines for group in line.losses for loss in group])
        levels = choose_loss_levels(span)
        left = EDGE + max(measure_text_width(label) for label in levels.values()) + 8
        right = sheet.width - EDGE - max(measure_text_width(line.label) for line in self.lines) - 22
        foot = len(wrap_text(self.footnote, sheet.width - 2 * EDGE)) * TEXT_LEADING
        bottom = sheet.height - foot - FOOT_GAP - BELOW
        ranks = sorted({rank for line in self.lines for rank in line.ranks})
        ends = (math.log2(ranks[0]), math.log2(ranks[-1]))
        room = (ends[1] - ends[0]) * 0.04 or 1.0
        across = (ends[0] - room, ends[1] + room)
        area = Area(sheet, (left, top + ABOVE, right, bottom), across=across, upwards=span)
        sheet.draw_text(EDGE, top + TEXT_SIZE + 2, "held-out loss", soft=True)
        area.draw_levels(levels)
        self._rank_scale(area, ranks)
        for line, look in zip(self.lines, LOOKS, strict=False):
            _draw_line(area, line, *look)
        self._end_labels(area)
        sheet.draw_paragraph(bottom + BELOW + FOOT_GAP + 8, self.footnote)

    def _rank_scale(self, area: Area, ranks: Sequence[int]) -> None:
        labels = [(math.log2(rank), str(rank)) for rank in ranks]
        area.draw_labels_below(labels, first=(len(ranks) - 1, 0))
        middle = (area.left + area.right) / 2
        area.sheet.draw_text(middle, area.bottom + BELOW, "rank", align="center", soft=True)

    def _end_labels(self, area: Area) -> None:
        ends = [(area.x(math.log2(line.ranks[-1])), area.y(line.means[-1])) for line in self.lines]
        placed = spread_labels([y for _, y in ends], gap=TEXT_LEADING, low=area.top, high=area.bottom)
        for line, look, (x, own), y in zip(self.lines, LOOKS, ends, placed, strict=False):
            colour, mark = look
            area.sheet.draw_line([x + 6, area.right + 4], [own, y], color=colour, lw=0.8)
            area.sheet.draw_line([area.right + 10], [y], color=colour, marker=mark, ms=6)
            area.sheet.draw_text(area.right + 18, y + 4, line.label)


def _draw_line(area: Area, line: SeedLine, colour: str, mark: str) -> None:
    xs = [math.log2(rank) for rank in line.ranks]
    lows, highs = [min(group) for group in line.losses], [max(group) for group in line.losses]
    area.draw_band(xs, lows, highs, fc=colour, alpha=BAND, lw=0)
    area.draw_line(xs, line.means, color=colour, lw=2.0)
    for x, group, mean in zip(xs, line.losses, line.means, strict=True):
        if len(group) > 1:
            for loss in group:
                area.draw_dot(x, loss, colour=colour, size=4.5, alpha=0.8, mew=0.6)
        area.draw_dot(x, mean, colour=colour, size=7.5, marker=mark)
