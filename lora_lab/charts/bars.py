"""A memory chart: stacked bars, with a legend next to or below them that reads the chosen bar out."""

from dataclasses import dataclass

from lora_lab.charts.stack import SWATCH, BytesScale, StackArea, StackedBar, draw_peak, draw_swatch
from study.base.units import as_bytes
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

BODY_WIDE, BODY_BENCH = 265.0, 262.0
PLOT_NARROW = 168.0
ABOVE = TEXT_LEADING + 8  # the name of the vertical axis
KEY_GAP = 20.0
LABEL_TO_AXIS_NAME = 16.0


@dataclass(frozen=True, kw_only=True)
class StackedBars:
    """Stacked bars of memory by rank or by bit width."""

    bars: tuple[StackedBar, ...]
    components: tuple[tuple[str, str], ...]
    """Field of the ledger and its name in the legend, bottom first."""

    x_label: str
    key_title: str
    footnote: str
    """What was measured, and where; next to a diamond when anything was."""

    beside_form: bool = False
    """Whether it is drawn beside the form: shorter, and the page has the legend as a table."""

    def compute_body_height(self, width: float) -> float:
        if self.beside_form:
            return BODY_BENCH
        if width >= NARROW_BELOW_POINTS:
            return BODY_WIDE
        return ABOVE + PLOT_NARROW + self._below(width) + KEY_GAP + self._key_height()

    def draw(self, sheet: Sheet, top: float) -> None:
        sheet.draw_text(EDGE, top + TEXT_SIZE + 2, "peak memory", soft=True)
        area = StackArea(sheet, self._box(sheet, top + ABOVE), self.bars)
        area.draw_grid()
        floors = [0] * len(self.bars)
        for field, _ in self.components:
            area.draw_component(field, floors)
            floors = [
                floor + getattr(bar.ledger, field) for floor, bar in zip(floors, self.bars, strict=True)
            ]
        area.draw_outlines()
        area.draw_peaks()
        area.draw_total()
        area.draw_tick_labels()
        y = area.bottom + self._label_lines() * TEXT_LEADING + LABEL_TO_AXIS_NAME
        sheet.draw_text((area.left + area.right) / 2, y, self.x_label, align="center", soft=True)
        self._draw_footnote(sheet, y + TEXT_LEADING + 5)
        if self.beside_form:
            return
        if sheet.narrow:
            self._draw_key(
                sheet, area.left, sheet.width - EDGE - 24, sheet.height - EDGE - self._key_height()
            )
        else:
            self._draw_key(sheet, area.right + KEY_GAP, sheet.width - EDGE, top + 4)

    def _box(self, sheet: Sheet, top: float) -> tuple[float, float, float, float]:
        """Return left, top, right and bottom of the plotting area, in points."""
        keyed_below = sheet.narrow and not self.beside_form
        bottom = top + PLOT_NARROW if keyed_below else sheet.height - self._below(sheet.width)
        labels = BytesScale.from_bars(self.bars, bottom - top).list_ticks().values()
        left = EDGE + max(measure_text_width(label) for label in labels) + 6
        key = 0 if sheet.narrow or self.beside_form else self._key_width() + KEY_GAP
        return left, top, sheet.width - EDGE - key, bottom

    def _label_lines(self) -> int:
        return max(bar.label_lines for bar in self.bars)

    def _below(self, width: float) -> float:
        """Return the height of tick labels, axis name and footnote, in points."""
        lines = self._label_lines() + len(self._wrap_footnote(width))
        return lines * TEXT_LEADING + LABEL_TO_AXIS_NAME + 13

    def _wrap_footnote(self, width: float) -> list[str]:
        return wrap_text(self.footnote, width - 2 * EDGE - 16)

    def _draw_footnote(self, sheet: Sheet, y: float) -> None:
        x = EDGE
        if any(bar.measured_bytes for bar in self.bars):
            draw_peak(sheet, x + 5, y - 4)
            x += 16
        for line in self._wrap_footnote(sheet.width):
            sheet.draw_text(x, y, line, soft=True)
            y += TEXT_LEADING

    def _key_height(self) -> float:
        return (len(self.components) + 2) * TEXT_LEADING + 8

    def _key_width(self) -> float:
        values = max(measure_text_width(value) for value in self._format_chosen_values().values())
        names = max(measure_text_width(name) for _, name in self.components)
        return max(SWATCH + 6 + names + 10 + values, measure_text_width(self.key_title, bold=True))

    def _format_chosen_values(self) -> dict[str, str]:
        return {field: as_bytes(getattr(self._find_chosen().ledger, field)) for field, _ in self.components}

    def _find_chosen(self) -> StackedBar:
        return next(bar for bar in self.bars if bar.chosen)

    def _draw_key(self, sheet: Sheet, left: float, right: float, top: float) -> None:
        """Draw name and size of every component of the chosen bar, in the order of the stack."""
        y = top + TEXT_SIZE - 2
        sheet.draw_text(left, y, self.key_title, bold=True)
        values = self._format_chosen_values()
        for field, name in reversed(self.components):
            y += TEXT_LEADING
            draw_swatch(sheet, left, y, field)
            sheet.draw_text(left + SWATCH + 6, y, name)
            sheet.draw_text(right, y, values[field], align="right")
        y += 6
        sheet.draw_line([left, right], [y, y], color=INK, lw=0.8)
        total = as_bytes(self._find_chosen().ledger.total_bytes)
        sheet.draw_text(left + SWATCH + 6, y + TEXT_LEADING - 1, "total")
        sheet.draw_text(right, y + TEXT_LEADING - 1, total, align="right", bold=True)
