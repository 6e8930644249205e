"""A sweep as its page shows it: the map that fills in, and a table with filters and sorting."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from operator import attrgetter
from typing import Any, Generic, TypeVar

from lora_lab.charts.grid import Plane
from lora_lab.charts.grid_maps import Span, choose_loss_format, span_losses
from lora_lab.charts.heat_map import choose_shade, choose_text_colour
from lora_lab.grids.estimate import GridEstimate
from lora_lab.grids.findings import AXIS_WORDS
from lora_lab.grids.results import STATUSES, GridCell, GridSetting, group_by_setting, select_best_rates
from lora_lab.parameters.counts import count_parameters
from lora_lab.parameters.shapes import ModelShape
from lora_lab.settings.grid import AXES, Grid
from lora_lab.settings.grid_form import AXIS_LABELS, format_list
from lora_lab.settings.run_form import format_value
from lora_lab.spec import BITS, RunSpec
from study.base.units import as_bytes, as_count, as_duration

FILTERS = ("bits", "rank", "status")
SORTS = ("queue", "loss", "peak", "seconds")
CHOICE_NAMES = (*(f"show_{name}" for name in FILTERS), "sort")
"""The query parameters of filters and sort order."""

UNIT_WORDS = {axis: AXIS_WORDS.get(field, field) for axis, field in AXES.items()}

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class SweepRow:
    number: int
    """The cell's position in the grid, from 1."""

    cell: GridCell
    place: int | None
    """The number of runs queued before it; None when it isn't waiting."""


@dataclass(frozen=True, kw_only=True)
class TableChoice:
    """The rows that a reader selected, and their order; parsed from the address."""

    bits: frozenset[str] = frozenset()
    rank: frozenset[str] = frozenset()
    status: frozenset[str] = frozenset()
    sort: str = "queue"
    falling: bool = False

    @classmethod
    def parse(cls, query: Mapping[str, str]) -> "TableChoice":
        """Parse the query; unknown words are skipped."""
        shown = {name: frozenset(filter(None, query.get(f"show_{name}", "").split(","))) for name in FILTERS}
        sort = query.get("sort", "").removeprefix("-")
        falling = query.get("sort", "").startswith("-")
        return cls(**shown, sort=sort if sort in SORTS else "queue", falling=falling)

    def query(self) -> dict[str, str]:
        """Return the query parameters, without those at their default."""
        words = {f"show_{name}": ",".join(sorted(getattr(self, name))) for name in FILTERS}
        if self.sort != "queue":
            words["sort"] = ("-" if self.falling else "") + self.sort
        return {name: text for name, text in words.items() if text}

    def toggle(self, name: str, value: str) -> "TableChoice":
        """Toggle one value of a filter; an unknown name changes nothing."""
        if name not in FILTERS:
            return self
        return TableChoice(**(vars(self) | {name: getattr(self, name) ^ {value}}))

    def sort_by(self, sort: str) -> "TableChoice":
        """Return the filter sorted ascending by `sort`; descending if it was ascending already."""
        again = sort == self.sort and not self.falling
        return TableChoice(**(vars(self) | {"sort": sort if sort in SORTS else "queue", "falling": again}))

    def shows(self, cell: GridCell) -> bool:
        """Return whether the cell passes every filter; an empty filter passes all."""
        values = {"bits": cell.spec.bits, "rank": str(cell.spec.rank), "status": cell.status}
        return all(value in (getattr(self, name) or {value}) for name, value in values.items())


def list_sweep_rows(cells: Sequence[GridCell], waiting: Sequence[str], choice: TableChoice) -> list[SweepRow]:
    """List the selected rows; unmeasured values go last in either sort direction."""
    places = {run_id: place for place, run_id in enumerate(waiting)}
    rows = [
        SweepRow(number=number, cell=cell, place=places.get(cell.run_id))
        for number, cell in enumerate(cells, start=1)
        if choice.shows(cell)
    ]
    if choice.sort == "queue":
        return sorted(rows, key=_as_the_queue_goes, reverse=choice.falling)
    value = attrgetter({"loss": "loss_after", "peak": "peak_bytes", "seconds": "seconds_a_step"}[choice.sort])
    known = [row for row in rows if value(row.cell) is not None]
    unknown = [row for row in rows if value(row.cell) is None]
    return sorted(known, key=lambda row: value(row.cell), reverse=choice.falling) + unknown


def _as_the_queue_goes(row: SweepRow) -> tuple[int, int]:
    """Order running cells first, then waiting ones by queue position, then ended ones by grid position."""
    if row.cell.status == "running":
        return 0, row.number
    return (1, row.place) if row.place is not None else (2, row.number)


def list_choices(cells: Sequence[GridCell]) -> dict[str, list[str]]:
    """Return for each filter the values that occur, if there is more than one."""
    found: dict[str, list[str]] = {
        "bits": [bits for bits in BITS if any(cell.spec.bits == bits for cell in cells)],
        "rank": [str(rank) for rank in sorted({cell.spec.rank for cell in cells})],
        "status": [status for status in STATUSES if any(cell.status == status for cell in cells)],
    }
    return {name: values for name, values in found.items() if len(values) > 1}


# ---- the map


@dataclass(frozen=True, kw_only=True)
class MapTile:
    """One rank at one bit width, over all its seeds and learning rates."""

    words: str
    detail: str
    status: str
    style: str


@dataclass(frozen=True, kw_only=True)
class RankTable(Generic[T]):
    """One value for each rank, a column, at each bit width, a row with its name."""

    ranks: tuple[int, ...]
    rows: tuple[tuple[str, tuple[T, ...]], ...]


def render_live_map(cells: Sequence[GridCell], plane: Plane) -> RankTable[MapTile]:
    """Build the map of held-out losses as they arrive, of one target set and variant."""
    here = [cell for cell in cells if (cell.spec.targets, cell.spec.variant) == plane]
    best = {
        (setting.levels.bits, setting.levels.rank): setting
        for setting in select_best_rates(group_by_setting(here))
    }
    losses = [setting.mean_loss for setting in best.values() if setting.mean_loss is not None]
    span = span_losses(list(best.values()))
    ranks = sorted({cell.spec.rank for cell in here})
    rows = []
    for bits in BITS:
        tiles = []
        for rank in ranks:
            group = [cell for cell in here if (cell.spec.bits, cell.spec.rank) == (bits, rank)]
            if group:
                tiles.append(_build_tile(group, best[bits, rank], losses, span))
        if tiles:
            rows.append((bits, tuple(tiles)))
    return RankTable(ranks=tuple(ranks), rows=tuple(rows))


def _build_tile(
    group: Sequence[GridCell], best: GridSetting, losses: Sequence[float], span: Span | None
) -> MapTile:
    measured = sum(cell.comparable for cell in group)
    count = f"{measured} of {len(group)}" if len(group) > 1 else ""
    running = next((cell for cell in group if cell.status == "running"), None)
    if running:
        step = f"step {running.steps_done}/{running.spec.steps}"
        if running.doing:  # in one word: the table of cells says it in full, and a tile keeps its size
            step = "measuring" if running.steps_done else "getting ready"
        count = f"{step}; {count} measured" if count else step
    if best.mean_loss is None or span is None:
        word = "running" if running else best.word
        return MapTile(words=word, detail=count, status=word.replace(" ", "-"), style="")
    low, high = span
    fill = choose_shade((best.mean_loss - low) / (high - low) if high > low else 0.25)
    style = f"background:{fill};color:{choose_text_colour(fill)}"
    words = choose_loss_format(losses).format(best.mean_loss)
    return MapTile(words=words, detail=count, status="measured", style=style)


# ---- before it starts


def tabulate_peaks(found: GridEstimate) -> RankTable[int]:
    """Return the highest predicted peaks in bytes, over seeds, target sets, variants and learning rates."""
    peaks: dict[tuple[str, int], int] = {}
    for cell in found.cells:
        key = (cell.spec.bits, cell.spec.rank)
        peaks[key] = max(peaks.get(key, 0), cell.ledger.total_bytes)
    ranks = sorted({rank for _, rank in peaks})
    widths = [bits for bits in BITS if any(key[0] == bits for key in peaks)]
    rows = tuple((bits, tuple(peaks[bits, rank] for rank in ranks)) for bits in widths)
    return RankTable(ranks=tuple(ranks), rows=rows)


# ---- words


def list_endings(cells: Sequence[GridCell]) -> str:
    """Return how the cells that have ended did so, such as `2 finished, 6 cancelled`; empty without one."""
    counts = Counter(cell.status for cell in cells if cell.ended)
    return ", ".join(f"{counts[status]} {status}" for status in STATUSES if counts[status])


def say_progress(cells: Sequence[GridCell]) -> str:
    """Return `2 of 8 cells done, 4 cancelled` while cells are left, and afterwards how all of them ended."""
    finished = sum(cell.status == "finished" for cell in cells)
    if finished == len(cells):
        return f"{finished} of {len(cells)} cells have ended"
    if all(cell.ended for cell in cells):
        return list_endings(cells)
    others = list_endings([cell for cell in cells if cell.status != "finished"])
    return ", ".join(filter(None, (f"{finished} of {len(cells)} cells done", others)))


def describe_exact_counts(grid: Grid, shape: ModelShape | None) -> str:
    """Say what is exact before any cell has ended: how many parameters the smallest and largest rank train.

    Empty for a grid of one rank, for several variants or sets of matrices, which train different numbers,
    and while the model's shape is not known.
    """
    low, high = min(grid.ranks), max(grid.ranks)
    if shape is None or low == high or len(grid.variants) > 1 or len(grid.targets) > 1:
        return ""
    few, many = (
        count_parameters(shape, rank=rank, targets=grid.targets[0], variant=grid.variants[0]).trainable
        for rank in (low, high)
    )
    return (
        f"Known beforehand: r={high} trains {many / few:.3g} times as many parameters as r={low}, "
        f"{as_count(many)} against {as_count(few)}. The cells will show what that buys."
    )


def announce_first_numbers(grid: Grid, seconds: float | None = None) -> str:
    """Say when the first numbers of a grid come; `seconds` is the estimate of its first cell.

    Empty for a single cell.
    """
    if grid.count == 1:
        return ""
    which = _name_cell(grid.list_specs()[0])
    about = "" if seconds is None else f"about {as_duration(seconds)}" if seconds >= 1 else "under a second"
    time = about and f", which takes {about}"
    return (
        f"First comes {which}{time}: its peak memory is measured from its first step on, and its held-out"
        " loss after its last step. Cells are compared once a second setting has a loss."
    )


def describe_first_cell(cells: Sequence[GridCell]) -> str:
    """Say what the first cell has measured, the one finding there is until two settings have a loss.

    Empty before its first step, and once another setting is measured: from then on settings are compared.
    """
    measured = [cell for cell in cells if cell.comparable and cell.loss_before is not None]
    if not measured:
        return _describe_peak_so_far(cells)
    if len({(replace(cell.spec, seed=0)) for cell in measured}) > 1:
        return ""
    cell = measured[0]
    before, after = (f"{loss:.3f}" for loss in (cell.loss_before, cell.loss_after) if loss is not None)
    peak = ""
    if cell.peak_bytes is not None and cell.predicted_bytes is not None:
        peak = (
            f" It needed {as_bytes(cell.peak_bytes)} at its peak, computed {as_bytes(cell.predicted_bytes)}."
        )
    return (
        f"The first cell, {_name_cell(cell.spec)}, took the held-out loss from {before} to {after} in"
        f" {cell.spec.steps} steps.{peak} The others will show what difference the settings make."
    )


def _describe_peak_so_far(cells: Sequence[GridCell]) -> str:
    for cell in cells:
        if cell.status == "running" and cell.peak_bytes and cell.predicted_bytes:
            peak, computed = as_bytes(cell.peak_bytes), as_bytes(cell.predicted_bytes)
            return (
                f"The first cell, {_name_cell(cell.spec)}, has needed {peak} at most so far, after"
                f" {cell.steps_done} of {cell.spec.steps} steps. Computed for its largest step: {computed}."
            )
    return ""


def _name_cell(spec: RunSpec) -> str:
    return f"r={spec.rank} in {spec.bits}"


def format_factors(grid: Grid) -> str:
    """Return the factors of the number of cells, `3 ranks × 2 bit widths`; empty for one cell."""
    numbers = ((axis, len(getattr(grid, axis))) for axis in reversed(AXES))
    return " × ".join(f"{number} {_pluralize(UNIT_WORDS[axis])}" for axis, number in numbers if number > 1)


def _pluralize(words: str) -> str:
    return words.replace("set of", "sets of") if words.startswith("set of") else f"{words}s"


def list_lists(grid: Grid) -> str:
    """Return `ranks 2, 8, 32; bit width nf4-dq; seeds 0, 1, 2`, and whatever else the grid varies."""
    shown = [
        f"{_pluralize(UNIT_WORDS[axis]) if axis in grid.varied else UNIT_WORDS[axis]} "
        f"{format_list(getattr(grid, axis))}"
        for axis in AXIS_LABELS
        if axis in ("ranks", "bits", "seeds", *grid.varied)
    ]
    return "; ".join(shown)


def format_title(grid: Grid, model: str) -> str:
    """Return `r 2, 8, 32 × nf4-dq, bf16 on smollm2-135m`."""
    shown = [f"r {', '.join(map(str, grid.ranks))}", ", ".join(grid.bits)]
    for axis in ("targets", "variants", "learning_rates"):
        values: tuple[Any, ...] = getattr(grid, axis)
        if len(values) > 1:
            shown.append(", ".join(map(format_value, values)))
    if len(grid.seeds) > 1:
        shown.append(f"{len(grid.seeds)} seeds")
    return f"{' × '.join(shown)} on {model}"
