"""A calendar heat map: one square per day, one column per week, darker for more; the last day is marked."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta

from study.plots.points import BLUE
from study.plots.sheet import EDGE, FAINT, INK, NARROW_BELOW_POINTS, TEXT_LEADING, Sheet, measure_text_width

SHADES = (0.3, 0.5, 0.75, 1.0)  # opacities of one hue: ordered for colour-blind eyes and in the dark
DAYS = ("Mon", "", "Wed", "", "Fri", "", "Sun")
GAP = 2.0
MONTHS = TEXT_LEADING + 4
KEY = 26.0
LARGEST = 17.0
WEEKS_WIDE, WEEKS_NARROW = 26, 14


@dataclass(frozen=True, kw_only=True)
class Calendar:
    """Counts by day up to `last`; a wide sheet shows half a year, a narrow one a quarter."""

    counts: tuple[tuple[date, int], ...]
    last: date
    unit: str

    def compute_body_height(self, width: float) -> float:
        key = KEY if width >= NARROW_BELOW_POINTS else KEY + TEXT_LEADING
        return MONTHS + 7 * self._pitch(width) + key + EDGE

    def draw(self, sheet: Sheet, top: float) -> None:
        pitch, left = self._pitch(sheet.width), self._left()
        steps, counts = self._compute_steps(), dict(self.counts)
        for row, name in enumerate(DAYS):
            sheet.draw_text(EDGE, top + MONTHS + pitch * (row + 0.5) + 4, name, soft=True)
        for week, day in self._list_days(sheet.width):
            x, y = left + week * pitch, top + MONTHS + day.weekday() * pitch
            step = sum(counts.get(day, 0) >= least for least in steps)
            self._draw_square(sheet, (x, y), pitch - GAP, step, day == self.last)
            if day.day == 1 or (week == 0 and day.weekday() == 0 and day.day < 20):
                sheet.draw_text(x, top + TEXT_LEADING - 4, day.strftime("%b"), soft=True)
        self._draw_key(sheet, left, top + MONTHS + 7 * pitch + 8, steps)

    def _left(self) -> float:
        return EDGE + measure_text_width("Wed") + 8

    def _weeks(self, width: float) -> int:
        return WEEKS_WIDE if width >= NARROW_BELOW_POINTS else WEEKS_NARROW

    def _pitch(self, width: float) -> float:
        return min(LARGEST, (width - EDGE - self._left()) / self._weeks(width))

    def _list_days(self, width: float) -> Iterator[tuple[int, date]]:
        weeks = self._weeks(width)
        monday = self.last - timedelta(days=self.last.weekday() + 7 * (weeks - 1))
        for ahead in range((self.last - monday).days + 1):
            yield ahead // 7, monday + timedelta(days=ahead)

    def _compute_steps(self) -> list[int]:
        """Compute the smallest count of each shade: quarters of the busiest day."""
        busiest = max((count for _, count in self.counts), default=1)
        return sorted({max(1, round(busiest * part / 4)) for part in range(4)})

    def _draw_square(
        self, sheet: Sheet, corner: tuple[float, float], side: float, step: int, marked: bool
    ) -> None:
        x, y = corner
        corners = [(x, y), (x + side, y), (x + side, y + side), (x, y + side)]
        colour, alpha = (BLUE, SHADES[step - 1]) if step else (INK, FAINT)
        sheet.draw_shape(corners, fc=colour, alpha=alpha, lw=0)
        if marked:
            sheet.draw_shape(corners, fc="none", ec=INK, lw=1.6)

    def _draw_key(self, sheet: Sheet, x: float, y: float, steps: list[int]) -> None:
        side, start = 11.0, x
        for step in range(len(steps) + 1):
            words = "0" if step == 0 else _format_range(steps, step)
            self._draw_square(sheet, (x, y), side, step, False)
            sheet.draw_text(x + side + 4, y + side - 1, words, soft=True)
            x += side + measure_text_width(words) + 16
        words = f"{self.unit} per day"
        if x + measure_text_width(words) > sheet.width - EDGE:
            x, y = start, y + TEXT_LEADING + 2
        sheet.draw_text(x, y + side - 1, words, soft=True)


def _format_range(steps: list[int], step: int) -> str:
    if step == len(steps):
        return f"{steps[-1]}+"
    low, high = steps[step - 1], steps[step] - 1
    return f"{low}" if low == high else f"{low}–{high}"
