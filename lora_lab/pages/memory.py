"""Will it fit? One sentence on a setting and a GPU, what to change, and how right such predictions are."""

import json
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any
from urllib.parse import urlencode

import gradio as gr
from markupsafe import Markup

from lora_lab.charts.run_view import title_of
from lora_lab.data.machine import is_gpu
from lora_lab.lab import Lab
from lora_lab.memory.frameworks.contract import setting_of
from lora_lab.memory.frameworks.forecast import forecast_step
from lora_lab.memory.frameworks.largest_batch import (
    BITS_SHOWN,
    CONTEXT_BYTES,
    GPU_SIZES_GB,
    BatchFit,
    what_fits,
)
from lora_lab.memory.ledger import COMPONENTS
from lora_lab.pages import form_fields
from lora_lab.pages.shared_parts import problem_part
from lora_lab.papers.published_memory import published_memory
from lora_lab.parameters.adapter_config import UnsupportedCase
from lora_lab.parameters.shapes import find_shape
from lora_lab.runs.measured_cells import measured_cells
from lora_lab.settings.urls import LAB, MEMORY, with_origin
from lora_lab.spec import BITS_LABELS, TINY_MODEL
from lora_lab.views import fit, memory_form
from lora_lab.views.tabs import tabs
from study.base.errors import LearnerError
from study.base.html import NO_HTML
from study.base.units import GB
from study.ports.context import Context
from study.text.templates import render
from study.web import form_event, frame
from study.web.frame import Reply


def build(app: gr.Blocks, context: Context, lab: Lab) -> None:
    """Add the page to the app."""
    page = MemoryPage(lab)
    with frame.add_page(app, context, title="Will it fit?", path=MEMORY, under=LAB):
        frame.add_island(page.act, page.load, "memory", waiting=frame.render_waiting("Will it fit?", "lab"))


class MemoryPage:
    """Handlers of the page; every number is computed on each request."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab

    def load(self, request: gr.Request) -> Markup:
        """Render the page for the setting in the address."""
        query = form_fields.query_of(request)
        found_bytes = self._found_bytes()
        if found_bytes:
            query = {"gpu": "found"} | query
        try:
            fields = memory_form.fields_of(query)
        except LearnerError:  # the address may be typed by hand
            fields = memory_form.fields_of({})
        return render(
            "lora_lab/memory/memory.html",
            tabs=tabs(MEMORY, "Will it fit?", query),
            fields=fields,
            models=memory_form.model_groups(),
            choices=memory_form.CHOICES,
            sizes=GPU_SIZES_GB,
            cards=memory_form.GPU_NAMES,
            found_bytes=found_bytes,
            parts=self._answer_parts(fields),
            published=published_memory(),
            measured=[(run, title_of(run.spec)) for run in self._lab.measured()],
            cells=render("lora_lab/memory/cells.html", found=measured_cells()),
        )

    def act(self, event: dict[str, Any], request: gr.Request) -> Reply:
        """Handle a changed control: the verdict at once, then advice (`draw`), then the table (`table`)."""
        if event.get("act") not in ("change", "draw", "table"):
            raise form_event.unknown_act(event)
        try:
            given = form_fields.read_firsts(event, limit=200)
            fields = memory_form.fields_of({name: text.strip() for name, text in given.items()})
        except LearnerError as error:
            return {"parts": {"verdict": problem_part(error), "advice": NO_HTML, "ledger": NO_HTML}}
        match event["act"]:
            case "draw":
                return {"parts": {"advice": self._advice_part(fields)}, "then": "table"}
            case "table":
                return {"parts": {"fits": self._fits_part(fields)}}
        return {
            # The advice is that of the setting before, until the browser has asked for this one's.
            "parts": {"advice": NO_HTML, **self._answer_parts(fields)},
            "url": with_origin(_address(fields), frame.query_of(event)),
            "then": "draw",
        }

    def _found_bytes(self) -> int:
        """Return the memory of this machine's GPU in bytes; 0 without a GPU."""
        device = self._lab.home.device()
        return int(device.get("memory_bytes", 0)) if is_gpu(device) else 0

    def _gpu_bytes(self, fields: Mapping[str, str]) -> int:
        found = self._found_bytes()
        return found if fields["gpu"] == "found" and found else int(_format_gb(fields["gpu"])) * GB

    def _answer_parts(self, fields: Mapping[str, str]) -> dict[str, Markup]:
        """Render the verdict in one sentence, and the ledger behind it."""
        try:
            verdict = fit.verdict_of(fields, self._gpu_bytes(fields))
            ledger = _ledger_part(fields)
        except UnsupportedCase as case:
            error = LearnerError(f"This is not computed: {case}.", do_next="Change the setting.")
            return {"verdict": problem_part(error), "ledger": NO_HTML}
        except LearnerError as error:
            return {"verdict": problem_part(error), "ledger": NO_HTML}
        said = render(
            "lora_lab/memory/verdict.html",
            verdict=verdict,
            sentence=fit.in_words(verdict),
            context_bytes=CONTEXT_BYTES,
        )
        return {"verdict": said, "ledger": ledger}

    def _advice_part(self, fields: Mapping[str, str]) -> Markup:
        """Render the longest context that fits, or the changes that make it fit."""
        gpu_bytes = self._gpu_bytes(fields)
        try:
            verdict = fit.verdict_of(fields, gpu_bytes)
        except (UnsupportedCase, LearnerError):
            return NO_HTML  # the verdict's place says why
        found = [] if verdict.fits else fit.changes(fields, gpu_bytes)
        joint = None if verdict.fits or found else fit.together(fields, gpu_bytes)
        return render(
            "lora_lab/memory/advice.html",
            verdict=verdict,
            longest=fit.longest_context(fields, gpu_bytes) if verdict.fits else 0,
            changes=[(change, _address(change.fields)) for change in found],
            together=joint,
            together_address=_address(joint.fields) if joint else "",
            smallest_gb=None if verdict.fits else fit.smallest_gpu_gb(fields),
        )

    def _fits_part(self, fields: Mapping[str, str]) -> Markup:
        size_bytes = self._gpu_bytes(fields)
        rank, seq_len = int(fields["rank"]), int(fields["seq_len"])
        rows: dict[str, list[BatchFit]] = {}
        names = [shape.name for _, group in memory_form.model_groups() for shape in group]
        names.remove(TINY_MODEL)
        for found in what_fits(size_bytes, ranks=[rank], lengths=[seq_len], models=names):
            rows.setdefault(found.model, []).append(found)
        return render(
            "lora_lab/memory/fits.html",
            rows=rows,
            bits=[BITS_LABELS[bits] for bits in BITS_SHOWN],
            size_bytes=size_bytes,
            context_bytes=CONTEXT_BYTES,
            rank=rank,
            seq_len=seq_len,
        )


def _address(fields: Mapping[str, str]) -> str:
    """Build the page's address with this form; fields at their default are omitted."""
    changed = {name: value for name, value in fields.items() if value != memory_form.DEFAULTS[name]}
    return f"{MEMORY}?{urlencode(changed)}" if changed else MEMORY


def _format_gb(size: str) -> str:
    return size if size.isdecimal() else memory_form.DEFAULTS["gpu"]


def _ledger_part(fields: Mapping[str, str]) -> Markup:
    record = memory_form.record_of(fields)
    ledger = forecast_step(setting_of(record, find_shape(fields["model"])))
    parts = asdict(ledger)
    return render(
        "lora_lab/memory/ledger.html",
        ledger=ledger,
        components=[(field, name, parts[field]) for field, name in COMPONENTS if parts[field]],
        fields=fields,
        weights=fit.other_weights(fields),
        line=json.dumps(record),
    )
