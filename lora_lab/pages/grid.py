"""The Grid page: start a rank x bit width sweep, follow its cells, compare and export them."""

from collections.abc import Mapping
from typing import Any

import gradio as gr
from markupsafe import Markup

from lora_lab.charts.grid import choose_plane, draw_grid_plots
from lora_lab.data.datasets import MAX_FILE_BYTES
from lora_lab.grids.estimate import estimate_here
from lora_lab.grids.results import group_by_setting
from lora_lab.lab import Lab
from lora_lab.pages import form_fields
from lora_lab.pages.grid_parts import (
    ShownGrid,
    build_token,
    find_reference,
    render_cost,
    render_sweep,
    render_sweeps,
)
from lora_lab.pages.shared_parts import (
    FILE_ACTS,
    LONGEST_NAME,
    WORKER_ACTS,
    handle_file_act,
    handle_worker_act,
    is_for_another_machine,
    render_data,
    render_problem,
    render_trouble,
    render_worker,
)
from lora_lab.parameters.json_fields import parse_digits
from lora_lab.runs.durations import estimate_time_of_all
from lora_lab.runs.sweeps import Sweep
from lora_lab.settings import grid_form
from lora_lab.settings.grid import AXES, Grid
from lora_lab.settings.grid_form import format_list, parse_grid_address, read_grid_presets
from lora_lab.settings.run_form import OTHER, format_value
from lora_lab.settings.urls import GRID, LAB, select_origin_fields
from lora_lab.spec import OPTIMIZERS, TARGET_LABELS, VARIANTS
from lora_lab.views import setting_plots
from lora_lab.views.options import BITS_WITH_SHORT_NAMES, group_model_choices
from lora_lab.views.sweep_view import CHOICE_NAMES, TableChoice, say_progress
from lora_lab.views.tabs import render_tabs
from study.base.errors import LearnerError
from study.base.html import NO_HTML
from study.base.units import as_bytes
from study.io.set_aside import set_aside
from study.ports.context import Context
from study.text.templates import render
from study.web import form_event, frame
from study.web.frame import Reply
from study.web.fresh_browser import stop_asking

GRID_NAMES = (*grid_form.BASE_NAMES, *AXES, "alpha_per_rank", "preset")

LEARNERS_MAY = ("change", "draw", "poll", "filter", "sort", "plane", "rates")


class GridPage:
    """Handlers of the page. All content is read from folders on every request; nothing is cached here."""

    place = frame.IslandPlace(
        elem_id="grid", title="Grid", path=GRID, under=LAB, look="lab", learners_may=LEARNERS_MAY
    )

    def __init__(self, context: Context, lab: Lab) -> None:
        self._context = context
        self._lab = lab

    def load(self, request: gr.Request) -> Markup:
        """Render the page for the grid and sweep that the address names."""
        query = form_fields.read_page_query(request)
        shown = self._read_shown(query)
        visit = frame.open_visit(self._context, request)
        return self._render_page(_parse_grid(query, shown), shown, browser_id=visit.reads_for)

    def act(self, event: dict[str, Any], request: gr.Request) -> Reply:
        visit = frame.open_visit(self._context, request, event)
        query = dict(visit.query)
        match event.get("act"):
            case "change":
                return self._change(event, query, browser_id=visit.reads_for)
            case "draw":
                return self._draw(event, query)
            case "poll":
                return self._poll(event, query)
            case "start":
                reply = self._start(event, query)
                stop_asking(self._context, visit)
                return reply
            case "filter" | "sort" | "plane" as what:
                return self._arrange(what, event, query)
            case act if act in FILE_ACTS:
                return handle_file_act(self._lab, event, visit)
            case "rates":
                return self._sweep_rates(event, query, browser_id=visit.reads_for)
            case act if act in WORKER_ACTS:
                return handle_worker_act(self._lab, event)
            case "delete":
                return self._delete(event, query)
            case "set-aside":
                return self._set_aside(query)
            case "pause" | "resume" | "stop" | "stop-sweep" | "move" | "retry" | "retry-sweep" as what:
                return self._change_queue(what, event, query)
        raise form_event.build_unknown_act_error(event)

    # ---- the form and what it costs

    def _change(self, event: Mapping[str, Any], query: Mapping[str, str], *, browser_id: str) -> Reply:
        try:
            grid = form_fields.parse_grid(form_fields.read_form_fields(event))
            cost = render_cost(self._lab, grid, browser_id=browser_id)
        except LearnerError as error:
            return {"parts": {"cost": render_problem(error)}}
        return {"parts": {"cost": cost}, "url": self._read_shown(query).address(grid)}

    def _sweep_rates(self, event: Mapping[str, Any], query: Mapping[str, str], *, browser_id: str) -> Reply:
        shown = self._read_shown(query)
        of = shown.sweep if form_event.read_field(event, "of") == "sweep" else None
        grid = of.grid if of else form_fields.parse_grid(form_fields.read_form_fields(event))
        grid = grid_form.with_rate_sweep(grid)
        return {
            "html": self._render_page(grid, shown, browser_id=browser_id),
            "url": shown.address(grid),
            "say": f"Learning rates {format_list(grid.learning_rates)}: {grid.count} cells.",
            "focus": "#learning_rates",
        }

    # ---- the queue

    def _start(self, event: Mapping[str, Any], query: Mapping[str, str]) -> Reply:
        grid = form_fields.parse_grid(form_fields.read_form_fields(event))
        dataset = self._lab.uploads.find(grid.base.data)
        found = estimate_here(self._lab.home, grid, dataset.digest, [])
        if not found.fits and event.get("sure") != "yes":
            raise LearnerError(
                f"The largest cell needs {as_bytes(found.largest.ledger.total_bytes)}, "
                f"and {found.free_memory}.",
                do_next=(
                    "Make it smaller, or press Start anyway: cells that do not fit may fail, and the others "
                    "go on."
                ),
            )
        sweep = self._lab.engine.submit_sweep(grid, dataset, now=self._context.clock(), one_alone=True)
        shown = self._read_shown({**select_origin_fields(query), "sweep": sweep.sweep_id})
        return {
            "parts": self._render_parts(shown) | {"plots": NO_HTML, "sweeps": render_sweeps(shown)},
            "url": shown.address(grid),
            "say": f"{grid.count} cells queued.",
            "focus": "#sweep",
            "then": "draw",
        }

    def _change_queue(self, what: str, event: Mapping[str, Any], query: Mapping[str, str]) -> Reply:
        engine, now = self._lab.engine, self._context.clock()
        match what:
            case "pause":
                engine.pause()
                said = "The queue is paused; the cell that is running continues."
            case "resume":
                engine.resume()
                said = "The queue continues."
            case "stop":
                engine.stop(form_event.read_text(event, "run"))
                said = "Cancelled."
            case "stop-sweep":
                engine.stop_sweep(form_event.read_text(event, "sweep"))
                said = "All waiting cells are cancelled; the one that runs stops after its step."
            case "retry-sweep":
                count = engine.retry_sweep(form_event.read_text(event, "sweep"), now=now)
                said = f"{count} {'cell' if count == 1 else 'cells'} queued again."
                return {"parts": self._render_parts(self._read_shown(query)), "say": said, "focus": "#sweep"}
            case "move":
                said = self._move(form_event.read_text(event, "run"), form_event.read_text(event, "by"))
            case _:
                engine.retry(form_event.read_text(event, "run"), now=now)
                said = "Queued again."
        return {"parts": self._render_parts(self._read_shown(query)), "say": said}

    def _move(self, run_id: str, by: str) -> str:
        waiting = self._lab.engine.list_waiting()
        if run_id not in waiting:
            raise LearnerError(
                "That cell is no longer waiting.", do_next="Reload the page: it has begun, or was cancelled."
            )
        place = max(0, waiting.index(run_id) + (-1 if by == "up" else 1))
        self._lab.engine.move(run_id, place)
        return f"Now number {self._lab.engine.list_waiting().index(run_id) + 1} in the queue."

    def _delete(self, event: Mapping[str, Any], query: dict[str, str]) -> Reply:
        sweep = self._lab.sweep(form_event.read_text(event, "sweep"))
        if not all(cell.ended for cell in self._lab.cells(sweep)):
            raise LearnerError("Some of its cells have not ended.", do_next="Stop the grid first.")
        self._lab.delete_sweep(sweep)
        if query.get("sweep") == sweep.sweep_id:
            query.pop("sweep")
        shown = self._read_shown(query)
        return {
            "parts": self._render_parts(shown) | {"plots": NO_HTML, "sweeps": render_sweeps(shown)},
            "url": shown.address(_parse_grid(query, shown)),
            "say": "Grid deleted.",
            "then": "draw",
        }

    def _set_aside(self, query: Mapping[str, str]) -> Reply:
        set_aside(self._lab.scan_damaged_sweeps(), self._lab.settings.home)
        return {
            "parts": {"sweeps": render_sweeps(self._read_shown(query))},
            "say": "Moved to set-aside/sweeps in the data folder.",
            "focus": "#sweeps-title",
        }

    # ---- what is shown

    def _poll(self, event: Mapping[str, Any], query: Mapping[str, str]) -> Reply:
        shown = self._read_shown(query)
        parts = self._render_parts(shown) | {
            "worker": self._render_worker(shown),
            "sweeps": render_sweeps(shown),
            "trouble": self._render_gone(query),
        }
        reply: Reply = {"parts": parts}
        if shown.sweep and event.get("going") == shown.sweep.sweep_id and all(c.ended for c in shown.cells):
            reply["say"] = f"The grid: {say_progress(shown.cells)}."
        reading, paces = (form_event.read_field(event, name) for name in ("reading", "paces"))
        has_new_pace = paces and paces != str(len(self._lab.paces.list_newest_first()))
        if reading or has_new_pace or is_for_another_machine(self._lab, event):
            reply["then"] = "change"
        elif form_event.read_field(event, "drawn") != build_token(shown):
            reply["then"] = "draw"
        return reply

    def _draw(self, event: Mapping[str, Any], query: Mapping[str, str]) -> Reply:
        shown = self._read_shown(query)
        narrow = form_fields.is_narrow(event)
        settings = group_by_setting(shown.cells)
        plots = list(draw_grid_plots(settings, choose_plane(settings, shown.plane))) if settings else []
        html = render(
            "lora_lab/grid/plots.html",
            plots=[(plot, setting_plots.render_plot_part(plot, narrow=narrow)) for plot in plots],
            sweep=shown.sweep,
            plane=shown.plane,
        )
        token = render("lora_lab/shared/drawn.html", drawn=build_token(shown))
        return {"parts": {"plots": html, "drawn": token}}

    def _arrange(self, what: str, event: Mapping[str, Any], query: dict[str, str]) -> Reply:
        """Apply another filter, order or plane: only the address changes, and the parts that depend on it."""
        choice, value = TableChoice.parse(query), form_event.read_text(event, "value")
        if what == "plane":
            query["plane"] = value
        else:
            if what == "sort":
                choice = choice.sort_by(value)
            else:
                choice = choice.toggle(form_event.read_text(event, "name"), value)
            query = {name: text for name, text in query.items() if name not in CHOICE_NAMES} | choice.query()
        shown = self._read_shown(query)
        reply: Reply = {"parts": self._render_parts(shown), "url": shown.address(_parse_grid(query, shown))}
        if what == "plane":
            reply["then"] = "draw"
        return reply

    def _read_shown(self, query: Mapping[str, str]) -> ShownGrid:
        return ShownGrid(
            lab=self._lab,
            sweep=self._find_sweep(query),
            choice=TableChoice.parse(query),
            plane=parse_digits(query.get("plane", "")) or 0,
            query=query,
        )

    def _find_sweep(self, query: Mapping[str, str]) -> Sweep | None:
        """Find the sweep in the address; else the one in progress; else the newest."""
        current = self._lab.engine.find_current()
        sweeps = self._lab.sweeps()
        named = [sweep for sweep in sweeps if sweep.sweep_id == query.get("sweep")]
        at_work = [sweep for sweep in sweeps if current in sweep.run_ids]
        return next(iter([*named, *at_work, *sweeps]), None)

    def _render_gone(self, query: Mapping[str, str]) -> Markup:
        """Render that the grid in the address is gone; nothing if it is there."""
        named = query.get("sweep", "")
        is_gone = named and all(sweep.sweep_id != named for sweep in self._lab.sweeps())
        problems = [f"The grid {named[:LONGEST_NAME]} is no longer here."] if is_gone else []
        return render_trouble(problems, do_next="Choose one of “Earlier grids”, at the end of this page.")

    def _render_page(self, grid: Grid, shown: ShownGrid, *, browser_id: str) -> Markup:
        try:
            cost = render_cost(self._lab, grid, browser_id=browser_id)
        except LearnerError as error:
            cost = render_problem(error)
        paces, reference = self._lab.paces.list_newest_first(), find_reference(self._lab)
        presets = [
            (
                preset,
                preset.grid.list_specs(),
                self._lab.count_cells_together(preset.grid, first_seed=preset.grid.seeds[0]),
            )
            for preset in read_grid_presets()
        ]
        return render(
            "lora_lab/grid/grid.html",
            tabs=render_tabs(GRID, "Grid", shown.query),
            trouble=self._render_gone(shown.query),
            upload_limit=MAX_FILE_BYTES,
            grid=grid,
            base=grid.base,
            typed=format_value,
            listed=format_list,
            presets=[
                (
                    preset,
                    estimate_time_of_all(specs, paces, together=together),
                    reference.estimate_seconds(specs, together=together) if reference else None,
                )
                for preset, specs, together in presets
            ],
            reference=reference,
            models=group_model_choices(grid.base.model),
            other=OTHER,
            bits=BITS_WITH_SHORT_NAMES,
            targets=TARGET_LABELS.items(),
            variants=VARIANTS,
            optimizers=OPTIMIZERS,
            cost=cost,
            data=render_data(self._lab, grid.base.data),
            worker=self._render_worker(shown),
            parts=self._render_parts(shown),
            sweeps=render_sweeps(shown),
        )

    def _render_worker(self, shown: ShownGrid) -> Markup:
        """Render the worker's part; a grid in progress has its own button for a paused queue."""
        return render_worker(self._lab, says_pause=all(cell.ended for cell in shown.cells))

    def _render_parts(self, shown: ShownGrid) -> dict[str, Markup]:
        return render_sweep(shown, now=self._context.clock())


def _parse_grid(query: Mapping[str, str], shown: ShownGrid) -> Grid:
    """Parse the grid in the address; if it has none, use the grid of the sweep shown."""
    if shown.sweep and "sweep" in query and not any(name in query for name in GRID_NAMES):
        return grid_form.normalize_grid(shown.sweep.grid)
    return parse_grid_address(query)
