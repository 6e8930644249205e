"""Practise: the kinds of exercise, each with what is ready, and the five-minute review that mixes them."""

from dataclasses import dataclass
from typing import Any

import gradio as gr
from markupsafe import Markup

from study.pages.review import ReviewPage
from study.ports.context import Context
from study.ports.ports import Ports
from study.text.templates import render
from study.web import form_event, frame
from study.web.frame import Reply


@dataclass(frozen=True, kw_only=True)
class PractisePage:
    place = frame.IslandPlace(elem_id="practise", title="Practise", path="/practise")

    context: Context
    review: ReviewPage
    ports: Ports

    def load(self, request: gr.Request) -> Markup:
        visit = frame.open_visit(self.context, request)
        return render(
            "study/practise/practise.html",
            plan=self.review.plan(visit),
            unfinished=self.review.find_unfinished(visit),
            due=self.ports.cards_due(visit),
            tasks=self.ports.tasks_done(visit),
            open_quiz=self.ports.open_quiz(visit),
            recurring=self.ports.recurring_misses(visit),
        )

    def act(self, event: dict[str, Any], request: gr.Request) -> Reply:
        visit = frame.open_visit(self.context, request, event)
        if event.get("act") != "start":
            raise form_event.build_unknown_act_error(event)
        return {"goto": self.review.start(visit)}
