"""The X-ray page: the inside of a finished run's weight updates, and of a second run's for comparison."""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

import gradio as gr
from markupsafe import Markup

from lora_lab.charts.run_view import build_full_name, format_title
from lora_lab.pages import form_fields
from lora_lab.pages.form_fields import is_narrow
from lora_lab.pages.shared_parts import list_missing_runs, render_trouble, run_link
from lora_lab.predictions.judging import QUANTITY_CONCEPTS
from lora_lab.settings.urls import LAB, XRAY, build_xray_address, with_origin
from lora_lab.views.run_panel import describe_going
from lora_lab.views.setting_plots import render_plot_part
from lora_lab.views.tabs import render_back, render_tabs
from lora_lab.xray import captions as told
from lora_lab.xray.charts import SIDE_WORDS, name_place, shorten_kind
from lora_lab.xray.service import XrayService, XrayStatus
from study.base.errors import LearnerError
from study.base.html import NO_HTML
from study.ports.context import Context, Visit
from study.ports.review import AskForCards
from study.text.templates import render
from study.web import form_event, frame
from study.web.frame import Reply

FIELDS = ("run", "with", "layer", "matrix", "side", "guess")
PLACE = ("with", "layer", "matrix", "side")
PARTS = ("state", "chooser", "values", "norms", "sides", "overlap", "factors")
CONTROLS = ("state", "chooser", "sides")
"""Parts with input controls. Replacing one of them clears what was typed into it."""

LEARNERS_MAY = ("draw", "choose", "poll")


class XrayPage:
    """Handlers of the page. The whole request is in the address; the X-ray service stores the results."""

    place = frame.IslandPlace(elem_id="xray", title="X-ray", path=XRAY, under=LAB, learners_may=LEARNERS_MAY)

    def __init__(self, context: Context, service: XrayService, *, ask_for_cards: AskForCards) -> None:
        self._context = context
        self._service = service
        self._ask_for_cards = ask_for_cards

    def load(self, request: gr.Request) -> Markup:
        """Render the run that the address names, or the newest."""
        query = form_fields.read_page_query(request)
        status = self._service.read_status(query)
        going = self._service.find_going() if status is None else None
        return render(
            "lora_lab/xray/xray.html",
            trouble=self._render_trouble(query, status),
            tabs=render_tabs(
                XRAY,
                "X-ray",
                query,
                back=run_link(self._service.lab, status.run.run_id if status else ""),
            ),
            status=status,
            going=describe_going(going) if going else None,
            runs=self._list_choices(status),
            second=self._render_second(query, status) if status else NO_HTML,
            parts=_render_parts(status, query, narrow=False) if status else {},
        )

    def _render_trouble(self, query: Mapping[str, str], status: XrayStatus | None) -> Markup:
        """Render which of the named runs are gone or can't be X-rayed; nothing if all can be."""
        named = [query.get("run", ""), query.get("with", "")]
        gone = list_missing_runs(self._service.lab, named)
        problems = [*gone, *filter(None, map(self._service.explain_refusal, named))]
        shown = f"Shown is {format_title(status.run.spec)}." if status else ""
        return render_trouble(problems, do_next=shown)

    def _render_second(self, query: Mapping[str, str], status: XrayStatus) -> Markup:
        """Render the choice of the second run, which says so where the first run was chosen again."""
        return render(
            "lora_lab/xray/second.html",
            status=status,
            runs=self._list_choices(status),
            is_same=_names_one_run_twice(query, status),
        )

    def act(self, event: dict[str, Any], request: gr.Request) -> Reply:
        """Handle a choice, a start, a stop or a poll."""
        visit = frame.open_visit(self._context, request, event)
        query = _read_asked(event, visit.query)
        status = self._service.read_status(query)
        if status is None:
            raise LearnerError("There is no finished run now.", do_next="Train one in the lab.")
        match event.get("act"):
            case "draw":
                return _keep_untouched(self._render_again(query, visit, narrow=is_narrow(event)))
            case "choose":
                return self._choose(status, query, visit, narrow=is_narrow(event))
            case "poll":
                return self._poll(status, query, event, visit)
            case "start":
                told.refuse_slip(query["guess"])  # fail before seconds of computing
                if gone := list_missing_runs(self._service.lab, [query["run"]]):
                    raise LearnerError(" ".join(gone), do_next="Choose another run.")
                self._service.start(status, learner=visit.profile.id)
                shown = self._render_again(query, visit, narrow=is_narrow(event))
                return shown | {"say": "Looking.", "focus": "#stop-xray"}
            case "stop":
                self._service.stop(status)
                shown = self._render_again(query, visit, narrow=is_narrow(event))
                return shown | {"say": "Stopped.", "focus": "#start-xray"}
        raise form_event.build_unknown_act_error(event)

    def _choose(self, status: XrayStatus, query: dict[str, str], visit: Visit, *, narrow: bool) -> Reply:
        """Select runs; comparing directions needs no weights, so selecting a second run starts it."""
        before = self._service.read_status(visit.query)
        if before is not None and before.run != status.run:
            query["guess"] = ""  # it belonged to another run
        if status.xray and status.pair_look is None:
            self._service.compare(status, learner=visit.profile.id)
        second, trouble = self._render_second(query, status), self._render_trouble(query, status)
        if _names_one_run_twice(query, status):
            query["with"] = ""
        reply = self._render_again(query, visit, narrow=narrow)
        if before is not None and (before.run, before.beside) == (status.run, status.beside):
            reply = _keep_untouched(reply)
        back = render_back(run_link(self._service.lab, status.run.run_id))
        return {**reply, "parts": {**reply["parts"], "back": back, "second": second, "trouble": trouble}}

    def _render_again(self, query: Mapping[str, str], visit: Visit, *, narrow: bool) -> Reply:
        status = self._service.read_status(query)
        assert status is not None
        return {
            "parts": _render_parts(status, query, narrow=narrow),
            "url": with_origin(build_xray_address(**query), visit.query),
        }

    def _poll(
        self, status: XrayStatus, query: Mapping[str, str], event: Mapping[str, Any], visit: Visit
    ) -> Reply:
        """Return nothing while idle; after the X-ray, all of it, and cards for a wrong prediction."""
        if form_event.read_field(event, "going") != "yes":
            return {}
        fresh = status.xray is not None and not form_event.read_fields(event, "layer")
        if status.going and not fresh:
            return {"parts": {"state": _describe_state(status, query)}}
        reply: Reply = {"parts": _render_parts(status, query, narrow=is_narrow(event))}
        if status.xray is None or not fresh:
            return reply
        found = told.judge_prediction(status.xray, query["guess"])
        if found is not None and not found.right:
            self._ask_for_cards(visit, QUANTITY_CONCEPTS["directions"], because="prediction-directions")
        reply["say"] = "The X-ray is ready."
        return reply

    def _list_choices(self, status: XrayStatus | None) -> list[tuple[str, str]]:
        """List id and name of the runs to choose from; those in the address however old."""
        if status is None:
            return []
        named = [run for run in (status.run, status.beside) if run is not None]
        listed = self._service.runs()
        older = [run for run in named if run not in listed]
        return [(run.run_id, build_full_name(run, run.state())) for run in (*listed, *older)]


def _names_one_run_twice(query: Mapping[str, str], status: XrayStatus) -> bool:
    return query.get("with", "") == status.run.run_id


def _keep_untouched(reply: Reply) -> Reply:
    """Return the reply without the parts in which the learner may be typing."""
    reply["parts"] = {name: html for name, html in reply["parts"].items() if name not in CONTROLS}
    return reply


def _read_asked(event: Mapping[str, Any], address: Mapping[str, str]) -> dict[str, str]:
    """Parse the form; for a field without a control on the page yet, use the address."""
    return {
        name: form_event.read_field(event, name)
        if form_event.read_fields(event, name)
        else address.get(name, "")
        for name in FIELDS
    }


def _render_parts(status: XrayStatus, query: Mapping[str, str], *, narrow: bool) -> dict[str, Markup]:
    """Render everything below the two runs, in parts that are replaced when they change."""
    xray, module = status.xray, status.module
    parts = dict.fromkeys(PARTS, NO_HTML) | {"state": _describe_state(status, query)}
    if xray is None or module is None:
        return parts
    plots = {plot.name: (plot, render_plot_part(plot, narrow=narrow)) for plot in status.draw_plots()}
    place = {name: query[name] for name in PLACE if query.get(name)}
    values: dict[str, Any] = {
        "status": status,
        "xray": xray,
        "module": module,
        "plots": plots,
        "told": told,
        "short": shorten_kind,
        "place": name_place(module),
        "query": urlencode({"run": status.run.run_id} | place),
        "sides": SIDE_WORDS,
        "table": told.tabulate_amplification(_list_columns(status)),
    }
    return parts | {name: render(f"lora_lab/xray/{name}.html", **values) for name in PARTS[1:]}


def _list_columns(status: XrayStatus) -> list[tuple[str, Any]]:
    found = [(f"this run, r = {status.run.spec.rank}", status.module)]
    if status.beside and status.beside_module:
        found.append((f"second run, r = {status.beside.spec.rank}", status.beside_module))
    return found


def _describe_state(status: XrayStatus, query: Mapping[str, str]) -> Markup:
    guess = query.get("guess", "")
    return render(
        "lora_lab/xray/state.html",
        status=status,
        guess=guess,
        judged=told.judge_prediction(status.xray, guess) if status.xray else None,
    )
