"""The Memory page: what a setting needs, what fits, and the accuracy of the predictions."""

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
from lora_lab.memory.frameworks.forecast import forecast
from lora_lab.memory.frameworks.largest_batch import BITS_SHOWN, CONTEXT_BYTES, GPU_SIZES_GB, Fit, what_fits
from lora_lab.memory.ledger import COMPONENTS
from lora_lab.pages import form_fields
from lora_lab.pages.shared_parts import problem_part
from lora_lab.papers.published_memory import published_memory
from lora_lab.parameters.adapter_config import UnsupportedCase
from lora_lab.parameters.shapes import find_shape
from lora_lab.runs.measured_cells import measured_cells
from lora_lab.settings.urls import LAB, MEMORY, sections
from lora_lab.spec import BITS_LABELS
from lora_lab.views import memory_form
from study.base.errors import LearnerError
from study.base.units import GB
from study.ports.context import Context
from study.text.templates import render
from study.web import frame
from study.web.frame import Reply


def build(app: gr.Blocks, context: Context, lab: Lab) -> None:
    """Add the page to the app."""
    page = MemoryPage(lab)
    with frame.page(app, context, title="Memory", path=MEMORY, under=LAB):
        frame.island(page.act, page.load, "memory", waiting=frame.waiting("Memory", "lab"))


class MemoryPage:
    """Handlers of the page; every number is computed on each request."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab

    def load(self, request: gr.Request) -> str:
        """Render the page for the setting in the address."""
        query = {name: str(value) for name, value in dict(request.query_params).items()}
        try:
            fields = memory_form.fields_of(query)
        except LearnerError:  # the address may be typed by hand
            fields = memory_form.fields_of({})
        measured = [(run, title_of(run.spec)) for run in self._lab.measured()]
        return render(
            "lora_lab/memory.html",
            sections=sections(MEMORY),
            fields=fields,
            models=memory_form.models(),
            choices=memory_form.CHOICES,
            sizes=GPU_SIZES_GB,
            found_bytes=self._found_bytes(),
            ledger=Markup(_ledger_part(fields)),
            published=published_memory(),
            measured=measured,
            cells=Markup(render("lora_lab/memory_cells.html", found=measured_cells())),
        )

    def act(self, event: dict[str, Any], request: gr.Request) -> Reply:
        """Handle a changed control (`change`), or compute what fits (`draw`), which is slower."""
        if event.get("act") not in ("change", "draw"):
            raise LearnerError(f"This page has no {event.get('act')!r}.", do_next="Reload the page.")
        try:
            given = form_fields.firsts(event, limit=200)
            fields = memory_form.fields_of({name: text.strip() for name, text in given.items()})
        except LearnerError as error:
            return {"parts": {"ledger": problem_part(error)}}
        if event["act"] == "draw":
            return {"parts": {"fits": self._fits_part(fields)}}
        changed = {name: value for name, value in fields.items() if value != memory_form.DEFAULTS[name]}
        return {
            "parts": {"ledger": _ledger_part(fields)},
            "url": f"{MEMORY}?{urlencode(changed)}" if changed else MEMORY,
            "then": "draw",
        }

    def _found_bytes(self) -> int:
        """Return the memory of this machine's GPU in bytes; 0 without a GPU."""
        device = self._lab.home.device()
        return int(device.get("memory_bytes", 0)) if is_gpu(device) else 0

    def _fits_part(self, fields: Mapping[str, str]) -> str:
        found = self._found_bytes()
        size_bytes = found if fields["gpu"] == "found" and found else int(_gb(fields["gpu"])) * GB
        rank, seq_len = int(fields["rank"]), int(fields["seq_len"])
        rows: dict[str, list[Fit]] = {}
        for fit in what_fits(size_bytes, ranks=[rank], lengths=[seq_len]):
            rows.setdefault(fit.model, []).append(fit)
        return render(
            "lora_lab/memory_fits.html",
            rows=rows,
            bits=[BITS_LABELS[bits] for bits in BITS_SHOWN],
            size_bytes=size_bytes,
            context_bytes=CONTEXT_BYTES,
            rank=rank,
            seq_len=seq_len,
        )


def _gb(size: str) -> str:
    return size if size.isdecimal() else memory_form.DEFAULTS["gpu"]


def _ledger_part(fields: Mapping[str, str]) -> str:
    try:
        record = memory_form.record_of(fields)
        ledger = forecast(setting_of(record, find_shape(fields["model"])))
    except UnsupportedCase as case:
        error = LearnerError(f"This is not computed: {case}.", do_next="Change the setting.")
        return problem_part(error)
    except LearnerError as error:
        return problem_part(error)
    parts = asdict(ledger)
    return render(
        "lora_lab/memory_ledger.html",
        ledger=ledger,
        components=[(field, name, parts[field]) for field, name in COMPONENTS if parts[field]],
        fields=fields,
        line=json.dumps(record),
    )
