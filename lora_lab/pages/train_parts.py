"""The parts of the Lab page about a setting: its cost, its charts, and what the model sees of the data."""

from collections.abc import Iterable
from dataclasses import asdict, replace
from typing import Any

from markupsafe import Markup

from lora_lab.charts.memory import KEY_NAMES
from lora_lab.lab import Lab
from lora_lab.memory.ledger import (
    COMPONENTS,
    MODELLED_TYPES,
    bits_per_param,
    find_upper_bound,
    predict_ledger,
)
from lora_lab.memory.optimizer_state import SMALLEST_8BIT_NUMBERS, fp32_moments
from lora_lab.pages.shared_parts import render_machine
from lora_lab.parameters.shapes import ModelShape
from lora_lab.predictions.judging import FACTOR
from lora_lab.predictions.run_predictions import Predictions
from lora_lab.runs.cost_preview import Preview, build_preview, estimate_training_seconds
from lora_lab.settings.run_form import Preset, build_address, format_command, read_presets
from lora_lab.spec import EMBEDDED_MODEL, TINY_MODEL, RunSpec
from lora_lab.views import setting_plots
from lora_lab.views.token_preview import SHOWN_TOKENS, build_seen
from study.base.errors import LearnerError
from study.base.html import NO_HTML
from study.base.units import GB
from study.plots.plot import Plot
from study.store.logs.predictions import Prediction
from study.text.templates import render

PRESET_SIZES_GB = (0.25, 0.5, 1, 2, 4, 8, 16, 24, 32, 48, 80)


class SettingParts:
    """Renders what the Lab page says about a setting before it is run."""

    def __init__(self, lab: Lab, predictions: Predictions) -> None:
        self._lab = lab
        self._predictions = predictions

    def list_sized_presets(self) -> list[tuple[Preset, float]]:
        """Return the presets with the memory that each one needs, in GB."""
        return [
            (preset, find_preset_size_gb(preset.spec, self._lab.home.find_shape(preset.spec.model)))
            for preset in read_presets()
        ]

    def render_prediction_form(self, spec: RunSpec, *, rival: str = "") -> dict[str, Markup]:
        """Render the form of a prediction instead of all that would give the answer away.

        The earlier run `rival` is named first.
        """
        hidden = render("lora_lab/lab/hidden.html")
        form = render(
            "lora_lab/lab/predict.html",
            rivals=self._predictions.list_rivals(spec),
            rival=rival,
            factor=FACTOR,
        )
        return replace_cost(form) | {"plots": hidden, "plots-more": hidden, "counted": hidden}

    def render_cost_sheet(
        self, spec: RunSpec, kept: Prediction | None = None, *, browser_id: str
    ) -> dict[str, Markup]:
        """Render what a setting costs. Raises LearnerError when its model can't be read."""
        return self.render_cost_parts(spec, self.find(spec, browser_id=browser_id), kept)

    def render_cost_parts(
        self, spec: RunSpec, found: Preview | None, kept: Prediction | None
    ) -> dict[str, Markup]:
        """Render the two numbers, what else is worth saying, and how they come about."""
        if found is None:
            return replace_cost(render("lora_lab/shared/reading.html", model=spec.model))
        guess = self._predictions.summarize(kept, spec) if kept else None
        values = {"guess": guess, **self._list_values(found)}
        return {
            "cost": render("lora_lab/lab/cost.html", **values) + render_machine(self._lab),
            "notes": render("lora_lab/lab/cost_notes.html", **values),
            "counted": render("lora_lab/lab/cost_counted.html", **values),
        }

    def find(self, spec: RunSpec, *, browser_id: str) -> Preview | None:
        """Return None while a worker reads the model's shape. Raises LearnerError when it can't be read."""
        return self.preview(spec) if self._lab.ask_for_shape(spec.model, browser_id=browser_id) else None

    def preview(self, spec: RunSpec) -> Preview | None:
        """Return None while the model's shape is unknown."""
        digest = self._lab.uploads.find(spec.data).digest
        if self._lab.find_known_shape(spec.model) is None:
            return None
        return build_preview(self._lab.home, spec, digest)

    def find_too_large(self, spec: RunSpec) -> Preview | None:
        """Return the preview of a run that is predicted to need more memory than the machine has; None if it
        fits, and while the model's shape is unknown.
        """
        found = self.preview(spec)
        return None if found is None or found.fits else found

    def _list_values(self, found: Preview) -> dict[str, Any]:
        sixteen = predict_ledger(found.shape, replace(found.spec, bits="bf16"), found.row, found.compute)
        narrowest = min((min(m.d_in, m.d_out), m.suffix) for m in found.shape.select(found.spec.targets))
        return {
            "found": found,
            "spec": found.spec,
            "saved_bytes": sixteen.total_bytes - found.ledger.total_bytes,
            "seconds": estimate_training_seconds(found, self._lab.runs()),
            "narrowest": narrowest,
            "embedded": found.spec.model == EMBEDDED_MODEL,
            "untrained": found.spec.model == TINY_MODEL,
            "modelled": found.shape.model_type in MODELLED_TYPES,
            "stored_bits": bits_per_param(found.spec.bits),
            "fp32_moments": fp32_moments(found.shape.select(found.spec.targets), found.spec),
            "smallest_8bit": SMALLEST_8BIT_NUMBERS,
            "on_gpu": found.row.on_gpu,
            "command": format_command(found.spec, data_file=self._lab.uploads.find(found.spec.data).label),
        }

    def render_plots_by_rank(self, found: Preview, *, narrow: bool) -> Markup:
        return self._render_plots(found, setting_plots.plot_by_rank(self._lab, found), narrow=narrow)

    def render_plots_by_bits(self, found: Preview, *, narrow: bool) -> Markup:
        return self._render_plots(found, setting_plots.plot_by_bits(self._lab, found), narrow=narrow)

    def _render_plots(self, found: Preview, plots: Iterable[Plot], *, narrow: bool) -> Markup:
        parts = asdict(found.ledger)
        return render(
            "lora_lab/lab/form_plots.html",
            plots=[(plot, setting_plots.draw_beside_form(plot, narrow=narrow)) for plot in plots],
            spec=found.spec,
            components=[
                (field, KEY_NAMES.get(field, name), parts[field])
                for field, name in COMPONENTS
                if parts[field]
            ],
            query=build_address(found.spec).partition("?")[2],
        )

    def render_seen(self, spec: RunSpec, *, narrow: bool = False) -> dict[str, Markup]:
        """Render what the model sees of the data, if a worker has tokenized it."""
        try:
            digest = self._lab.uploads.find(spec.data).digest
        except LearnerError:
            return {"seen-title": NO_HTML, "seen": NO_HTML}  # the cost part shows the error
        values = {
            "seen": build_seen(self._lab.home, spec, digest, narrow=narrow),
            "problem": self._lab.home.read_token_problem(spec.model, digest),
            "reading": self._lab.is_reading(spec.model, spec.data),
            "model": spec.model,
            "shown": SHOWN_TOKENS,
        }
        return {
            "seen-title": render("lora_lab/lab/seen_title.html", **values),
            "seen": render("lora_lab/lab/seen.html", **values),
        }


def replace_cost(instead: Markup) -> dict[str, Markup]:
    """Return the parts of the cost with something else in their place."""
    return {"cost": instead, "notes": NO_HTML, "counted": NO_HTML}


def replace_figures(instead: Markup) -> dict[str, Markup]:
    """Return the parts of a setting that has no numbers; the style sheet hides the plots of the last one."""
    return replace_cost(instead) | {"plots-more": NO_HTML}


def find_preset_size_gb(spec: RunSpec, shape: ModelShape) -> float:
    """Find the smallest usual memory, in GB, that holds a run of the lab's own loop in any compute type."""
    needed = max(
        predict_ledger(
            shape, replace(spec, compute_dtype=compute), find_upper_bound(spec), compute
        ).total_bytes
        for compute in ("fp32", "bf16")
        if spec.compute_dtype in ("auto", compute)
    )
    return next(size for size in (*PRESET_SIZES_GB, needed / GB) if size * GB >= needed)
