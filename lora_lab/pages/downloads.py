"""Downloads: plots as PNG, SVG and CSV, adapters, runs. Served by id, never by path."""

import io
import json
import zipfile

from fastapi import FastAPI, Request
from fastapi.responses import Response, StreamingResponse

from lora_lab.charts.grid import choose_plane, draw_grid_plots
from lora_lab.grids.results import group_by_setting
from lora_lab.lab import Lab
from lora_lab.papers.published_memory import read_published_memory
from lora_lab.runs.cost_preview import build_preview
from lora_lab.runs.export_script import build_script
from lora_lab.runs.merged_model import Merged
from lora_lab.runs.run_file import run_file
from lora_lab.runs.table import ResultsTable, format_csv
from lora_lab.settings.run_form import parse_spec_address
from lora_lab.views.grid_report import format_sweep_json, render_report
from lora_lab.views.model_card import read_adapter_files, write_merged_card
from lora_lab.views.setting_plots import plot_setting
from lora_lab.xray.service import XrayService
from study.base.errors import LearnerError
from study.web.downloads import (
    answer_not_found,
    answer_with_file,
    answer_with_table,
    build_attachment_headers,
    plot_response,
)

STEP_FIELDS = (
    "step", "loss", "learning_rate", "grad_norm", "tokens", "seconds", "live_bytes", "peak_bytes",
    "shared_by", "shared_seconds", "group_live_bytes", "group_peak_bytes",
)  # fmt: skip


def register(site: FastAPI, lab: Lab) -> None:
    """Add the routes, which must precede the pages; any route answers a LearnerError with status 404."""
    site.add_exception_handler(LearnerError, lambda _, error: answer_not_found(str(error)))
    files = Downloads(lab)
    site.get("/lab/plots/{name}.{ending}")(files.send_plot)
    site.get("/lab/runs/{run_id}/adapter.zip")(files.send_adapter)
    site.get("/lab/runs/{run_id}/merged.zip")(files.stream_merged)
    site.get("/lab/runs/{run_id}/run.json")(files.run)
    site.get("/lab/runs/{run_id}/run.py")(files.send_script)
    site.get("/lab/runs/{run_id}/steps.csv")(files.send_steps)
    site.get("/lab/sweeps/{sweep_id}/cells.csv")(files.send_cells)
    site.get("/lab/sweeps/{sweep_id}/sweep.json")(files.send_sweep)
    site.get("/lab/sweeps/{sweep_id}/report.html")(files.send_report)
    site.get("/lab/sweeps/{sweep_id}/plots/{name}.{ending}")(files.serve_sweep_plot)
    site.get("/lab/xray/plots/{name}.{ending}")(files.serve_xray_plot)
    site.get("/lab/memory/published.csv")(files.send_published_memory)
    site.get("/lab/memory/measured.csv")(files.serve_measured_memory)


class Downloads:
    """Route handlers, one method per route; a missing item gets a sentence and status 404."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab

    def send_plot(self, name: str, ending: str, request: Request) -> Response:
        """Send a plot of the setting that the address names."""
        try:
            spec = parse_spec_address(dict(request.query_params))
            found = build_preview(self._lab.home, spec, self._lab.uploads.find(spec.data).digest)
            plot = next(plot for plot in plot_setting(self._lab, found) if plot.name == name)
        except StopIteration:
            return answer_not_found(f"There is no plot named {name}.")
        return plot_response(plot, ending, f"{name}-r{spec.rank}-{spec.bits}")

    def send_adapter(self, run_id: str) -> Response:
        """Send the adapter as PEFT loads it on any machine, in a zip."""
        run = self._lab.run(run_id)
        if not run.has_adapter:
            return answer_not_found("This run has saved no adapter.")
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
            for name, content in sorted(read_adapter_files(run, self._lab.home).items()):
                archive.writestr(f"adapter/{name}", content)
        return answer_with_file(packed.getvalue(), "application/zip", f"adapter-{run_id}.zip")

    def stream_merged(self, run_id: str) -> Response:
        """Stream the merged model in a zip that is built while it is sent."""
        merged = Merged(self._lab.run(run_id))
        if merged.state["state"] != "done":
            return answer_not_found(
                "This run has not been merged yet. Press Merge into one model on the Lab page."
            )
        headers = build_attachment_headers(f"merged-{run_id}.zip")
        card = write_merged_card(merged.run, self._lab.home)
        return StreamingResponse(merged.stream_zip(card), media_type="application/zip", headers=headers)

    def run(self, run_id: str) -> Response:
        """Return settings, data, versions, every measured step and the answers, as importable JSON."""
        text = run_file(self._lab.run(run_id))
        return answer_with_file(text.encode(errors="replace"), "application/json", f"run-{run_id}.json")

    def send_script(self, run_id: str) -> Response:
        """Send the run as one Python script that doesn't need this project."""
        text = build_script(self._lab.run(run_id), self._lab.home, self._lab.settings.models_dir)
        return answer_with_file(text.encode(), "text/x-python; charset=utf-8", f"run-{run_id}.py")

    def send_steps(self, run_id: str) -> Response:
        state = self._lab.run(run_id).state()
        return answer_with_table(format_csv(state.steps, STEP_FIELDS), f"steps-{run_id}")

    def send_published_memory(self) -> Response:
        rows = [
            {
                "id": row.id,
                "measured_bytes": row.measured_bytes,
                "predicted_bytes": row.predicted_bytes,
                "error_percent": round(row.error_percent, 2),
                "use": row.use,
                "source": row.source,
                "setting": json.dumps(row.record),
            }
            for row in read_published_memory()
        ]
        return answer_with_table(format_csv(rows, list(rows[0])), "memory-published")

    def serve_measured_memory(self) -> Response:
        """Return every measured run of this machine with the peak computed for it."""
        rows = [
            {
                "run": run.run_id,
                "device": run.device_name,
                "compute_dtype": run.compute,
                "steps": run.steps,
                "predicted_bytes": run.predicted_bytes,
                "measured_bytes": run.peak_bytes,
                "measured_above_predicted_percent": round(run.error_percent, 3),
                "setting": run.spec.to_json(),
            }
            for run in self._lab.list_measured_peaks()
        ]
        if not rows:
            return answer_not_found("No run of this machine has been measured yet.")
        return answer_with_table(format_csv(rows, list(rows[0])), "memory-measured")

    def send_cells(self, sweep_id: str) -> Response:
        sweep, settings = self._lab.sweep(sweep_id), self._lab.settings
        return answer_with_table(ResultsTable(settings.runs_dir, settings.sweeps_dir).text(sweep), sweep_id)

    def send_sweep(self, sweep_id: str) -> Response:
        """Send grid, cells and findings as JSON."""
        sweep = self._lab.sweep(sweep_id)
        text = format_sweep_json(sweep, self._lab.cells(sweep))
        return answer_with_file(text.encode(), "application/json", f"{sweep_id}.json")

    def send_report(self, sweep_id: str) -> Response:
        """Send one self-contained HTML file, to open in the browser and save from there."""
        sweep = self._lab.sweep(sweep_id)
        text = render_report(sweep, self._lab.cells(sweep))
        named = {"Content-Disposition": f'inline; filename="{sweep_id}.html"', "Cache-Control": "no-store"}
        return Response(text, media_type="text/html; charset=utf-8", headers=named)

    def serve_sweep_plot(self, sweep_id: str, name: str, ending: str, plane: int = 0) -> Response:
        """Return a plot of a sweep, for one of its pairs of target set and variant."""
        try:
            settings = group_by_setting(self._lab.cells(self._lab.sweep(sweep_id)))
            plot = next(
                plot for plot in draw_grid_plots(settings, choose_plane(settings, plane)) if plot.name == name
            )
        except StopIteration:
            return answer_not_found(f"There is no plot named {name}, or no cell has finished yet.")
        return plot_response(plot, ending, f"{name}-{sweep_id}")

    def serve_xray_plot(self, name: str, ending: str, request: Request) -> Response:
        """Return a plot of an X-ray, for the runs and the matrix that the address names."""
        status = XrayService(self._lab).read_status(dict(request.query_params))
        plots = status.draw_plots() if status else iter(())
        found = next((plot for plot in plots if plot.name == name), None)
        if status is None or found is None:
            return answer_not_found(f"There is no plot named {name}, or the run has not been X-rayed yet.")
        return plot_response(found, ending, f"{name}-{status.run.run_id}")
