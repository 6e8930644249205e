"""Loss against memory: every setting as a point, and the Pareto front of those that none beats in both."""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, NamedTuple

from lora_lab.charts.grid_view import choose_loss_levels, compute_loss_span
from lora_lab.charts.lines import BLUE
from study.base.units import GB, MB
from study.plots.area import Area, Span
from study.plots.axis import choose_ticks
from study.plots.sheet import (
    EDGE,
    INK,
    NARROW_BELOW_POINTS,
    TEXT_LEADING,
    TEXT_SIZE,
    Sheet,
    measure_text_width,
    wrap_text,
)

BODY_WIDE, BODY_NARROW = 300.0, 290.0
ABOVE = TEXT_LEADING + 8
BELOW = TEXT_LEADING + 18
FOOT_GAP = 12.0
PALE = 0.45  # opacity of points that are not on the front
DOT, FRONT_DOT = 6.0, 9.0


class Box(NamedTuple):
    """An area of the sheet, in points from its upper left corner."""

    left: float
    right: float
    top: float
    bottom: float

    def meets(self, other: "Box") -> bool:
        """Return whether the two boxes share any point."""
        across = self.left <= other.right and other.left <= self.right
        return across and self.top <= other.bottom and other.top <= self.bottom


@dataclass(frozen=True, kw_only=True)
class ParetoPoint:
    """One setting: its peak memory in bytes and its held-out losses."""

    label: str
    bytes: int
    losses: tuple[float, ...]
    """One per seed."""

    @property
    def loss(self) -> float:
        """The mean over the seeds."""
        return sum(self.losses) / len(self.losses)


def find_front(points: Sequence[ParetoPoint]) -> list[ParetoPoint]:
    """Return the points that no other beats in loss without more memory, smallest first."""
    front: list[ParetoPoint] = []
    for point in sorted(points, key=lambda point: (point.bytes, point.loss)):
        if not front or point.loss < front[-1].loss:
            front.append(point)
    return front


@dataclass(frozen=True, kw_only=True)
class LossAgainstMemory:
    """A scatter plot: memory across, held-out loss upwards; lower left is better in both."""

    points: tuple[ParetoPoint, ...]
    footnote: str

    def compute_body_height(self, width: float) -> float:
        foot = len(wrap_text(self.footnote, width - 2 * EDGE)) * TEXT_LEADING
        return (BODY_WIDE if width >= NARROW_BELOW_POINTS else BODY_NARROW) + FOOT_GAP + foot

    def draw(self, sheet: Sheet, top: float) -> None:
        front = find_front(self.points)
        span = compute_loss_span([loss for point in self.points for loss in point.losses])
        levels = choose_loss_levels(span)
        left = EDGE + max(measure_text_width(label) for label in levels.values()) + 8
        foot = len(wrap_text(self.footnote, sheet.width - 2 * EDGE)) * TEXT_LEADING
        bottom = sheet.height - foot - FOOT_GAP - BELOW
        right = sheet.width - EDGE - DOT
        labels = max(measure_text_width(point.label, bold=True) for point in front)
        across = self._choose_horizontal_span(room=(labels + 16) / (right - left))
        area = Area(sheet, (left, top + ABOVE, right, bottom), across=across, upwards=span)
        sheet.draw_text(EDGE, top + TEXT_SIZE + 2, "held-out loss", soft=True)
        area.draw_levels(levels)
        self._draw_memory_scale(area)
        self._draw_labels(area, front, self._draw_points(area, front))
        sheet.draw_paragraph(bottom + BELOW + FOOT_GAP + 8, self.footnote)

    def _choose_horizontal_span(self, *, room: float) -> Span:
        """Choose the range of memory, with room for the first label left of the first point."""
        low, high = min(point.bytes for point in self.points), max(point.bytes for point in self.points)
        width = (high - low) or high / 2
        return low - width * min(room / (1 - min(room, 0.6)), 1.5), high + width * 0.06

    def _draw_memory_scale(self, area: Area) -> None:
        unit, size = ("GB", GB) if area.across[1] >= GB else ("MB", MB)
        about = 3 if area.sheet.narrow else 5
        ticks = choose_ticks(max(0, area.across[0] / size), area.across[1] / size, about=about)
        area.draw_labels_below([(tick * size, f"{tick:,.6g}") for tick in ticks], first=())
        middle = (area.left + area.right) / 2
        area.sheet.draw_text(middle, area.bottom + BELOW, f"peak memory, {unit}", align="center", soft=True)

    def _draw_points(self, area: Area, front: Sequence[ParetoPoint]) -> list[Box]:
        """Draw strokes, dots and the front's line; return the boxes they take, which labels avoid."""
        taken = []
        for point in self.points:
            x, ends = area.x(point.bytes), (min(point.losses), max(point.losses))
            look: dict[str, Any] = {"color": BLUE} if point in front else {"color": INK, "alpha": PALE}
            area.draw_line([point.bytes] * 2, ends, lw=1.2, **look)
            size = FRONT_DOT if point in front else DOT
            area.draw_dot(point.bytes, point.loss, colour=look.pop("color"), size=size, **look)
            reach = size / 2 + 1
            taken.append(Box(x - reach, x + reach, area.y(point.loss) - reach, area.y(point.loss) + reach))
            taken.append(Box(x, x, area.y(ends[1]), area.y(ends[0])))
        for before, after in pairwise(front):
            corner = (area.x(after.bytes), area.y(before.loss))
            taken.append(Box(area.x(before.bytes), corner[0], corner[1], corner[1]))
            taken.append(Box(corner[0], corner[0], corner[1], area.y(after.loss)))
            xs, ys = [before.bytes, after.bytes, after.bytes], [before.loss, before.loss, after.loss]
            area.draw_line(xs, ys, color=BLUE, lw=1.6)
        return taken

    def _draw_labels(self, area: Area, front: Sequence[ParetoPoint], taken: list[Box]) -> None:
        """Draw the labels of the front's ends first, then as many others as fit without overlap."""
        others = sorted((each for each in self.points if each not in front), key=lambda each: each.bytes)
        inner = front[1:-1]
        for point in [*dict.fromkeys((front[0], front[-1])), *inner, *others]:
            bold = point in front
            width = measure_text_width(point.label, bold=bold)
            x, y = area.x(point.bytes), area.y(point.loss)
            # Every area left of and below a point of the front is free of points.
            before = x - FRONT_DOT - width
            places = [(before, y + 5), (before, y + 14)] if bold else []
            places += [(x + DOT, y + 4), (before, y + 4)]
            # Above or below the strokes, which leave room there between close neighbours.
            over, under = area.y(max(point.losses)) - 6, area.y(min(point.losses)) + TEXT_SIZE + 4
            last = area.sheet.width - EDGE - width
            places += [
                (min(start, last), base) for start in (x - width / 2, x - DOT) for base in (over, under)
            ]
            for left, base in places:
                box = Box(left, left + width, base - TEXT_SIZE + 2, base + 2)
                inside = left >= area.left and box.right <= area.sheet.width - EDGE
                if inside and not any(box.meets(other) for other in taken):
                    area.sheet.draw_text(left, base, point.label, bold=bold, soft=not bold)
                    taken.append(box)
                    break
