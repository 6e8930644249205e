"""A grid for a live class: a sweep of the lab, whose cells are placed by row, column and seed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from lora_lab.charts.run_view import SETTING_NAMES, list_setting_rows
from lora_lab.grids.findings import find_lowest, list_findings, list_rate_findings
from lora_lab.grids.results import GridCell, GridSetting, group_by_setting
from lora_lab.lab import Lab
from lora_lab.runs.durations import estimate_time_of_all
from lora_lab.settings.grid import AXES, Grid, parse_grid
from lora_lab.settings.run_form import build_address
from lora_lab.settings.urls import build_sweep_address
from lora_lab.spec import RunSpec, parse_spec
from study.base.errors import LearnerError
from study.ports.classes import ClassCell, ClassGridPlan, ClassGridState, Place

ROW_AXES = {"bits": "Bits", "learning_rates": "Learning rate"}
"""What the rows may be, or the one row of a grid of ranks; the columns are ranks."""

FEWEST, MOST = 2, 8
"""Values of an axis that fit on a phone."""


@dataclass(frozen=True, kw_only=True)
class LabClassGrids:
    """Implements `study.ports.classes.ClassGrids` on the lab's sweeps."""

    lab: Lab

    def plan(self, setting: Mapping[str, Any], axes: Mapping[str, Any]) -> ClassGridPlan:
        """Name the rows and columns as the lab does."""
        grid = _parse_grid(setting, axes)
        rows = _choose_row_axis(grid)
        shared = {AXES[axis] for axis in ("ranks", "seeds", rows)}
        shape = self.lab.find_known_shape(grid.base.model)
        return ClassGridPlan(
            row_name=ROW_AXES[rows],
            rows=tuple(str(value) if rows == "bits" else f"{value:g}" for value in getattr(grid, rows)),
            column_name="Rank",
            columns=tuple(f"r={rank}" for rank in grid.ranks),
            seeds=len(grid.seeds),
            described=_describe(grid.base, without=shared),
            vocab=shape.vocab if shape else 0,
            first_cell=build_address(grid.list_specs()[0]),
        )

    def estimate_seconds(self, setting: Mapping[str, Any], axes: Mapping[str, Any]) -> float | None:
        """Add up the cells as similar runs took here; runs side by side count their share of a step."""
        grid = _parse_grid(setting, axes)
        together, paces = self.lab.count_cells_together(grid), self.lab.paces.list_newest_first()
        return estimate_time_of_all(grid.list_specs(), paces, together=together).seconds

    def start(self, setting: Mapping[str, Any], axes: Mapping[str, Any], first: Sequence[Place]) -> str:
        """Queue the grid as one sweep, so that cells on one base are trained side by side."""
        grid = _parse_grid(setting, axes)
        places = _list_places(grid)
        dataset = self.lab.uploads.find(grid.base.data)
        sweep = self.lab.engine.submit_sweep(
            grid,
            dataset,
            now=datetime.now(UTC),
            first=[places.index(place) for place in dict.fromkeys(first)],
        )
        return sweep.sweep_id

    def state(self, grid_id: str) -> ClassGridState:
        """Read the event logs of all cells."""
        sweep = self.lab.sweep(grid_id)
        cells = self.lab.cells(sweep)
        ended = all(cell.ended for cell in cells)
        settings = group_by_setting(cells) if ended else []
        found = [*list_findings(settings), *list_rate_findings(settings)]
        return ClassGridState(
            address=build_sweep_address(grid_id),
            cells=tuple(
                self._build_cell(place, cell)
                for place, cell in zip(_list_places(sweep.grid), cells, strict=True)
            ),
            findings=tuple(each.text for each in found if each.verdict != "unknown"),
            lowest=_find_lowest(sweep.grid, settings) if ended else None,
            error=next((cell.failure for cell in cells if cell.failure), ""),
        )

    def _build_cell(self, place: Place, cell: GridCell) -> ClassCell:
        return ClassCell(
            place=place,
            address=build_address(cell.spec, run_id=cell.run_id) if cell.run_id else "",
            doing=cell.status,
            curve=self._read_curve(cell.run_id) if cell.run_id else (),
            steps=cell.spec.steps,
            loss=cell.loss_after if cell.comparable else None,
        )

    def _read_curve(self, run_id: str) -> tuple[float, ...]:
        return tuple(float(step["loss"]) for step in self.lab.run(run_id).state().steps)


def _parse_grid(setting: Mapping[str, Any], axes: Mapping[str, Any]) -> Grid:
    """Raises LearnerError for anything but ranks and at most one of ROW_AXES, with seeds."""
    grid = parse_grid(parse_spec(setting), axes)
    rows = [axis for axis in ROW_AXES if axis in grid.varied]
    others = set(grid.varied) - {"ranks", "seeds", *rows}
    sizes = [len(grid.ranks), *(len(getattr(grid, axis)) for axis in rows)]
    if len(rows) > 1 or others or not all(FEWEST <= size <= MOST for size in sizes):
        raise LearnerError(
            f"A grid for a class needs {FEWEST} to {MOST} ranks. It may also have {FEWEST} to {MOST} bit "
            f"widths, or {FEWEST} to {MOST} learning rates.",
            do_next="Write `ranks`, and `bits` or `learning_rates` for a grid; `seeds` may be added.",
        )
    return grid


def _choose_row_axis(grid: Grid) -> str:
    return next((axis for axis in ROW_AXES if axis in grid.varied), "bits")


def _find_lowest(grid: Grid, settings: Sequence[GridSetting]) -> int | None:
    """Find the column of the rank that ends lowest, where only ranks are compared."""
    lowest = find_lowest(settings) if len(settings) == len(grid.ranks) else None
    return grid.ranks.index(lowest.levels.rank) if lowest else None


def _list_places(grid: Grid) -> list[Place]:
    """List the row, column and seed of each cell, in the order of the grid's cells."""
    rows = _choose_row_axis(grid)
    field, values = AXES[rows], getattr(grid, rows)
    return [
        (values.index(getattr(spec, field)), grid.ranks.index(spec.rank), grid.seeds.index(spec.seed))
        for spec in grid.list_specs()
    ]


def _describe(spec: RunSpec, *, without: set[str]) -> str:
    """List the settings that all cells share, in the lab's words; alpha is left out, its scale varies."""
    hidden = {SETTING_NAMES.get(field, field.replace("_", " ")) for field in without} | {"alpha"}
    return " · ".join(f"{name}: {value}" for name, value in list_setting_rows(spec) if name not in hidden)
