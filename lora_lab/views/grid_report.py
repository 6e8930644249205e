"""A sweep as files: one self-contained HTML page, and JSON. Its CSV is in runs/table.py."""

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup

from lora_lab.charts.captions import shorten_model_name
from lora_lab.charts.grid import draw_grid_plots, list_planes
from lora_lab.grids.findings import find_edge_rates, list_findings, variants_share_one_rate
from lora_lab.grids.results import GridCell, group_by_setting
from lora_lab.runs.predicted_vs_measured import percent_above
from lora_lab.runs.sweeps import Sweep
from lora_lab.settings.grid import AXES
from lora_lab.settings.run_form import format_value
from lora_lab.views.sweep_view import format_factors, format_title
from study.plots.plot import Plot
from study.plots.render import render_on_page
from study.text.templates import render as render_template


def format_sweep_json(sweep: Sweep, cells: Sequence[GridCell]) -> str:
    """Return the grid, every cell with its settings and measurements, and the findings, as JSON."""
    content = {
        "sweep": sweep.sweep_id,
        "created_at": sweep.created_at,
        "grid": json.loads(sweep.grid.to_json()),
        "data": {"label": sweep.data_label, "digest": sweep.data_digest},
        "cells": [asdict(cell) | {"versions": dict(cell.versions)} for cell in cells],
        "findings": [
            asdict(found) | {"text": found.text} for found in list_findings(group_by_setting(cells))
        ],
    }
    return json.dumps(content, indent=1, allow_nan=False)


def render_report(sweep: Sweep, cells: Sequence[GridCell]) -> str:
    """Render one HTML file: inlined figures, every cell, settings, device, versions, and the method."""
    settings = group_by_setting(cells)
    return render_template(
        "lora_lab/grid/report.html",
        title=format_title(sweep.grid, shorten_model_name(sweep.grid.base.model)),
        factors=format_factors(sweep.grid),
        sweep=sweep,
        started=datetime.fromtimestamp(sweep.created_at, UTC),
        findings=list_findings(settings),
        one_rate=variants_share_one_rate(settings),
        edge=find_edge_rates(settings),
        **build_report_variables(sweep, cells),
    )


def build_report_variables(sweep: Sweep, cells: Sequence[GridCell]) -> dict[str, Any]:
    """Return the variables of a report's template about the cells, their settings, and where they ran."""
    return {
        "cells": list(enumerate(cells, start=1)),
        "percent_above": percent_above,
        "plots": [(plot, _render_plot(plot, number)) for number, plot in enumerate(_list_plots(cells))],
        "settings": _list_settings(sweep),
        "devices": sorted({f"{cell.device}, computing in {cell.compute}" for cell in cells if cell.device}),
        "versions": sorted({pair for cell in cells for pair in cell.versions}),
    }


def _render_plot(plot: Plot, number: int) -> Markup:
    """Render with ids that are unique in the file, because planes share plot names."""
    return render_on_page(replace(plot, name=f"{plot.name}-{number}"))


def _list_plots(cells: Sequence[GridCell]) -> list[Plot]:
    """List the plots of every target set and variant; the Pareto front, which covers them all, once."""
    settings = group_by_setting(cells)
    found: dict[tuple[str, str, str], Plot] = {}
    for plane in list_planes(settings):
        for plot in draw_grid_plots(settings, plane):
            found[(plot.name, *(("", "") if plot.name == "grid-front" else plane))] = plot
    return list(found.values())


def _list_settings(sweep: Sweep) -> list[tuple[str, str]]:
    """Return every setting: lists of the varied ones, and single values of the rest."""
    grid = sweep.grid
    values: dict[str, Any] = asdict(grid.base)
    values |= {field: ", ".join(map(_format_value, getattr(grid, axis))) for axis, field in AXES.items()}
    if grid.alpha_per_rank is not None:
        values["alpha"] = f"{grid.alpha_per_rank:g} × rank"
    values["data"] = f"{sweep.data_label} ({sweep.data_digest})"
    return [(name.replace("_", " "), _format_value(value)) for name, value in values.items()]


def _format_value(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return format_value(value)
