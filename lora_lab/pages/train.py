"""The Lab page: set up a run, preview its cost, train, inspect and compare."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import Any
from urllib.parse import urlencode

import gradio as gr
from markupsafe import Markup

from lora_lab.charts import run_view
from lora_lab.data.datasets import MAX_FILE_BYTES
from lora_lab.engine.queue import RUNS_OF_A_LEARNER
from lora_lab.lab import Lab
from lora_lab.pages import form_fields
from lora_lab.pages.ended_runs import EndedRuns
from lora_lab.pages.shared_parts import (
    FILE_ACTS,
    NO_TROUBLE,
    WORKER_ACTS,
    handle_file_act,
    handle_worker_act,
    is_for_another_machine,
    render_data,
    render_gone_run,
    render_problem,
    render_still_reading,
    render_trouble,
    render_worker,
)
from lora_lab.pages.train_parts import SettingParts, replace_figures
from lora_lab.predictions.run_predictions import Predictions
from lora_lab.runs.cost_preview import Preview
from lora_lab.runs.run_file import MAX_RUN_FILE_BYTES, read_run_file
from lora_lab.runs.separate_files import parse_run_file_apart
from lora_lab.runs.state import RunState
from lora_lab.settings.run_form import (
    OTHER,
    build_address,
    check_ready,
    describe_missing_name,
    format_value,
    read_address,
    read_presets,
)
from lora_lab.settings.urls import LAB, ORIGIN, compare_address, select_origin_fields, with_origin
from lora_lab.spec import OPTIMIZER_LABELS, TARGET_SETS, VARIANT_LABELS, RunSpec
from lora_lab.views.options import BITS_CHOICES, SHORT_TARGETS, group_model_choices
from lora_lab.views.run_panel import ZOOM, RunPanel, parse_window
from lora_lab.views.tabs import render_tabs
from study.base.errors import LearnerError
from study.base.html import NO_HTML
from study.ports.context import Context, Visit
from study.ports.review import AskForCards
from study.text.templates import render
from study.web import form_event, frame
from study.web.frame import Reply
from study.web.fresh_browser import stop_asking
from study.web.security.access import find_role

LEARNERS_MAY = (
    "change", "predict", "unpredict", "commit", "draw", "draw-more", "poll", "zoom", "compare",
    "start", "again", "stop",
)  # fmt: skip
"""Beyond what changes nothing for others: to start and stop a ready experiment within one's share."""


class LabPage:
    """Handlers of the page. All content is read from folders on every request; nothing is cached here."""

    place = frame.IslandPlace(elem_id="lab", title="Lab", path=LAB, look="lab", learners_may=LEARNERS_MAY)

    def __init__(self, context: Context, lab: Lab, *, ask_for_cards: AskForCards) -> None:
        self._context = context
        self._lab = lab
        self._predictions = Predictions(context=context, lab=lab, ask_for_cards=ask_for_cards)
        self._panel = RunPanel(lab, self._predictions)
        self._parts = SettingParts(lab, self._predictions)
        self._ended = EndedRuns(context, lab, self._panel, self._parts)

    def load(self, request: gr.Request) -> Markup:
        """Render the page for the setting and run that the address names."""
        visit = frame.open_visit(self._context, request)
        self._predictions.settle(visit)
        return self._render_page(visit)

    def act(self, event: dict[str, Any], request: gr.Request) -> Reply:
        visit = frame.open_visit(self._context, request, event)
        match event.get("act"):
            case "change":
                return self._change(event, visit)
            case "predict" | "unpredict":
                return self._toggle_prediction(event, visit)
            case "commit":
                return self._commit(event, visit)
            case "draw":
                return self._draw(event, visit)
            case "draw-more":
                return self._draw_more(event, visit)
            case "poll":
                return self._poll(event, visit)
            case "start":
                return self._start(event, visit, learner=_identify_learner(visit, request))
            case "again":
                return self._ended.start_again(event, visit, learner=_identify_learner(visit, request))
            case "stop":
                self._check_stop(event, visit)
                return self._stop(event, visit)
            case "zoom":
                return self._zoom(event, visit)
            case act if act in FILE_ACTS:
                return handle_file_act(self._lab, event, visit)
            case "import":
                return self._import(event, visit, learner=_identify_learner(visit, request))
            case "read":
                return self._read(event)
            case "merge":
                return self._ended.merge(event, visit)
            case act if act in WORKER_ACTS:
                return handle_worker_act(self._lab, event)
            case "compare":
                return {"goto": compare_address(form_event.read_fields(event, "runs"))}
            case "delete":
                return self._ended.delete(event, visit)
            case "set-aside":
                return self._ended.set_damaged_aside(visit)
        raise form_event.build_unknown_act_error(event)

    # ---- the form and what it costs

    def _change(self, event: Mapping[str, Any], visit: Visit) -> Reply:
        if form_fields.is_guessing(event):  # replacing the form would clear the typed prediction
            spec = form_fields.parse_run(form_fields.read_form_fields(event))
            return {"url": self._address(spec, visit), "then": "draw"}
        if missing := describe_missing_name(form_fields.read_form_fields(event)):
            return {"parts": replace_figures(render("lora_lab/lab/missing_name.html", missing=missing))}
        try:
            spec = form_fields.parse_run(form_fields.read_form_fields(event))
            kept = self._predictions.find_waiting(visit, form_event.read_field(event, "prediction"))
            found = self._parts.find(spec, browser_id=visit.reads_for)
            cost = self._parts.render_cost_parts(spec, found, kept)
        except LearnerError as error:
            return {"parts": {**replace_figures(render_problem(error)), "confirm": NO_HTML}}
        too_early = found is None and form_event.read_field(event, "too_early")
        return {
            "parts": {**cost, "confirm": render_still_reading(spec) if too_early else NO_HTML},
            "url": self._address(spec, visit),
            "then": "draw",
            "say": found.in_short if found else "",
        }

    def _address(self, spec: RunSpec, visit: Visit, run_id: str = "") -> str:
        """Build the address of a setting that keeps the shown run and the way back to a concept."""
        return with_origin(build_address(spec, run_id=run_id or visit.query.get("run", "")), visit.query)

    def _toggle_prediction(self, event: Mapping[str, Any], visit: Visit) -> Reply:
        """Hide the figures so the learner can predict them, or show them again without a prediction."""
        spec = form_fields.parse_run(form_fields.read_form_fields(event))
        if event.get("act") == "unpredict":
            cost = self._parts.render_cost_sheet(spec, browser_id=visit.reads_for)
            return {"parts": cost, "url": self._address(spec, visit), "then": "draw"}
        return {"parts": self._parts.render_prediction_form(spec), "focus": "#guess-percent"}

    def _commit(self, event: Mapping[str, Any], visit: Visit) -> Reply:
        spec = form_fields.parse_run(form_fields.read_form_fields(event))
        kept = self._predictions.find_about(
            visit, self._predictions.commit(visit, spec, form_fields.read_firsts(event)), spec
        )
        cost = self._parts.render_cost_sheet(spec, kept, browser_id=visit.reads_for)
        return {
            "parts": cost,
            "url": self._address(spec, visit),  # without the question that was just answered
            "then": "draw",
            "say": "Your guess is kept.",
            "focus": "#start",
        }

    def _compute_preview(self, event: Mapping[str, Any]) -> Preview | None:
        """Compute a preview; None on an error, which the cost part shows in the plots' place."""
        try:
            return self._parts.preview(form_fields.parse_run(form_fields.read_form_fields(event)))
        except LearnerError:
            return None

    def _draw(self, event: Mapping[str, Any], visit: Visit) -> Reply:
        """Draw the two charts by rank; before them the run's, where it stands in the form's place."""
        named = self._lab.find_run(visit.query.get("run", ""))
        parts = self._run_parts(event, visit) if self._panel.choose_stage(named, visit.query) == "run" else {}
        found = self._compute_preview(event)
        if found is None:
            return {"parts": parts} if parts else {}
        if form_fields.is_guessing(event):
            parts["plots"] = render("lora_lab/lab/hidden.html")
        else:
            parts["plots"] = self._parts.render_plots_by_rank(found, narrow=form_fields.is_narrow(event))
        return {"parts": parts, "then": "draw-more"}

    def _draw_more(self, event: Mapping[str, Any], visit: Visit) -> Reply:
        """Draw what is folded away or below: the slider's answer does not wait for it."""
        found = self._compute_preview(event)
        if found is None:
            return {}
        narrow, hidden = form_fields.is_narrow(event), form_fields.is_guessing(event)
        more = NO_HTML if hidden else self._parts.render_plots_by_bits(found, narrow=narrow)
        return {
            "parts": {
                "plots-more": more or render("lora_lab/lab/hidden.html"),
                "drawn": render("lora_lab/shared/drawn.html", drawn=self._panel.find_latest_ended()),
                **self._parts.render_seen(found.spec, narrow=narrow),
                # The page was first rendered before its width was known.
                **self._run_parts(event, visit),
            }
        }

    def _import(self, event: Mapping[str, Any], visit: Visit, *, learner: str) -> Reply:
        parse = partial(parse_run_file_apart, profile_id=visit.profile.id)
        try:
            name, content = form_fields.read_uploaded_file(event)
            spec, dataset = read_run_file(name, content, self._lab.uploads, parse=parse)
            self._lab.home.find_shape(spec.model)
        except LearnerError as error:
            return {"parts": {"import-problem": render_problem(error)}}
        if self._parts.find_too_large(spec):  # the form shows the reason, and Start asks for confirmation
            return {"goto": build_address(spec)}
        run = self._lab.engine.submit(spec, dataset, now=self._context.clock(), learner=learner)
        return {"goto": build_address(spec, run_id=run.run_id)}

    def _read(self, event: Mapping[str, Any]) -> Reply:
        spec = form_fields.parse_run(form_fields.read_form_fields(event))
        self._lab.read_data(spec.model, spec.data)
        return {"parts": self._parts.render_seen(spec), "say": "Reading the examples."}

    # ---- runs

    def _run_parts(self, event: Mapping[str, Any], visit: Visit) -> dict[str, Markup]:
        return self._panel.render_parts(
            self._panel.find_run(visit.query), visit, narrow=form_fields.is_narrow(event)
        )

    def _start(self, event: Mapping[str, Any], visit: Visit, *, learner: str) -> Reply:
        form = form_fields.read_form_fields(event)
        try:
            spec = form_fields.parse_run(form)
        except LearnerError as error:  # said once, where the change that led to it has said it already
            return {"parts": replace_figures(render_problem(error)), "say": str(error)}
        if not visit.may_use_lab:
            check_ready(spec)
        dataset = self._lab.uploads.find(spec.data)
        being_read = form_event.read_field(event, "reading")
        if being_read and self._lab.ask_for_shape(spec.model, browser_id=visit.reads_for) is None:
            return {
                "parts": {
                    **replace_figures(render("lora_lab/shared/reading.html", model=spec.model)),
                    "confirm": render_still_reading(spec),
                },
                "say": f"The configuration of {spec.model} is still being read.",
            }
        self._lab.home.find_shape(spec.model)
        if form_event.read_field(event, "sure") != "yes" and (found := self._parts.find_too_large(spec)):
            html = render("lora_lab/lab/confirm.html", found=found)
            return {"parts": {"confirm": html}, "focus": "#confirm", "say": "This may not fit. Start anyway?"}
        guess = form_event.read_field(event, "prediction")
        if form_fields.holds_guess(event):
            guess = self._predictions.commit(visit, spec, form_fields.read_firsts(event))
        run = self._lab.engine.submit(spec, dataset, now=self._context.clock(), learner=learner)
        self._predictions.link_run(visit, guess, run)
        stop_asking(self._context, visit)
        concept_id = select_origin_fields(visit.query).get(ORIGIN, "")
        if concept_id in self._context.concepts.by_id:
            self._context.store.lessons.mark(visit.profile.id, concept_id, "try", "done", at=visit.now)
        return {
            "parts": {
                **self._panel.render_parts(run, visit, narrow=form_fields.is_narrow(event), whole=True),
                "runs": self._panel.list_part(run.run_id),
                "stage": self._panel.render_stage(run, {"run": run.run_id}),
                **self._parts.render_cost_sheet(spec, browser_id=visit.reads_for),
                "confirm": NO_HTML,
                **NO_TROUBLE,
            },
            "url": self._address(spec, visit, run.run_id),
            "say": "Run started." if not self._panel.count_ahead(run) else "Run queued.",
            "focus": "#run",
            "then": "draw",
        }

    def _check_stop(self, event: Mapping[str, Any], visit: Visit) -> None:
        """Raise LearnerError when a run is not the learner's own."""
        run_id = form_event.read_text(event, "run")
        if not visit.may_use_lab and self._lab.engine.find_learner(run_id) != visit.profile.id:
            raise LearnerError(
                "This run is not yours.",
                do_next="Stop a run that you started yourself, while it has not ended.",
            )

    def _stop(self, event: Mapping[str, Any], visit: Visit) -> Reply:
        run = self._lab.run(form_event.read_text(event, "run"))
        had_ended = run.state().ended
        self._lab.engine.stop(run.run_id)
        return {
            "say": "The run has ended already." if had_ended else _say_stopping(run.state()),
            "parts": self._run_parts(event, visit),
            "focus": "#run",
        }

    def _poll(self, event: Mapping[str, Any], visit: Visit) -> Reply:
        run = self._panel.find_run(visit.query)
        has_ended = form_event.read_field(event, "drawn") != self._panel.find_latest_ended()
        if has_ended:
            self._predictions.settle(visit)
        reply: Reply = {
            "parts": {
                "worker": render_worker(self._lab),
                "stage": self._panel.render_stage(run, visit.query),
                **self._panel.render_parts(run, visit, narrow=form_fields.is_narrow(event)),
                "runs": self._panel.list_part(run.run_id if run else ""),
            }
        }
        if run and run.state().ended and event.get("going") == run.run_id:
            reply["say"] = self._panel.say_end(run)  # once: the panel that comes is no longer going
        if gone := render_gone_run(self._lab, visit.query):  # deleted in another window; the next is shown
            reply["parts"]["trouble"] = gone
        if form_event.read_field(event, "reading") or is_for_another_machine(self._lab, event):
            reply["then"] = "change"
        elif has_ended or form_event.read_field(event, "tokenizing"):
            reply["then"] = "draw"
        return reply

    def _zoom(self, event: Mapping[str, Any], visit: Visit) -> Reply:
        run, query = self._panel.find_run(visit.query), dict(visit.query)
        if run is None:
            return {}
        window = run_view.zoom_window(
            parse_window(query), run.spec.steps, form_event.read_text(event, "direction")
        )
        query.pop(ZOOM, None)
        if window:
            query[ZOOM] = f"{window[0]:g}-{window[1]:g}"
        parts = self._panel.render_parts(
            run, replace(visit, query=query), narrow=form_fields.is_narrow(event)
        )
        return {"parts": parts, "url": f"{LAB}?{urlencode(query)}"}

    # ---- parts of the page

    def _render_page(self, visit: Visit) -> Markup:
        spec, problems = read_address(visit.query)
        run = self._panel.find_run(visit.query)
        rival = visit.query.get("expect", "")
        try:
            if rival:
                cost = self._parts.render_prediction_form(spec, rival=rival)
            else:
                cost = self._parts.render_cost_sheet(spec, browser_id=visit.reads_for)
        except LearnerError as error:
            cost = replace_figures(render_problem(error))
        return render(
            "lora_lab/lab/lab.html",
            tabs=render_tabs(LAB, "Lab", visit.query, aside=render_worker(self._lab)),
            trouble=render_gone_run(self._lab, visit.query)
            + render_trouble(
                problems, do_next="Choose another value; the form has the usual one until then."
            ),
            stage=self._panel.render_stage(run, visit.query),
            upload_limit=MAX_FILE_BYTES,
            run_limit=MAX_RUN_FILE_BYTES,
            spec=spec,
            typed=format_value,
            ready=() if visit.may_use_lab else read_presets(),
            share=RUNS_OF_A_LEARNER,
            presets=self._parts.list_sized_presets(),
            models=group_model_choices(spec.model),
            other=OTHER,
            bits=BITS_CHOICES,
            targets=SHORT_TARGETS.items(),
            variants=VARIANT_LABELS.items(),
            optimizers=OPTIMIZER_LABELS.items(),
            target_sets=TARGET_SETS,
            cost=cost,
            data=render_data(self._lab, spec.data),
            run=self._panel.render_parts(run, visit, narrow=False),
            seen=self._parts.render_seen(spec),
            runs=self._panel.list_part(run.run_id if run else ""),
        )


def _say_stopping(state: RunState) -> str:
    """Say what a press on stop has done; without a step there is no adapter to keep."""
    if state.ended:
        return "The run was taken out of the queue."
    return "Stopping after this step. The adapter is kept." if state.steps else "Stopping the run."


def _identify_learner(visit: Visit, request: gr.Request) -> str:
    """Identify whose share of the lab's time a run takes; empty for the owner's."""
    return visit.profile.id if find_role(request) == "learner" else ""
