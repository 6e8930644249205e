"""Will it fit? One sentence on a setting and a GPU, what to change, and how far computed peaks are off."""

import json
import shlex
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from typing import Any

import gradio as gr
from markupsafe import Markup, escape

from lora_lab.charts.run_view import format_title
from lora_lab.data.machine import is_gpu
from lora_lab.lab import Lab
from lora_lab.memory.frameworks.contract import parse_setting
from lora_lab.memory.frameworks.forecast import forecast_step
from lora_lab.memory.gpus import CUDA_OVERHEAD_BYTES, GPUS, GpuModel
from lora_lab.memory.ledger import COMPONENTS
from lora_lab.pages import form_fields
from lora_lab.pages.shared_parts import NO_TROUBLE, render_problem, render_trouble
from lora_lab.papers.published_memory import read_published_memory
from lora_lab.parameters.adapter_config import UnsupportedCase
from lora_lab.runs.measured_cells import read_measured_cells
from lora_lab.settings.urls import LAB, MEMORY, with_origin
from lora_lab.spec import BITS_LABELS, TINY_MODEL, Bits
from lora_lab.views import fit, memory_form
from lora_lab.views.tabs import render_tabs
from study.base.errors import LearnerError
from study.base.html import NO_HTML
from study.base.units import GB
from study.text.templates import render
from study.web import form_event, frame
from study.web.frame import Reply

BITS_SHOWN: tuple[Bits, ...] = ("nf4-dq", "nf4", "int8", "bf16")
"""The columns of the table of models."""


class MemoryPage:
    """Handlers of the page; every number is computed on each request."""

    place = frame.IslandPlace(elem_id="memory", title="Will it fit?", path=MEMORY, under=LAB, look="lab")

    def __init__(self, lab: Lab) -> None:
        self._lab = lab

    def load(self, request: gr.Request) -> Markup:
        """Render the page for the setting in the address."""
        query = form_fields.read_page_query(request)
        found_bytes = self._found_bytes()
        if found_bytes:
            query = {"gpu": "found"} | query
        own = self._lab.home.read_shapes()
        # An address may be typed by hand: what is wrong in it is named, and the rest is kept.
        fields, problems = memory_form.read_fields(query, {shape.name for shape in own})
        return render(
            "lora_lab/memory/memory.html",
            tabs=render_tabs(MEMORY, "Will it fit?", query),
            fields=fields,
            trouble=render_trouble(
                [*problems.values()], do_next="Choose another value; the form has the usual one until then."
            ),
            models=memory_form.group_models(own),
            choices=memory_form.CHOICES,
            labels=memory_form.LABELS,
            largest=memory_form.LARGEST,
            more_is_open=any(fields[name] != memory_form.DEFAULTS[name] for name in memory_form.MORE),
            gpus=GPUS.values(),
            found_bytes=found_bytes,
            parts=self._answer_parts(fields),
            published=read_published_memory(),
            measured=[(run, format_title(run.spec)) for run in self._lab.list_measured_peaks()],
            cells=render("lora_lab/memory/cells.html", found=read_measured_cells()),
        )

    def act(self, event: dict[str, Any], request: gr.Request) -> Reply:
        """Handle a changed control: the verdict at once, then advice (`draw`), then the table (`table`)."""
        if event.get("act") not in ("change", "draw", "table"):
            raise form_event.build_unknown_act_error(event)
        given = form_fields.read_firsts(event, limit=200)
        own = {shape.name for shape in self._lab.home.read_shapes()}
        fields, problems = memory_form.read_fields({name: text.strip() for name, text in given.items()}, own)
        marks = _mark_fields(problems)
        if problems:
            return {"parts": {**_refuse(_name_wrong_fields(problems)), "advice": NO_HTML, **marks}}
        match event["act"]:
            case "draw":
                return {"parts": {"advice": self._render_advice(fields)}, "then": "table"}
            case "table":
                return {"parts": {"fits": self._render_fits(fields)}}
        return {
            # The advice is that of the setting before, until the browser has asked for this one's.
            "parts": {
                "advice": render("lora_lab/memory/advice_coming.html"),
                **self._answer_parts(fields),
                **marks,
                **NO_TROUBLE,
            },
            "url": with_origin(memory_form.build_address(fields), frame.read_event_query(event)),
            "then": "draw",
        }

    def _found_bytes(self) -> int:
        """Return the memory of this machine's GPU in bytes; 0 without a GPU."""
        device = self._lab.home.describe_device()
        return int(device.get("memory_bytes", 0)) if is_gpu(device) else 0

    def _gpu_bytes(self, fields: Mapping[str, str]) -> int:
        gpu = self._find_listed_gpu(fields)
        return gpu.total_bytes if gpu else self._found_bytes()

    def _name_gpu(self, fields: Mapping[str, str]) -> str:
        """Name the card by the size that people call it, or by what this machine's has."""
        gpu = self._find_listed_gpu(fields)
        return f"{gpu.gb} GB" if gpu else f"{self._found_bytes() / GB:.4g} GB"

    def _find_listed_gpu(self, fields: Mapping[str, str]) -> GpuModel | None:
        """Find the chosen card of the list; None for this machine's own."""
        is_found = fields["gpu"] == "found" and self._found_bytes()
        return None if is_found else GPUS[int(_choose_size(fields["gpu"]))]

    def _answer_parts(self, fields: Mapping[str, str]) -> dict[str, Markup]:
        """Render the verdict in one sentence, and the ledger behind it."""
        find, gpu = self._lab.home.find_shape, self._find_listed_gpu(fields)
        try:
            verdict = fit.compute_verdict(fields, self._gpu_bytes(fields), find)
            ledger = self._render_ledger(fields, verdict, gpu)
        except UnsupportedCase as case:
            error = LearnerError(f"This is not computed: {case}.", do_next="Change the setting.")
            return _refuse(render_problem(error))
        except LearnerError as error:
            return _refuse(render_problem(error))
        said = render(
            "lora_lab/memory/verdict.html",
            verdict=verdict,
            gpu=gpu,
            sentence=fit.describe_verdict(verdict, self._name_gpu(fields)),
            trained=fit.describe_trained(verdict),
        )
        return {"verdict": said, "ledger": ledger}

    def _render_ledger(
        self, fields: Mapping[str, str], verdict: fit.FitVerdict, gpu: GpuModel | None
    ) -> Markup:
        find = self._lab.home.find_shape
        record = memory_form.build_contract_record(fields)
        ledger = forecast_step(parse_setting(record, find(fields["model"])))
        parts = asdict(ledger)
        return render(
            "lora_lab/memory/ledger.html",
            ledger=ledger,
            components=[(field, name, parts[field]) for field, name in COMPONENTS if parts[field]],
            fields=fields,
            verdict=verdict,
            gpu=gpu,
            overhead_bytes=CUDA_OVERHEAD_BYTES,
            weights=fit.compare_weights(fields, find),
            line=shlex.quote(json.dumps(record)),
        )

    def _render_advice(self, fields: Mapping[str, str]) -> Markup:
        """Render the longest context that fits and what makes it longer, or the changes that make it fit."""
        gpu_bytes, find = self._gpu_bytes(fields), self._lab.home.find_shape
        try:
            verdict = fit.compute_verdict(fields, gpu_bytes, find)
        except (UnsupportedCase, LearnerError):
            return NO_HTML  # the verdict's place says why
        longer = fit.list_longer_texts(fields, gpu_bytes, find) if verdict.fits else []
        found = [] if verdict.fits else fit.list_changes(fields, gpu_bytes, find)
        joint = None if verdict.fits or found else fit.combine_changes(fields, gpu_bytes, find)
        return render(
            "lora_lab/memory/advice.html",
            verdict=verdict,
            longest=fit.find_longest_context(fields, gpu_bytes, find) if verdict.fits else 0,
            longer=[(change, memory_form.build_address(change.fields)) for change in longer],
            changes=[(change, memory_form.build_address(change.fields)) for change in found],
            together=joint,
            together_address=memory_form.build_address(joint.fields) if joint else "",
            smallest=GPUS.get(fit.find_smallest_gpu_gb(fields, find) or 0) if not verdict.fits else None,
        )

    def _render_fits(self, fields: Mapping[str, str]) -> Markup:
        """Render the largest batch of every model in every bit width, in the form's own setting."""
        gpu_bytes = self._gpu_bytes(fields)
        groups = [
            (
                size,
                [
                    (shape, self._find_batches({**fields, "model": shape.name}, gpu_bytes))
                    for shape in shapes
                    if shape.name != TINY_MODEL
                ],
            )
            for size, shapes in memory_form.group_models()
        ]
        found = [batch for _, rows in groups for _, batches in rows for batch in batches]
        return render(
            "lora_lab/memory/fits.html",
            groups=groups,
            address=memory_form.build_address,
            none_fits=0 in found,
            has_gaps=None in found,
            bits=[BITS_LABELS[bits] for bits in BITS_SHOWN],
            gpu=self._name_gpu(fields),
            fields=fields,
            labels={name: dict(choices)[fields[name]] for name, choices in memory_form.CHOICES.items()},
        )

    def _find_batches(self, fields: Mapping[str, str], gpu_bytes: int) -> list[int | None]:
        """Find the largest batch of the form's model in every bit width; None where it is not computed."""
        return [fit.find_largest_batch({**fields, "bits": bits}, gpu_bytes) for bits in BITS_SHOWN]


def _mark_fields(problems: Mapping[str, str]) -> dict[str, Markup]:
    """Render the place beside each field: what is wrong with it, or nothing."""
    return {f"{name}-problem": escape(problems.get(name, "")) for name in memory_form.JUDGED}


def _name_wrong_fields(problems: Iterable[str]) -> Markup:
    named = [f"“{memory_form.JUDGED[name]}”" for name in problems]
    needs = "need corrections" if len(named) > 1 else "needs a correction"
    return render_problem(
        LearnerError(
            f"{' and '.join(named)} {needs}.", do_next="What is wrong stands beside each marked field."
        )
    )


def _refuse(problem: Markup) -> dict[str, Markup]:
    return {"verdict": problem, "ledger": NO_HTML}


def _choose_size(gpu: str) -> str:
    """Choose the size that was chosen; the usual one where this machine's GPU was chosen and is gone."""
    return gpu if gpu.isdecimal() else memory_form.DEFAULTS["gpu"]
