"""The parts of the Grid page: what a grid costs, the sweep shown, and the list of sweeps."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from operator import attrgetter

from markupsafe import Markup

from lora_lab.charts.captions import shorten_model_name
from lora_lab.charts.grid import choose_plane, list_planes
from lora_lab.data.machine import computes_on_processor
from lora_lab.engine.queue import count_ahead
from lora_lab.grids.estimate import estimate_here
from lora_lab.grids.findings import find_edge_rates, list_findings, variants_share_one_rate
from lora_lab.grids.reference_paces import ReferencePaces, read_reference
from lora_lab.grids.results import RETRYABLE, GridCell, group_by_setting
from lora_lab.lab import Lab
from lora_lab.pages.shared_parts import render_machine
from lora_lab.runs.folder import RunFolder
from lora_lab.runs.sweeps import Sweep
from lora_lab.settings import grid_form
from lora_lab.settings.grid import AXES, Grid
from lora_lab.settings.grid_form import build_grid_address, format_list, read_grid_presets
from lora_lab.settings.run_form import format_value
from lora_lab.settings.urls import build_sweep_address, with_origin
from lora_lab.spec import OWN_DATA
from lora_lab.views import sweep_view
from lora_lab.views.sweep_view import TableChoice
from study.base.html import NO_HTML
from study.text.templates import render

SWEEPS_SHOWN = 20
PARTS = ("sweep-head", "sweep-map", "sweep-findings", "sweep-filters", "sweep-table")


@dataclass(frozen=True, kw_only=True)
class ShownGrid:
    """What the page shows, according to the address."""

    lab: Lab
    sweep: Sweep | None
    choice: TableChoice
    plane: int
    query: Mapping[str, str]

    @cached_property
    def cells(self) -> list[GridCell]:
        return self.lab.cells(self.sweep) if self.sweep else []

    def address(self, grid: Grid) -> str:
        """Build the address of the page in this state, with this grid in its form."""
        more = {"sweep": self.sweep.sweep_id if self.sweep else "", **self.choice.query()}
        if self.plane:
            more["plane"] = str(self.plane)
        address = build_grid_address(grid, **more)
        if (
            self.sweep
            and not grid_form.build_grid_query(grid)
            and grid != grid_form.normalize_grid(self.sweep.grid)
        ):
            address = f"{address}&preset={read_grid_presets()[0].id}"  # else the form shows the sweep's grid
        return with_origin(address, self.query)


def render_cost(lab: Lab, grid: Grid, *, browser_id: str) -> Markup:
    """Render how many cells a grid has, their time and their memory."""
    if lab.ask_for_shape(grid.base.model, browser_id=browser_id) is None:
        return render("lora_lab/shared/reading.html", model=grid.base.model)
    dataset = lab.uploads.find(grid.base.data)
    paces = lab.paces.list_newest_first()
    together = lab.count_cells_together(grid, first_seed=grid.seeds[0])
    found = estimate_here(lab.home, grid, dataset.digest, paces, together=together)
    reference = find_reference(lab)
    return render(
        "lora_lab/grid/cost.html",
        grid=grid,
        factors=sweep_view.format_factors(grid),
        found=found,
        on_one_core=reference.estimate_seconds(grid.list_specs(), together=together) if reference else None,
        reference=reference,
        paces=len(paces),
        peaks=sweep_view.tabulate_peaks(found),
        coming=sweep_view.announce_first_numbers(grid, found.cells[0].seconds),
        one_rate=len(grid.variants) > 1 and len(grid.learning_rates) == 1,
        rates=format_list(grid_form.list_rates_around(grid)),
        command=grid_form.format_grid_command(grid, data_file=dataset.label),
    ) + render_machine(lab)


def find_reference(lab: Lab) -> ReferencePaces | None:
    """Find durations for a machine that has not finished a similar run; None beside a GPU, of which they say
    nothing.
    """
    return read_reference() if computes_on_processor(lab.home.describe_device()) else None


def render_sweep(shown: ShownGrid, *, now: datetime) -> dict[str, Markup]:
    """Render the sweep in parts, so a poll replaces only what changed and no button during a click."""
    if shown.sweep is None:
        head, table = render("lora_lab/grid/no_sweep.html"), render("lora_lab/grid/no_cells.html")
        return dict.fromkeys(PARTS, NO_HTML) | {"sweep-head": head, "sweep-table": table}
    engine, sweep, cells = shown.lab.engine, shown.sweep, shown.cells
    settings = group_by_setting(cells)
    waiting, model = engine.list_waiting(), sweep.grid.base.model
    going = not all(cell.ended for cell in cells)
    values = {
        "sweep": sweep,
        "grid": sweep.grid,
        "title": sweep_view.format_title(sweep.grid, shorten_model_name(model)),
        "finished": sum(cell.status == "finished" for cell in cells),
        "progress": sweep_view.say_progress(cells),
        "stopping": _is_stopping(shown.lab, cells),
        "going": going,
        "has_rest": any(cell.status in RETRYABLE for cell in cells),
        "running": next((cell for cell in cells if cell.status == "running"), None),
        "paused": engine.is_paused,
        "ahead": count_ahead([cell.run_id for cell in cells], waiting, engine.find_current()) if going else 0,
        "seconds_left": engine.estimate_seconds_left(now=now) if going else None,
        "map": sweep_view.render_live_map(cells, choose_plane(settings, shown.plane)),
        "planes": list_planes(settings),
        "plane": shown.plane,
        "findings": list_findings(settings),
        "best": None
        if going
        else min((cell for cell in cells if cell.comparable), key=attrgetter("loss_after"), default=None),
        "three_seeds": "" if going else _build_address_with_seeds(sweep.grid),
        "known": sweep_view.describe_exact_counts(sweep.grid, shown.lab.find_known_shape(model))
        if going
        else "",
        "first": sweep_view.describe_first_cell(cells) if going else "",
        "coming": sweep_view.announce_first_numbers(sweep.grid) if _begins_with_first(cells, waiting) else "",
        "one_rate": variants_share_one_rate(settings),
        "edge": find_edge_rates(settings),
        "choices": sweep_view.list_choices(cells),
        "choice": shown.choice,
        "rows": sweep_view.list_sweep_rows(cells, waiting, shown.choice),
        "waiting": len(waiting),
        "varied": sweep.grid.varied,
        "axes": AXES,
        "typed": format_value,
        "retryable": RETRYABLE,
    }
    return {name: render(f"lora_lab/grid/{name.replace('-', '_')}.html", **values) for name in PARTS}


def _build_address_with_seeds(grid: Grid) -> str:
    """Build the address of the same grid with three seeds; empty for a grid that has more than one."""
    if len(grid.seeds) > 1:
        return ""
    first = grid.seeds[0]
    return build_grid_address(replace(grid, seeds=(first, first + 1, first + 2)))


def render_sweeps(shown: ShownGrid) -> Markup:
    rows = []
    for sweep in shown.lab.sweeps()[:SWEEPS_SHOWN]:
        cells = shown.lab.cells(sweep)
        title = sweep_view.format_title(sweep.grid, shorten_model_name(sweep.grid.base.model))
        rows.append((sweep, title, cells, [cell for cell in cells if cell.comparable]))
    chosen = shown.sweep.sweep_id if shown.sweep else ""
    return render(
        "lora_lab/grid/sweeps.html",
        rows=rows,
        shown=chosen,
        address=build_sweep_address,
        own_data=OWN_DATA,
        damaged=shown.lab.scan_damaged_sweeps(),
    )


def build_token(shown: ShownGrid) -> str:
    """Return a token that changes whenever the plots have new points."""
    if shown.sweep is None:
        return "none"
    measured = sum(cell.measured for cell in shown.cells)
    ended = sum(cell.ended for cell in shown.cells)
    return f"{shown.sweep.sweep_id}-{shown.plane}-{measured}-{ended}"


def _is_stopping(lab: Lab, cells: Sequence[GridCell]) -> bool:
    """Return whether all that is left of a grid was asked to stop, so that no time left can be told."""
    runs_dir = lab.settings.runs_dir
    left = [RunFolder(runs_dir / cell.run_id) for cell in cells if not cell.ended]
    return bool(left) and all(run.stop_path.exists() for run in left)


def _begins_with_first(cells: Sequence[GridCell], waiting: Sequence[str]) -> bool:
    """Return whether nothing is measured and the grid's first cell runs or is next, as nobody moved it."""
    ours = {cell.run_id for cell in cells}
    ahead = next((run_id for run_id in waiting if run_id in ours), "")
    at_work = cells[0].status == "running" or ahead == cells[0].run_id != ""
    return at_work and not any(cell.measured for cell in cells)
