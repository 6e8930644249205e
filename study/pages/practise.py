"""Practise: the kinds of exercise, each with what is ready, and the five-minute review that mixes them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
from markupsafe import Markup

from study.pages.review import ReviewPage
from study.ports.activities import CardsDue, RecurringMiss, TasksDone
from study.ports.context import Context, Visit
from study.text.templates import render
from study.web import form_event, frame
from study.web.frame import Reply


@dataclass(frozen=True, kw_only=True)
class PractisePage:
    place = frame.IslandPlace(elem_id="practise", title="Practise", path="/practise")

    context: Context
    review: ReviewPage
    cards_due: Callable[[Visit], CardsDue]
    tasks_done: Callable[[Visit], TasksDone]
    recurring: Callable[[Visit], Sequence[RecurringMiss]]

    def load(self, request: gr.Request) -> Markup:
        visit = frame.visit_of(self.context, request)
        return render(
            "study/practise.html",
            plan=self.review.plan(visit),
            unfinished=self.review.unfinished(visit),
            due=self.cards_due(visit),
            tasks=self.tasks_done(visit),
            recurring=self.recurring(visit),
        )

    def act(self, event: dict[str, Any], request: gr.Request) -> Reply:
        visit = frame.visit_of(self.context, request, event)
        if event.get("act") != "start":
            raise form_event.unknown_act(event)
        return {"goto": self.review.start(visit)}
