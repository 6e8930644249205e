"""The plotting area of stacked bars: one place across per bar, bytes upwards.

Computed bars have a dashed outline, measured peaks are filled diamonds. Neighbours in a stack differ in
lightness or in hatching, so the picture also works without colour.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lora_lab.memory.ledger import Ledger
from study.base.units import GB, MB, as_bytes
from study.plots.area import Area
from study.plots.axis import choose_ticks
from study.plots.sheet import FAINT, INK, PAPER, TEXT_LEADING, Sheet, choose_fitting, measure_text_width

BAR_WIDTH = 0.74  # share of the distance between two bars
PALE = 0.42  # opacity of the bars that are not chosen
TOTAL_ROOM = 24.0  # points above the highest bar, for its total
TICKS = 4
HIGHEST_TICK = 0.95  # share of the area's height: the axis's name is above it
DIAMOND = 7.5
SWATCH = 11.0

COLOURS: dict[str, str] = {  # Okabe-Ito, safe for colour-blind eyes
    "weights": "#7A7A7A",
    "constants": "#BBBBBB",
    "adapters": "#0072B2",
    "gradients": "#009E73",
    "optimizer": "#CC79A7",
    "activations": "#E69F00",
    "logits": "#D55E00",
    "scratch": "#F0E442",
    "fixed": "#EDEDED",
}
HATCHES: dict[str, str] = {"constants": "-----", "gradients": "\\\\\\\\", "scratch": "xxxx", "fixed": "////"}
HATCH_INK = "#222222"  # not INK: on a dark page it must stay darker than the fills


@dataclass(frozen=True, kw_only=True)
class StackedBar:
    """One computed setting, and the peaks measured for it."""

    label: tuple[str, ...]
    """Lines of text under the bar."""

    ledger: Ledger
    chosen: bool
    lower: bool = False
    """Whether its label goes below those of its neighbours, where one row is too narrow for all."""

    measured_bytes: tuple[int, ...] = ()

    @property
    def label_lines(self) -> int:
        """The number of lines under the axis, down to the last of its label."""
        return len(self.label) * (2 if self.lower else 1)

    @property
    def top_bytes(self) -> int:
        """The highest value drawn."""
        return max(self.ledger.total_bytes, *self.measured_bytes, 0)


@dataclass(frozen=True)
class BytesScale:
    """The vertical scale in bytes, from zero to just above the highest bar."""

    limit_bytes: float

    @classmethod
    def from_bars(cls, bars: Sequence[StackedBar], height: float) -> "BytesScale":
        """Return the scale with room for a total above the highest bar of an area `height` points high."""
        return cls(max(bar.top_bytes for bar in bars) / (1 - TOTAL_ROOM / height))

    def list_ticks(self) -> dict[float, str]:
        """List round values in bytes and their labels; only the highest names the unit."""
        unit, size = ("GB", GB) if self.limit_bytes >= GB else ("MB", MB)
        values = choose_ticks(0, HIGHEST_TICK * self.limit_bytes / size, about=TICKS)
        labels = [f"{value:,.6g}" for value in values]
        labels[-1] += f" {unit}"
        return {value * size: label for value, label in zip(values, labels, strict=True)}


class StackArea(Area):
    """An area in which bars are drawn layer by layer: their number across, bytes upwards."""

    def __init__(
        self, sheet: Sheet, box: tuple[float, float, float, float], bars: Sequence[StackedBar]
    ) -> None:
        _, top, _, bottom = box
        self.bars, self.scale = bars, BytesScale.from_bars(bars, bottom - top)
        self.chosen = next(i for i, bar in enumerate(bars) if bar.chosen)
        across, upwards = (-0.5, len(bars) - 0.5), (0.0, self.scale.limit_bytes)
        super().__init__(sheet, box, across=across, upwards=upwards)

    def draw_grid(self) -> None:
        """Draw lines at round values, and plain paper where they would show through a pale bar."""
        for value, label in self.scale.list_ticks().items():
            y = self.y(value)
            self.sheet.draw_text(self.left - 6, y + 4, label, align="right", soft=True)
            look = {"alpha": FAINT, "lw": 0.8} if value else {"lw": 1.0}
            self.sheet.draw_line([self.left, self.right], [y, y], color=INK, zorder=-1, **look)
        self._patch([(i, 0, bar.ledger.total_bytes) for i, bar in enumerate(self.bars)], fc=PAPER, lw=0)

    def draw_component(self, field: str, floors: Sequence[int]) -> None:
        """Draw one component of all bars on top of `floors`: pale, and opaque for the chosen bar."""
        boxes = [(i, floors[i], getattr(bar.ledger, field)) for i, bar in enumerate(self.bars)]
        self._patch([box for box in boxes if box[0] != self.chosen], **_choose_look(field), alpha=PALE)
        self._patch([boxes[self.chosen]], **_choose_look(field))

    def draw_outlines(self) -> None:
        """Draw dashed outlines, because the bars are computed."""
        boxes = [(i, 0, bar.ledger.total_bytes) for i, bar in enumerate(self.bars)]
        dashed: dict[str, Any] = {"fc": "none", "ec": INK, "ls": (0, (3, 2))}
        self._patch([box for box in boxes if box[0] != self.chosen], **dashed, lw=0.8, alpha=0.6)
        self._patch([boxes[self.chosen]], **dashed, lw=1.6)

    def draw_peaks(self) -> None:
        for index, bar in enumerate(self.bars):
            for peak in bar.measured_bytes:
                draw_peak(self.sheet, self.x(index), self.y(peak))

    def draw_total(self) -> None:
        """Draw the chosen bar's total above everything that it would cover.

        Centred if its neighbours leave room, else right-aligned with its bar: lower ranks have lower bars.
        """
        words = as_bytes(self.bars[self.chosen].ledger.total_bytes)
        width = measure_text_width(words, bold=True)
        to_neighbour = self.x(1 - BAR_WIDTH / 2) - self.x(0)
        beyond = width / 2 if width / 2 < to_neighbour else self.x(BAR_WIDTH / 2) - self.x(0)
        right = min(max(self.x(self.chosen) + beyond, self.left + width + 6), self.right)
        under = [
            self.y(bar.top_bytes) - (DIAMOND if bar.measured_bytes else 0)
            for i, bar in enumerate(self.bars)
            if self.x(i - BAR_WIDTH / 2) < right and self.x(i + BAR_WIDTH / 2) > right - width
        ]
        self.sheet.draw_text(right, min(under) - 5, words, align="right", bold=True)

    def draw_tick_labels(self) -> None:
        """Draw as many labels as fit in each of the two rows; always the chosen one and the ends."""
        for lower in (False, True):
            row = [index for index, bar in enumerate(self.bars) if bar.lower == lower]
            places = [self.x(index) for index in row]
            labels = [(self.bars[index].label, self.bars[index].chosen) for index in row]
            widths = [max(measure_text_width(words, bold=bold) for words in label) for label, bold in labels]
            first = [row.index(i) for i in (self.chosen, len(self.bars) - 1, 0) if i in row]
            for number in choose_fitting(places, widths, first=first):
                self._tick_label(row[number])

    def _tick_label(self, index: int) -> None:
        x, bar = self.x(index), self.bars[index]
        skipped = bar.label_lines - len(bar.label)
        if skipped:  # a leader line to it, past its neighbours
            y = self.bottom + skipped * TEXT_LEADING
            self.sheet.draw_line([x, x], [self.bottom + 3, y + 1], color=INK, lw=0.8, alpha=FAINT)
        for number, words in enumerate(bar.label, start=skipped + 1):
            y = self.bottom + number * TEXT_LEADING
            self.sheet.draw_text(x, y, words, align="center", bold=bar.chosen, soft=not bar.chosen)

    def _patch(self, boxes: Sequence[tuple[int, float, float]], **look: Any) -> None:
        """Draw all boxes (bar, floor, height)."""
        outlines = []
        for index, floor, height in boxes:
            left, right = self.x(index - BAR_WIDTH / 2), self.x(index + BAR_WIDTH / 2)
            low, high = self.y(floor), self.y(floor + height)
            outlines.append([(left, low), (right, low), (right, high), (left, high)])
        self.sheet.draw_shape(*outlines, **look)


def _choose_look(field: str) -> dict[str, Any]:
    """Return fill and hatching of a component."""
    return {"fc": COLOURS[field], "hatch": HATCHES.get(field), "hatchcolor": HATCH_INK, "lw": 0}


def draw_swatch(sheet: Sheet, x: float, baseline: float, field: str) -> None:
    """Draw a small box in the component's style, its lower edge just below the baseline."""
    low, high = baseline + 1, baseline + 1 - SWATCH
    sheet.draw_shape([(x, low), (x + SWATCH, low), (x + SWATCH, high), (x, high)], **_choose_look(field))


def draw_peak(sheet: Sheet, x: float, y: float) -> None:
    """Draw a measured peak: filled, with a halo that separates it from any colour under it."""
    sheet.draw_line([x], [y], marker="D", ms=DIAMOND, mfc=INK, mec=PAPER, mew=1.6, zorder=6)
