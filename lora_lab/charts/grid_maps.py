"""Three heat maps of a grid on ranks x bit widths: held-out loss, peak memory, seconds per step."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Literal

from lora_lab.charts.grid_view import GridPlane, name_levels
from lora_lab.charts.heat_map import Tile, TileMap
from lora_lab.grids.findings import compare_ends, compare_with_lowest
from lora_lab.grids.results import GridSetting
from lora_lab.grids.welch_test import compare_groups
from lora_lab.spec import BITS
from study.base.units import GB, MB, as_bytes
from study.plots.plot import Cell, Plot

Unit = tuple[str, float, str]
"""Name, size, and a format for the number in a tile."""


Span = tuple[float, float]


def span_losses(settings: Sequence[GridSetting]) -> Span | None:
    """Return the losses of the lightest and the darkest tile, at least as far apart as seeds alone explain.

    Without a spread over seeds, the lowest and the highest; None without a loss.
    """
    done = [setting for setting in settings if setting.losses]
    means = [setting.mean_loss for setting in done if setting.mean_loss is not None]
    if not means:
        return None
    low, high = min(means), max(means)
    noise = compare_ends(done).noise if len(done) > 1 else 0.0
    room = max(0.0, noise - (high - low)) / 2 if math.isfinite(noise) else 0.0
    return low - room, high + room


@dataclass(frozen=True, kw_only=True)
class GridMeasure:
    """One quantity that a heat map shows."""

    name: Literal["loss", "memory", "seconds"]
    value: Callable[[GridSetting], float | None]
    unit: Callable[[Sequence[float]], Unit]
    """The unit for the values of a map."""

    title: Callable[[GridPlane], str]
    shown: str
    header: str
    footnote: Callable[[GridPlane], str]
    span: Callable[[Sequence[GridSetting]], Span | None] | None = None
    """The values of the lightest and the darkest tile; None for the lowest and the highest value."""

    def list_known(self, view: GridPlane) -> list[float]:
        """List the values of the settings that have one."""
        return [value for setting in view.settings if (value := self.value(setting)) is not None]


def draw_heat_map(view: GridPlane, measure: GridMeasure) -> Plot:
    """Plot a heat map with ranks across and bit widths down."""
    settings = {(setting.levels.bits, setting.levels.rank): setting for setting in view.settings}
    bits = [each for each in BITS if any(key[0] == each for key in settings)]
    ranks = sorted({key[1] for key in settings})
    unit, size, form = measure.unit(measure.list_known(view))
    shown = f"{measure.shown}, {unit}"
    places = [[settings.get((each, rank)) for rank in ranks] for each in bits]
    return Plot(
        name=f"grid-{measure.name}",
        title=view.qualify(measure.title(view)),
        subtitle=view.conditions,
        header=("weights stored as", "rank", "learning rate", measure.header, *MORE_COLUMNS[measure.name]),
        rows=tuple(
            _build_row(settings.get((each, rank)), each, rank, measure) for each in bits for rank in ranks
        ),
        alt=f"Heat map of {shown}. {_list_measure(view, measure, size, form)}. {measure.footnote(view)}",
        drawing=TileMap(
            columns=tuple(str(rank) for rank in ranks),
            rows=tuple(bits),
            tiles=tuple(
                tuple(_build_tile(setting, view, measure, size, form) for setting in row) for row in places
            ),
            x_label="rank",
            y_label="weights stored as",
            shown=shown,
            footnote=measure.footnote(view),
            span=measure.span(view.settings) if measure.span else None,
        ),
    )


def _build_tile(
    setting: GridSetting | None, view: GridPlane, measure: GridMeasure, size: float, form: str
) -> Tile:
    value = measure.value(setting) if setting else None
    if setting is None or value is None:
        return Tile(value=None, words=(_say_missing(setting, measure),))
    words = (form.format(value / size), *_format_second_line(setting, form, measure))
    computed = measure.name == "memory" and setting.measured_peak_bytes is None
    return Tile(value=value, words=words, computed=computed, marked=value == min(measure.list_known(view)))


def _say_missing(setting: GridSetting | None, measure: GridMeasure) -> str:
    if setting is None:
        return "not run"
    if measure.name == "seconds" and any(cell.measured and cell.shared_by > 1 for cell in setting.cells):
        return "side by side"
    return setting.word


def _format_second_line(setting: GridSetting, form: str, measure: GridMeasure) -> tuple[str, ...]:
    """Say how many seeds the value covers while some are missing; else half their range."""
    if len(setting.losses) < len(setting.cells):
        return (f"{len(setting.losses)} of {len(setting.cells)}",)
    if measure.name != "loss" or len(setting.losses) < 2:
        return ()
    return (f"± {_format_spread((max(setting.losses) - min(setting.losses)) / 2, form)}",)


def _format_spread(half_range: float, form: str) -> str:
    """Format like the loss above it, with the digits that a smaller spread needs: 0.0004, not 0.00."""
    said = form.format(half_range)
    if half_range == 0:
        return "0"
    if float(said):
        return said
    digits = math.ceil(-math.log10(half_range))
    return (
        f"{half_range:.{digits}f}" if digits <= MOST_DIGITS else f"under {10**-MOST_DIGITS:.{MOST_DIGITS}f}"
    )


MOST_DIGITS = 6
"""Digits of a spread after the point: the losses are means of 32-bit numbers."""


MORE_COLUMNS: dict[str, tuple[str, ...]] = {
    "loss": ("seeds", "lowest", "highest"),
    "memory": ("measured or computed",),
    "seconds": (),
}


def _build_row(setting: GridSetting | None, bits: str, rank: int, measure: GridMeasure) -> tuple[Cell, ...]:
    value = measure.value(setting) if setting else None
    if setting is None or value is None:
        blank = ("",) * len(MORE_COLUMNS[measure.name])
        return (bits, rank, "", _say_missing(setting, measure), *blank)
    more: tuple[Cell, ...] = ()
    if measure.name == "loss":
        more = (len(setting.losses), min(setting.losses), max(setting.losses))
    elif measure.name == "memory":
        more = ("computed" if setting.measured_peak_bytes is None else "measured",)
    number = value / MB if measure.name == "memory" else value
    return (bits, rank, f"{setting.levels.learning_rate:g}", number, *more)


def _list_measure(view: GridPlane, measure: GridMeasure, size: float, form: str) -> str:
    values = [(setting, measure.value(setting)) for setting in view.settings]
    return "; ".join(
        f"{name_levels(setting.levels)} "
        f"{_say_missing(setting, measure) if value is None else form.format(value / size)}"
        for setting, value in values
    )


# ---- units


def choose_loss_format(values: Sequence[float]) -> str:
    """Return a format with a third digit where two digits can't distinguish the values."""
    return "{:.2f}" if len(values) < 2 or max(values) - min(values) >= 0.1 else "{:.3f}"


def _choose_loss_unit(values: Sequence[float]) -> Unit:
    return "mean", 1.0, choose_loss_format(values)


def _choose_byte_unit(values: Sequence[float]) -> Unit:
    if max(values) >= GB:
        return "GB", GB, "{:.1f}" if max(values) >= 10 * GB else "{:.2f}"
    return "MB", MB, "{:.0f}" if max(values) >= 100 * MB else "{:.2f}"


def _choose_second_unit(values: Sequence[float]) -> Unit:
    return ("s", 1.0, "{:.2f}") if max(values) >= 1 else ("ms", 1e-3, "{:.0f}")


# ---- titles


def _format_loss_title(view: GridPlane) -> str:
    """Name the lowest loss, and how many of the others seed noise can't separate from it."""
    done = [setting for setting in view.settings if setting.losses]
    best, verdicts = compare_with_lowest(done)
    if not verdicts:
        return f"Held-out loss is {best.mean_loss:.2f} at {name_levels(best.levels)}"
    claim = f"Held-out loss is lowest at {name_levels(best.levels)}: {best.mean_loss:.2f}"
    if all(len(setting.losses) < 2 for setting in done):
        return f"{claim}, on one seed, which can't tell close cells apart"
    close = sum(verdict != "differ" for verdict in verdicts)
    if not close:
        return f"{claim}, lower than all others by more than seed noise"
    if close == len(verdicts):
        return f"{claim}, but seeds can't tell any other cell from it"
    return f"{claim}; {close} of the {len(verdicts)} others may be as low: seeds can't tell"


def _format_memory_title(view: GridPlane) -> str:
    low, high = _find_ends(view, _read_peak)
    if low is high:
        return f"Peak memory is {as_bytes(_read_peak(low))} at {name_levels(low.levels)}"
    if _read_peak(low) == _read_peak(high):
        return f"Peak memory is {as_bytes(_read_peak(low))} in every cell"
    return (
        f"From {name_levels(low.levels)} to {name_levels(high.levels)}, peak memory grows from "
        f"{as_bytes(_read_peak(low))} to {as_bytes(_read_peak(high))}, "
        f"{_format_ratio(_read_peak(high) / _read_peak(low))} as much"
    )


def _format_seconds_title(view: GridPlane) -> str:
    low, high = _find_ends(view, _read_pace)
    unit, size, _ = _choose_second_unit([_read_pace(low), _read_pace(high)])
    shortest, longest = f"{_read_pace(low) / size:.3g}", f"{_read_pace(high) / size:.3g}"
    if low is high:
        return f"A step takes {shortest} {unit} at {name_levels(low.levels)}, trained alone"
    timed = sum(setting.seconds_a_step is not None for setting in view.settings)
    # The first cell of a process warms it up, and other programs disturb any: one time shows neither.
    verdict = compare_groups(high.step_times, low.step_times, comparisons=math.comb(timed, 2)).verdict
    if verdict != "differ":
        why = "no difference beyond noise" if verdict == "noise" else "seeds can't tell the cells apart"
        return f"Alone, a step takes {shortest} to {longest} {unit}: {why}"
    ratio = _format_ratio(_read_pace(high) / _read_pace(low))
    return (
        f"Alone, a step takes {shortest} {unit} at {name_levels(low.levels)} and "
        f"{longest} {unit} at {name_levels(high.levels)}, {ratio} as long"
    )


def _format_ratio(ratio: float) -> str:
    """Return a ratio in words; "about" where a factor of 1.0 would read as no change."""
    return f"{ratio:.2g} times" if ratio >= 1.05 else "about"


def _format_loss_footnote(view: GridPlane) -> str:
    return (
        "Measured. Lighter is lower, which is better. The shades span at least what seeds alone explain. "
        "± is half the range of the seeds."
    )


def describe_peaks(view: GridPlane) -> str:
    """Return which of the peaks are measured."""
    shared = [cell for setting in view.settings for cell in setting.cells if cell.group_peak_bytes]
    if not shared:
        return "Measured: the highest peak among the seeds. Lighter is less."
    largest = max(shared, key=attrgetter("group_peak_bytes"))
    return (
        "Dashed: computed, as if the cell were alone. Cells trained side by side have one peak: "
        f"{as_bytes(largest.group_peak_bytes or 0)} measured for {largest.shared_by} of them."
    )


def _format_seconds_footnote(view: GridPlane) -> str:
    said = (
        "Measured: the median step of a cell trained alone. Lighter is faster. "
        "Other programs slow it down, and a process is slow at first."
    )
    shared = any(cell.shared_by > 1 for setting in view.settings for cell in setting.cells)
    return (
        f"{said} Cells side by side share each step equally, so none has a time of its own."
        if shared
        else said
    )


def _find_ends(view: GridPlane, value: Callable[[GridSetting], float]) -> tuple[GridSetting, GridSetting]:
    known = [setting for setting in view.settings if value(setting)]
    return min(known, key=value), max(known, key=value)


def _read_peak(setting: GridSetting) -> float:
    return setting.peak_bytes or 0


def _read_pace(setting: GridSetting) -> float:
    return setting.seconds_a_step or 0.0


MEASURES = (
    GridMeasure(
        name="loss",
        value=attrgetter("mean_loss"),
        unit=_choose_loss_unit,
        title=_format_loss_title,
        shown="held-out loss",
        header="held-out loss (mean over seeds)",
        footnote=_format_loss_footnote,
        span=span_losses,
    ),
    GridMeasure(
        name="memory",
        value=attrgetter("peak_bytes"),
        unit=_choose_byte_unit,
        title=_format_memory_title,
        shown="peak memory",
        header="peak memory (MB)",
        footnote=describe_peaks,
    ),
    GridMeasure(
        name="seconds",
        value=attrgetter("seconds_a_step"),
        unit=_choose_second_unit,
        title=_format_seconds_title,
        shown="time of a step",
        header="time of a step (s)",
        footnote=_format_seconds_footnote,
    ),
)
