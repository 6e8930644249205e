"""The Lab page: set up, see what it will cost, run, look, compare."""

import base64
import shlex
from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any
from urllib.parse import urlencode

import gradio as gr
from markupsafe import Markup

from lora_lab import charts, view
from lora_lab.datasets import MAX_FILE_BYTES
from lora_lab.form import OTHER, address_of, presets, spec_of_address, spec_of_form, typed
from lora_lab.lab import Lab
from lora_lab.memory import COMPONENTS, MODELLED_TYPES
from lora_lab.preview import Preview, preview, seconds_a_token
from lora_lab.runs.folder import RunFolder, delete_run
from lora_lab.runs.state import RunState
from lora_lab.sections import LAB, sections
from lora_lab.shapes import catalogue
from lora_lab.spec import (
    BITS_LABELS,
    EMBEDDED_MODEL,
    OWN_DATA,
    TARGET_LABELS,
    TARGET_SETS,
    TINY_MODEL,
    RunSpec,
)
from study import events, frame
from study.context import Context
from study.errors import LearnerError
from study.frame import Reply
from study.templates import render

RUNS_SHOWN = 30
RUN_PARTS = ("run-head", "run-figures", "run-actions", "run-curves", "run-zoom", "run-results")
OVERLAY_LIMIT = 6
UPLOAD_LIMIT = MAX_FILE_BYTES * 2  # base64 takes a third more
HUB_MODELS = (
    "smollm2-360m",
    "smollm2-1.7b",
    "qwen2.5-0.5b",
    "tinyllama-1.1b",
    "llama-3.2-1b",
    "llama-3.2-3b",
)
BITS_ORDER = ("nf4-dq", "nf4", "fp4", "int8", "bf16", "fp32")


def build(app: gr.Blocks, context: Context, lab: Lab) -> None:
    """Add the page to the app."""
    page = LabPage(context, lab)
    with frame.page(app, context, title="Lab", path=LAB):
        frame.island(page.act, page.load, "lab", waiting=frame.waiting("Lab"))


class LabPage:
    """Handlers of the page. What a learner sees is always made from folders, never remembered here."""

    def __init__(self, context: Context, lab: Lab) -> None:
        self._context = context
        self._lab = lab

    def load(self, request: gr.Request) -> str:
        """The page for the setting and run that the address names."""
        query = {name: str(value) for name, value in dict(request.query_params).items()}
        return self._page(spec_of_address(query), query)

    def act(self, event: dict[str, Any], request: gr.Request) -> Reply:
        """One press, one moved control, or one look at how things stand."""
        query = dict(frame.visit_of(self._context, request, event).query)
        match event.get("act"):
            case "change":
                return self._changed(event)
            case "draw":
                return self._drawn(event, query)
            case "poll":
                return self._polled(event, query)
            case "start":
                return self._started(event)
            case "stop":
                return self._stopped(event, query)
            case "zoom":
                return self._zoomed(event, query)
            case "upload":
                return self._uploaded(event)
            case "retry-model":
                self._lab.engine.retry_model()
                return {"say": "Trying again.", "parts": {"worker": self._worker_part()}}
            case "overlay":
                return self._overlaid(event)
            case "delete":
                return self._deleted(event, query)
        raise LearnerError(f"This page has no {event.get('act')!r}.", do_next="Reload the page.")

    # ---- the form and what it costs

    def _changed(self, event: Mapping[str, Any]) -> Reply:
        try:
            spec = spec_of_form(_form(event))
            cost = self._cost_part(spec)
        except LearnerError as error:
            return {"parts": {"cost": _problem(error)}}
        return {"parts": {"cost": cost}, "url": address_of(spec, run_id=_shown_run(event)), "then": "draw"}

    def _cost_part(self, spec: RunSpec) -> str:
        found = self._preview(spec)
        if found is None:
            reading = self._lab.read_shape(spec.model)
            if reading:
                return render("lora_lab/reading.html", model=spec.model)
            found = self._preview(spec)
        if found is None:
            self._lab.forget_reader(spec.model)
            raise LearnerError(
                f"{spec.model} could not be read: no such folder, or the hub does not answer.",
                do_next="Check the name and the network, or choose the embedded model.",
            )
        return render("lora_lab/cost.html", **self._cost(found))

    def _preview(self, spec: RunSpec) -> Preview | None:
        """None while the model's shape is not known."""
        digest = self._lab.uploads.find(spec.data).digest
        try:
            self._lab.home.shape(spec.model)
        except LearnerError:
            return None
        return preview(self._lab.home, spec, digest)

    def _cost(self, found: Preview) -> dict[str, Any]:
        parts = asdict(found.ledger)
        pace = seconds_a_token(self._lab.runs(), found.spec)
        tokens = found.row.tokens * found.spec.steps
        narrowest = min((min(m.d_in, m.d_out), m.suffix) for m in found.shape.select(found.spec.targets))
        return {
            "found": found,
            "spec": found.spec,
            "components": [(field, name, parts[field]) for field, name in COMPONENTS if parts[field]],
            "seconds": pace * tokens * 0.9 if pace else None,
            "narrowest": narrowest,
            "embedded": found.spec.model == EMBEDDED_MODEL,
            "untrained": found.spec.model == TINY_MODEL,
            "modelled": found.shape.model_type in MODELLED_TYPES,
            "command": command_of(found.spec, data_file=self._lab.uploads.find(found.spec.data).label),
        }

    def _drawn(self, event: Mapping[str, Any], query: Mapping[str, str]) -> Reply:
        try:
            found = self._preview(spec_of_form(_form(event)))
        except LearnerError:
            return {}  # the cost part says what is wrong; the plots stay as they were
        if found is None:
            return {}
        narrow = _is_narrow(event)
        plots = [(plot, charts.drawn(plot, narrow=narrow)) for plot in charts.plots_of(self._lab, found)]
        setting = address_of(found.spec).partition("?")[2]
        return {
            "parts": {
                "plots": render("lora_lab/plots.html", plots=plots, query=setting),
                "drawn": render("lora_lab/drawn.html", drawn=self._latest_ended()),
                # The page was made before it could say how wide it is.
                **self._run_parts(self._run_of(query), _window(query), narrow=narrow),
            }
        }

    def _uploaded(self, event: Mapping[str, Any]) -> Reply:
        name = events.text(event, "name")
        try:
            content = base64.b64decode(events.text(event, "content", limit=UPLOAD_LIMIT), validate=True)
        except ValueError as error:
            raise LearnerError(f"{name} did not arrive whole.", do_next="Choose it again.") from error
        dataset = self._lab.uploads.add(name, content)
        return {
            "parts": {"data": self._data_part(dataset.digest)},
            "say": f"{name}: {len(dataset.train)} examples to train on, {len(dataset.held_out)} held out.",
            "then": "change",
        }

    # ---- runs

    def _started(self, event: Mapping[str, Any]) -> Reply:
        spec = spec_of_form(_form(event))
        dataset = self._lab.uploads.find(spec.data)
        self._lab.home.shape(spec.model)
        run = self._lab.engine.submit(spec, dataset, now=self._context.clock())
        return {
            "parts": {
                **self._run_parts(run, None, narrow=_is_narrow(event)),
                "runs": self._runs_part(run.run_id),
            },
            "url": address_of(spec, run_id=run.run_id),
            "say": "Run started." if not self._ahead(run) else "Run queued.",
            "focus": "#run",
        }

    def _stopped(self, event: Mapping[str, Any], query: Mapping[str, str]) -> Reply:
        self._lab.engine.stop(events.text(event, "run"))
        parts = self._run_parts(self._run_of(query), _window(query), narrow=_is_narrow(event))
        return {"say": "Stopping after this step. The adapter is kept.", "parts": parts}

    def _polled(self, event: Mapping[str, Any], query: Mapping[str, str]) -> Reply:
        run = self._run_of(query)
        reply: Reply = {
            "parts": {
                "worker": self._worker_part(),
                **self._run_parts(run, _window(query), narrow=_is_narrow(event)),
                "runs": self._runs_part(run.run_id if run else ""),
            }
        }
        if events.field(event, "reading"):
            reply["then"] = "change"
        elif events.field(event, "drawn") != self._latest_ended():
            reply["then"] = "draw"
        return reply

    def _zoomed(self, event: Mapping[str, Any], query: dict[str, str]) -> Reply:
        run = self._run_of(query)
        if run is None:
            return {}
        window = view.zoomed(_window(query), run.spec.steps, events.text(event, "direction"))
        query.pop("from", None)
        query.pop("to", None)
        if window:
            query |= {"from": f"{window[0]:g}", "to": f"{window[1]:g}"}
        parts = self._run_parts(run, window, narrow=_is_narrow(event))
        return {"parts": parts, "url": f"/lab?{urlencode(query)}"}

    def _overlaid(self, event: Mapping[str, Any]) -> Reply:
        ids = events.fields(event, "overlay")[:OVERLAY_LIMIT]
        if len(ids) < 2:
            raise LearnerError("An overlay needs two runs or more.", do_next="Tick them in the list of runs.")
        chosen = [view.Overlaid(run=run, state=self._lab.state(run)) for run in map(self._lab.run, ids)]
        html = render(
            "lora_lab/overlay.html",
            chart=view.overlay(chosen),
            rows=[(item.run.run_id, view.title_of(item.run.spec), item.state) for item in chosen],
            differing=_differing([item.run.spec for item in chosen]),
        )
        return {"parts": {"overlay": html}, "focus": "#overlay"}

    def _deleted(self, event: Mapping[str, Any], query: dict[str, str]) -> Reply:
        run = self._lab.run(events.text(event, "run"))
        if not self._lab.state(run).ended:
            raise LearnerError("This run has not ended.", do_next="Stop it first.")
        delete_run(run)
        self._lab.forget(run.run_id)
        query.pop("run", None)
        shown = self._run_of(query)
        return {
            "parts": {
                **self._run_parts(shown, None, narrow=_is_narrow(event)),
                "runs": self._runs_part(shown.run_id if shown else ""),
            },
            "url": address_of(spec_of_address(query)),
            "say": "Run deleted.",
            "then": "draw",
        }

    def _run_of(self, query: Mapping[str, str]) -> RunFolder | None:
        """The run in the address; else the one being worked on; else the newest."""
        wanted = query.get("run") or self._lab.engine.current()
        if wanted:
            try:
                return self._lab.run(wanted)
            except LearnerError:
                pass
        return next(iter(self._lab.runs()), None)

    def _ahead(self, run: RunFolder) -> int:
        """Runs that come before this one; 0 when it is being worked on."""
        waiting = self._lab.engine.waiting()
        if run.run_id not in waiting:
            return 0
        return waiting.index(run.run_id) + (1 if self._lab.engine.current() else 0)

    def _latest_ended(self) -> str:
        return next((run.run_id for run in self._lab.runs() if self._lab.state(run).ended), "none")

    # ---- parts of the page

    def _page(self, spec: RunSpec, query: Mapping[str, str]) -> str:
        run = self._run_of(query)
        try:
            cost = self._cost_part(spec)
        except LearnerError as error:
            cost = _problem(error)
        return render(
            "lora_lab/lab.html",
            sections=sections(LAB),
            spec=spec,
            typed=typed,
            presets=presets(),
            models=_model_choices(spec),
            other=OTHER,
            bits=[(value, BITS_LABELS[value]) for value in BITS_ORDER],  # type: ignore[index]
            targets=TARGET_LABELS.items(),
            target_sets=TARGET_SETS,
            cost=Markup(cost),
            data=Markup(self._data_part(spec.data)),
            worker=Markup(self._worker_part()),
            run={
                name: Markup(html)
                for name, html in self._run_parts(run, _window(query), narrow=False).items()
            },
            runs=Markup(self._runs_part(run.run_id if run else "")),
        )

    def _data_part(self, chosen: str) -> str:
        own = self._lab.uploads.find(OWN_DATA)
        choices = [(OWN_DATA, f"{own.label} ({len(own.train)} + {len(own.held_out)} held out)")]
        choices += self._lab.uploads.labels()
        return render(
            "lora_lab/data.html", choices=choices, chosen=OWN_DATA if chosen == own.digest else chosen
        )

    def _worker_part(self) -> str:
        return render(
            "lora_lab/worker.html", state=self._lab.home.worker_state(), warm=self._lab.engine.is_warm
        )

    def _run_parts(
        self, run: RunFolder | None, window: view.Window | None, *, narrow: bool
    ) -> dict[str, str]:
        """The panel in pieces, so that a poll replaces what has changed and no button under a finger."""
        if run is None:
            empty = dict.fromkeys((*RUN_PARTS, "run-rate"), "")
            return empty | {"run-head": render("lora_lab/no_run.html")}
        state, spec = self._lab.state(run), run.spec
        curves = view.curves(state, spec, window=window, narrow=narrow)
        values = {
            "run": run,
            "state": state,
            "spec": spec,
            "title": view.title_of(spec),
            "settings": view.settings_of(spec),
            "figures": view.progress(state, spec),
            "curves": curves,
            "zoomed": window is not None,
            "ahead": self._ahead(run),
            "stopping": run.stop_path.exists(),
            "samples": run.samples() if state.ended else [],
            "address": address_of(spec, run_id=run.run_id),
            "has_adapter": run.adapter_path.is_dir(),
        }
        parts = {name: render(f"lora_lab/{name.replace('-', '_')}.html", **values) for name in RUN_PARTS}
        return parts | {"run-rate": curves["rate"] if state.steps else ""}

    def _runs_part(self, shown: str) -> str:
        rows: list[tuple[RunFolder, RunState, str, str]] = [
            (run, self._lab.state(run), view.title_of(run.spec), address_of(run.spec, run_id=run.run_id))
            for run in self._lab.runs()[:RUNS_SHOWN]
        ]
        return render("lora_lab/runs.html", rows=rows, shown=shown)


def last_run(lab: Lab) -> str | None:
    """One line about the newest finished run, for Today."""
    for run in lab.runs():
        state = lab.state(run)
        if state.ended and state.loss_after is not None:
            return render(
                "lora_lab/last_run.html",
                title=view.title_of(run.spec),
                state=state,
                address=address_of(run.spec, run_id=run.run_id),
            )
    return None


def command_of(spec: RunSpec, *, data_file: str = "") -> str:
    """The same run on the command line; settings at their default are left out."""
    words = ["python", "-m", "lora_lab", "train"]
    for field in fields(RunSpec):
        value = getattr(spec, field.name)
        if field.name != "data" and value != field.default:
            words += [f"--{field.name.replace('_', '-')}", typed(value)]
    if spec.data != OWN_DATA:
        words += ["--data", data_file]
    return shlex.join(words)


def _model_choices(spec: RunSpec) -> list[tuple[str, list[tuple[str, str]]]]:
    """Groups of the model list."""
    here = [
        (EMBEDDED_MODEL, "SmolLM2-135M-Instruct (comes with the app)"),
        (TINY_MODEL, "tiny random model (untrained, instant)"),
    ]
    hub = [(name, f"{catalogue()[name].hub_id} (from the hub)") for name in HUB_MODELS]
    if spec.model not in {name for name, _ in here + hub}:
        here.append((spec.model, spec.model))
    return [("On this machine", here), ("Needs a download", hub)]


def _form(event: Mapping[str, Any]) -> dict[str, list[str]]:
    form = event.get("fields")
    if not isinstance(form, dict):
        raise LearnerError("This press came without the form.", do_next="Reload the page and try again.")
    return {str(name): events.fields(event, str(name), limit=500) for name in form}


def _is_narrow(event: Mapping[str, Any]) -> bool:
    """Whether the page that asks is as narrow as a phone; it says so with every form."""
    return events.field(event, "narrow") == "yes"


def _shown_run(event: Mapping[str, Any]) -> str:
    """The run in the address the event came from, so that moving a control keeps it open."""
    query = str(event.get("query", ""))
    return next((part[4:] for part in query.removeprefix("?").split("&") if part.startswith("run=")), "")


def _window(query: Mapping[str, str]) -> view.Window | None:
    first, last = query.get("from", ""), query.get("to", "")
    if first.isdecimal() and last.isdecimal() and int(first) < int(last):
        return float(first), float(last)
    return None


def _problem(error: LearnerError) -> str:
    return render("lora_lab/problem.html", error=error)


def _differing(specs: list[RunSpec]) -> list[tuple[str, list[str]]]:
    """Settings in which the runs differ, with each run's value."""
    columns = [dict(view.settings_of(spec)) for spec in specs]
    return [
        (name, [column[name] for column in columns])
        for name in columns[0]
        if len({column[name] for column in columns}) > 1
    ]
