"""Files to keep: plots as PNG, SVG and CSV, adapters, runs. Served by id, never by path."""

import csv
import io
import json
import math
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import PlainTextResponse, Response

from lora_lab.charts import plots_of
from lora_lab.form import spec_of_address
from lora_lab.lab import Lab
from lora_lab.plots import render, to_csv
from lora_lab.preview import preview
from lora_lab.published_memory import published_memory
from study.errors import LearnerError

MEDIA = {"png": "image/png", "svg": "image/svg+xml", "csv": "text/csv; charset=utf-8"}
STEP_FIELDS = (
    "step", "loss", "learning_rate", "grad_norm", "tokens", "seconds", "live_bytes", "peak_bytes",
)  # fmt: skip
BOM = "\ufeff"  # so that a spreadsheet reads UTF-8


def register(site: FastAPI, lab: Lab) -> None:
    """Add the routes; they stand before the pages."""
    files = Downloads(lab)
    site.get("/lab/plots/{name}.{ending}")(files.plot)
    site.get("/lab/runs/{run_id}/adapter.zip")(files.adapter)
    site.get("/lab/runs/{run_id}/run.json")(files.run)
    site.get("/lab/runs/{run_id}/steps.csv")(files.steps)
    site.get("/lab/memory/published.csv")(files.published_memory)
    site.get("/lab/memory/measured.csv")(files.measured_memory)


class Downloads:
    """One method a route; each answers a missing thing with a sentence and status 404."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab

    def plot(self, name: str, ending: str, request: Request) -> Response:
        """A plot of the setting that the address names."""
        try:
            spec = spec_of_address(dict(request.query_params))
            found = preview(self._lab.home, spec, self._lab.uploads.find(spec.data).digest)
            plot = next(plot for plot in plots_of(self._lab, found) if plot.name == name)
        except StopIteration:
            return _missing(f"There is no plot named {name}.")
        except LearnerError as error:
            return _missing(str(error))
        match ending:
            case "png" | "svg":
                content = render(plot, ending, on_page=False)
            case "csv":
                content = (BOM + to_csv(plot)).encode()
            case _:
                return _missing(f"Plots come as png, svg and csv, not as {ending}.")
        return _file(content, MEDIA[ending], f"{name}-r{spec.rank}-{spec.bits}.{ending}")

    def adapter(self, run_id: str) -> Response:
        """The adapter folder as PEFT saves it, in a zip."""
        try:
            run = self._lab.run(run_id)
        except LearnerError as error:
            return _missing(str(error))
        if not run.adapter_path.is_dir():
            return _missing("This run has saved no adapter.")
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
            for path in sorted(run.adapter_path.iterdir()):
                archive.write(path, f"adapter/{path.name}")
        return _file(packed.getvalue(), "application/zip", f"adapter-{run_id}.zip")

    def run(self, run_id: str) -> Response:
        """Settings, versions, every measured step and the answers, as JSON."""
        try:
            run = self._lab.run(run_id)
        except LearnerError as error:
            return _missing(str(error))
        content = {"spec": json.loads(run.spec.to_json()), "events": run.events(), "samples": run.samples()}
        text = json.dumps(_strict(content), indent=1, allow_nan=False)
        return _file(text.encode(), "application/json", f"run-{run_id}.json")

    def steps(self, run_id: str) -> Response:
        """One line a step."""
        try:
            state = self._lab.state(self._lab.run(run_id))
        except LearnerError as error:
            return _missing(str(error))
        return _file((BOM + _steps_csv(state.steps)).encode(), MEDIA["csv"], f"steps-{run_id}.csv")

    def published_memory(self) -> Response:
        """Every published peak beside its prediction."""
        rows = [
            {
                "id": row.id,
                "measured_bytes": row.measured_bytes,
                "predicted_bytes": row.predicted_bytes,
                "error_percent": f"{row.error_percent:.2f}",
                "use": row.use,
                "source": row.source,
                "setting": json.dumps(row.record),
            }
            for row in published_memory()
        ]
        return _file((BOM + _csv(rows)).encode(), MEDIA["csv"], "memory-published.csv")

    def measured_memory(self) -> Response:
        """Every measured run of this machine beside its prediction."""
        rows = [
            {
                "run": run.run_id,
                "device": run.device_name,
                "compute_dtype": run.compute,
                "steps": run.steps,
                "predicted_bytes": run.predicted_bytes,
                "measured_bytes": run.peak_bytes,
                "measured_above_predicted_percent": f"{run.error_percent:.3f}",
                "setting": run.spec.to_json(),
            }
            for run in self._lab.measured()
        ]
        if not rows:
            return _missing("No run of this machine has been measured yet.")
        return _file((BOM + _csv(rows)).encode(), MEDIA["csv"], "memory-measured.csv")


def _csv(rows: Sequence[Mapping[str, Any]]) -> str:
    file = io.StringIO()
    writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return file.getvalue()


def _strict(value: Any) -> Any:
    """JSON knows no NaN and no infinity, and other readers refuse the file for them: they become words."""
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)
    if isinstance(value, dict):
        return {name: _strict(item) for name, item in value.items()}
    return [_strict(item) for item in value] if isinstance(value, list) else value


def _steps_csv(steps: tuple[Mapping[str, Any], ...]) -> str:
    file = io.StringIO()
    writer = csv.DictWriter(file, STEP_FIELDS, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows(steps)
    return file.getvalue()


def _file(content: bytes, media: str, name: str) -> Response:
    kept = {"Content-Disposition": f'attachment; filename="{name}"', "Cache-Control": "no-store"}
    return Response(content, media_type=media, headers=kept)


def _missing(text: str) -> Response:
    return PlainTextResponse(text, status_code=404)
