"""The Compare page: overlaid runs, their differences, their answers, and a chat with base and tuned."""

from collections.abc import Mapping, Sequence
from itertools import chain, islice
from typing import Any

import gradio as gr
from markupsafe import Markup

from lora_lab.charts.run_view import describe_detail, format_title
from lora_lab.engine.chat import (
    BASE,
    NEW_TOKENS,
    PROMPT_LIMIT,
    ChatQuestion,
    explain_left_out,
    select_shared_base,
)
from lora_lab.lab import Lab
from lora_lab.pages import form_fields
from lora_lab.pages.form_fields import is_narrow
from lora_lab.pages.shared_parts import NO_TROUBLE, list_missing_runs, render_trouble, run_link
from lora_lab.runs.state import RunState
from lora_lab.settings.run_form import build_address
from lora_lab.settings.urls import COMPARE, LAB, compare_address, with_origin
from lora_lab.views import comparison
from lora_lab.views.comparison import ComparedRun, find_compared, tell_apart
from lora_lab.views.tabs import render_back, render_tabs
from study.base.errors import LearnerError
from study.base.html import NO_HTML
from study.ports.context import Context
from study.text.templates import render
from study.web import form_event, frame
from study.web.frame import Reply

LISTED = 60

LEARNERS_MAY = ("tick", "draw", "poll")


class ComparePage:
    """Handlers of the page. Runs and question are in the address; all content is read from run folders."""

    place = frame.IslandPlace(
        elem_id="compare", title="Compare", path=COMPARE, under=LAB, look="lab", learners_may=LEARNERS_MAY
    )

    def __init__(self, context: Context, lab: Lab) -> None:
        self._context = context
        self._lab = lab

    def load(self, request: gr.Request) -> Markup:
        """Render the runs that the address names, side by side."""
        query = form_fields.read_page_query(request)
        named = _parse_ids(query.get("runs", ""))
        runs = find_compared(self._lab, named)
        ask = self._lab.chat.find(query.get("ask", ""))
        return render(
            "lora_lab/compare/compare.html",
            tabs=render_tabs(COMPARE, "Compare", query, back=self._link_first(runs)),
            trouble=self._render_gone(query, runs),
            rows=self._list_rows(runs),
            most=comparison.MOST_RUNS,
            parts=self._render_parts(runs, narrow=False),
            chat=self._chat_part(ask, runs),
            ask=ask,
            chosen=len(runs),
            prompt_limit=PROMPT_LIMIT,
        )

    def act(self, event: dict[str, Any], request: gr.Request) -> Reply:
        visit = frame.open_visit(self._context, request, event)
        query = dict(visit.query)
        match event.get("act"):
            case "tick":
                reply = self._apply_ticks(event, query)
                count = len(form_event.read_fields(event, "runs"))
                said = f"{count or 'No'} {'run is' if count == 1 else 'runs are'} compared."
                return {**reply, "parts": reply["parts"] | NO_TROUBLE, "say": said}
            case "draw":
                return self._apply_ticks(event, query)
            case "poll":
                return self._poll(event, query)
            case "ask":
                return self._ask(event, query, learner=visit.profile.id)
            case "stop":
                self._lab.chat.stop(form_event.read_text(event, "ask"))
                chat = self._render_chat(query, self._find_runs(query))
                return {"say": "Stopping the answers.", "parts": {"chat": chat}}
        raise form_event.build_unknown_act_error(event)

    def _apply_ticks(self, event: Mapping[str, Any], query: Mapping[str, str]) -> Reply:
        ids = form_event.read_fields(event, "runs")
        if len(ids) > comparison.MOST_RUNS:
            raise LearnerError(
                f"{len(ids)} runs are ticked; {comparison.MOST_RUNS} fit beside each other.",
                do_next="Untick one.",
            )
        runs = find_compared(self._lab, _keep_order(ids, _parse_ids(query.get("runs", ""))))
        return {
            "parts": {
                **self._render_parts(runs, narrow=is_narrow(event)),
                "back": render_back(self._link_first(runs)),
            },
            "url": with_origin(
                compare_address([item.run.run_id for item in runs], query.get("ask", "")), query
            ),
        }

    def _poll(self, event: Mapping[str, Any], query: Mapping[str, str]) -> Reply:
        runs = self._find_runs(query)
        gone = self._render_gone(query, runs)
        going = any(not item.state.ended for item in runs)
        parts = self._render_parts(runs, narrow=is_narrow(event)) if going or gone else {}
        if gone:  # another window has deleted it
            parts["trouble"] = gone
        return {"parts": parts | {"chat": self._render_chat(query, runs)}}

    def _ask(self, event: Mapping[str, Any], query: Mapping[str, str], *, learner: str) -> Reply:
        runs = self._find_runs(query)
        ask = self._lab.chat.ask(
            select_shared_base([item.run for item in runs]),
            form_event.read_field(event, "prompt", limit=PROMPT_LIMIT),
            seed=_parse_whole(form_event.read_field(event, "seed", default="0")),
            temperature=_parse_number(form_event.read_field(event, "temperature", default="0")),
            learner=learner,
        )
        return {
            "parts": {"chat": self._chat_part(ask, runs)},
            "url": with_origin(compare_address([item.run.run_id for item in runs], ask.id), query),
            "say": "Asked.",
            "focus": "#answers-live",
        }

    def _link_first(self, runs: Sequence[ComparedRun]) -> tuple[str, str] | None:
        return run_link(self._lab, runs[0].run.run_id if runs else "")

    def _list_rows(self, runs: Sequence[ComparedRun]) -> list[dict[str, Any]]:
        """List what can be compared, newest first, after the runs that are.

        That is every run with a step; an ended cell of a grid is one only with a held-out loss, because a
        stopped grid leaves many without, which would hide the others.
        """
        chosen = {item.run.run_id for item in runs}
        rest = ((run, run.state()) for run in self._lab.runs() if run.run_id not in chosen)
        others = ((run, state) for run, state in rest if not _is_unmeasured_cell(state))
        states = chain(((item.run, item.state) for item in runs), others)
        listed = list(islice(((run, state) for run, state in states if state.steps), LISTED))
        return [
            {
                "run": run,
                "state": state,
                "title": format_title(run.spec),
                "detail": " · ".join(filter(None, (describe_detail(run, state), apart))),
                "ticked": run.run_id in chosen,
            }
            for (run, state), apart in zip(listed, tell_apart([run.spec for run, _ in listed]), strict=True)
        ]

    def _render_parts(self, runs: Sequence[ComparedRun], *, narrow: bool) -> dict[str, Markup]:
        beside, answered = comparison.list_answers(runs)
        folders = [item.run for item in runs]
        asked = select_shared_base(folders)
        return {
            "charts": render(
                "lora_lab/compare/charts.html",
                runs=runs,
                held_out=comparison.say_held_out(runs),
                charts=list(comparison.render_charts(runs, narrow=narrow)),
                addresses={
                    item.run.run_id: build_address(item.run.spec, run_id=item.run.run_id) for item in runs
                },
            ),
            "settings": render(
                "lora_lab/compare/settings.html",
                runs=runs,
                settings=comparison.list_settings(runs) if runs else [],
                results=comparison.list_results(runs),
            ),
            "answers": render("lora_lab/compare/answers.html", beside=beside, answered=answered),
            "asked": render(
                "lora_lab/compare/asked.html",
                runs=runs,
                asked=[item for item in runs if item.run in asked],
                left_out=[
                    (item.letter, explain_left_out(item.run, folders))
                    for item in runs
                    if item.run not in asked
                ],
            ),
        }

    def _render_gone(self, query: Mapping[str, str], runs: Sequence[ComparedRun]) -> Markup:
        """Render which runs of the address are gone; nothing if all are there."""
        left = "The letters now refer to the remaining runs." if runs else "Choose others below."
        gone = list_missing_runs(self._lab, _parse_ids(query.get("runs", "")))
        return render_trouble(gone, do_next=left)

    def _find_runs(self, query: Mapping[str, str]) -> list[ComparedRun]:
        return find_compared(self._lab, _parse_ids(query.get("runs", "")))

    def _render_chat(self, query: Mapping[str, str], runs: Sequence[ComparedRun]) -> Markup:
        return self._chat_part(self._lab.chat.find(query.get("ask", "")), runs)

    def _chat_part(self, ask: ChatQuestion | None, runs: Sequence[ComparedRun]) -> Markup:
        if ask is None:
            return NO_HTML
        letters = {item.run.run_id: item.letter for item in runs}
        # Another window may have deleted a run since it was asked.
        asked = [(run.run_id, self._lab.find_run(run.run_id)) for run in ask.runs]
        titles = [
            (run_id, f"{letters.get(run_id, '')} {format_title(run.spec)}" if run else "A deleted run")
            for run_id, run in asked
        ]
        columns = [(BASE, "Base model"), *titles]
        return render("lora_lab/compare/chat.html", ask=ask, columns=columns, most_tokens=NEW_TOKENS)


def _is_unmeasured_cell(state: RunState) -> bool:
    return bool(state.sweep) and state.ended and state.loss_after is None


def _parse_ids(written: str) -> list[str]:
    return [part for part in written.split(",") if part]


def _keep_order(ticked: Sequence[str], before: Sequence[str]) -> list[str]:
    """Keep the ticked runs in their previous order, so each keeps its letter."""
    return [run_id for run_id in before if run_id in ticked] + [r for r in ticked if r not in before]


def _parse_whole(written: str) -> int:
    if not written.isdecimal():
        raise LearnerError(f"The seed must be a whole number, got {written!r}.", do_next="Type digits only.")
    return int(written)


def _parse_number(written: str) -> float:
    try:
        return float(written)
    except ValueError as error:
        raise LearnerError(
            f"The temperature must be a number, got {written!r}.",
            do_next="Type 0, which is greedy, or a number such as 0.7.",
        ) from error
