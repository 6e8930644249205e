"""The Microscope page: a matrix, two schemes, a prediction, and the effect of rounding as it is measured."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import urlencode

import gradio as gr
from markupsafe import Markup

from lora_lab.engine.inspections import Inspection
from lora_lab.lab import Lab
from lora_lab.memory.ledger import BLOCK_SIZES
from lora_lab.microscope.panels import build_panels
from lora_lab.microscope.query import (
    KIND,
    NAMES,
    SCHEMES,
    SIDES,
    MicroscopeQuestion,
    build_microscope_address,
    check_question,
    has_blocks,
    list_matrices,
    parse_question,
    settle_question,
)
from lora_lab.pages import form_fields
from lora_lab.pages.shared_parts import render_problem, run_link
from lora_lab.predictions.microscope_service import MicroscopePredictions
from lora_lab.predictions.of_microscope import RELATIVE_TIE, RISE_LEAST, RISE_SHARE
from lora_lab.settings.run_form import OTHER
from lora_lab.settings.urls import LAB, MICROSCOPE, with_origin
from lora_lab.views.options import group_model_choices
from lora_lab.views.tabs import render_tabs
from study.base.errors import LearnerError
from study.base.html import NO_HTML
from study.ports.context import Context, Visit
from study.ports.review import AskForCards
from study.text.templates import render
from study.web import form_event, frame
from study.web.frame import Reply

LEARNERS_MAY = ("change", "skip", "poll")


class MicroscopePage:
    """Handlers of the page. Question and inspection are in the address; the job queue has the results."""

    place = frame.IslandPlace(
        elem_id="microscope", title="Microscope", path=MICROSCOPE, under=LAB, learners_may=LEARNERS_MAY
    )

    def __init__(self, context: Context, lab: Lab, *, ask_for_cards: AskForCards) -> None:
        self._context = context
        self._lab = lab
        self._predictions = MicroscopePredictions(
            context=context, inspections=lab.inspections, ask_for_cards=ask_for_cards
        )

    def load(self, request: gr.Request) -> Markup:
        """Render the question in the address, and the results so far."""
        visit = frame.open_visit(self._context, request)
        self._predictions.settle(visit)
        question = parse_question(visit.query)
        return render(
            "lora_lab/microscope/microscope.html",
            tabs=render_tabs(
                MICROSCOPE, "Microscope", visit.query, back=run_link(self._lab, visit.query.get("run", ""))
            ),
            models=group_model_choices(question.model),
            chosen_model=question.model,
            other=OTHER,
            sides=SIDES,
            question=question,
            schemes=[(bits, NAMES[bits]) for bits in SCHEMES],
            # a problem leaves no places
            parts={"places": NO_HTML, **_block_parts(question), **self._render_parts(visit, question)},
        )

    def act(self, event: dict[str, Any], request: gr.Request) -> Reply:
        visit = frame.open_visit(self._context, request, event)
        match event.get("act"):
            case "change":
                question = self._fit_to_model(parse_question(form_fields.read_firsts(event)))
                look = self._find_inspection(visit, question)
                return {
                    "parts": {**_block_parts(question), **self._render_parts(visit, question)},
                    "url": self._address(visit, question, look.id if look else ""),
                }
            case "look":
                return self._look(visit, form_fields.read_firsts(event), guessed=True)
            case "skip":
                return self._look(visit, form_fields.read_firsts(event), guessed=False)
            case "stop":
                self._lab.inspections.stop(form_event.read_text(event, "look"))
                return {"parts": self._render_progress(visit), "say": "Stopped. What was found stays."}
            case "poll":
                return self._poll(visit)
        raise form_event.build_unknown_act_error(event)

    def _look(self, visit: Visit, fields: Mapping[str, str], *, guessed: bool) -> Reply:
        """Store the prediction, if any, then start the inspection."""
        question = parse_question(fields)
        shape = self._lab.ask_for_shape(question.model, browser_id=visit.reads_for)
        if shape is None:
            return {"parts": self._render_parts(visit, question)}
        question = check_question(settle_question(question, shape), shape)
        if guessed:
            self._predictions.commit(visit, question, fields)
        look = self._lab.inspections.submit(KIND, question.order, learner=visit.profile.id)
        self._predictions.settle(visit)
        looking = replace(visit, query=question.address | {"look": look.id})
        return {
            "parts": self._render_parts(looking, question),
            "url": self._address(visit, question, look.id),
            "say": "Your guess is kept. Looking." if guessed else "Looking.",
            "focus": "#found",
        }

    def _poll(self, visit: Visit) -> Reply:
        """Return the parts that grow; while a model's shape is being read, the choices that need it."""
        question = parse_question(visit.query)
        look = self._find_inspection(visit, question)
        if look is None:
            return {"parts": self._render_parts(visit, question)}
        self._predictions.settle(visit)
        reply: Reply = {"parts": self._render_progress(visit)}
        if look.status == "done":
            reply["say"] = "All is measured."
        return reply

    def _fit_to_model(self, question: MicroscopeQuestion) -> MicroscopeQuestion:
        """Choose a layer and a matrix that the model has, if its shape is known."""
        shape = self._lab.find_known_shape(question.model)
        try:
            return settle_question(question, shape) if shape else question
        except LearnerError:  # the page's parts show the error
            return question

    def _address(self, visit: Visit, question: MicroscopeQuestion, look: str) -> str:
        """Build the address of this question, with the run or the concept that leads back."""
        address = build_microscope_address(MICROSCOPE, question, look=look)
        if run_id := visit.query.get("run"):
            address += f"{'&' if '?' in address else '?'}{urlencode({'run': run_id})}"
        return with_origin(address, visit.query)

    def _find_inspection(self, visit: Visit, question: MicroscopeQuestion) -> Inspection | None:
        """Find the inspection in the address if it matches this question."""
        look = visit.query.get("look", "")
        if not look or look != self._lab.inspections.derive_id(KIND, self._fit_to_model(question).order):
            return None
        return self._lab.inspections.find(look)

    def _render_parts(self, visit: Visit, question: MicroscopeQuestion) -> dict[str, Markup]:
        """Render the choices that depend on the model, and below them the prediction form or the results."""
        try:
            shape = self._lab.ask_for_shape(question.model, browser_id=visit.reads_for)
            if shape is None:
                waits = render("lora_lab/microscope/reading.html", model=question.model)
                return {"places": NO_HTML, "look": waits}
            question = settle_question(question, shape)
            places = render(
                "lora_lab/microscope/places.html",
                question=question,
                layers=shape.layers,
                matrices=list_matrices(shape),
            )
            if self._find_inspection(visit, question) is None:
                check_question(question, shape)
                return {"places": places, "look": render("lora_lab/microscope/guess.html", question=question)}
            found = render("lora_lab/microscope/found.html", parts=self._render_progress(visit))
            return {"places": places, "look": found}
        except LearnerError as error:
            return {"look": render_problem(error)}

    def _render_progress(self, visit: Visit) -> dict[str, Markup]:
        """Render what changes during the measurement, one part per panel."""
        question = self._fit_to_model(parse_question(visit.query))
        look = self._find_inspection(visit, question)
        if look is None:
            return {}
        shown = {panel.id: panel for panel in build_panels(question, look.found)}
        training = look.status == "waiting" and self._lab.engine.find_current() is not None
        parts = {
            "progress": render("lora_lab/microscope/progress.html", look=look, training=training),
            "verdicts": self._render_prediction(visit, look, question),
        }
        for name in PANELS:
            parts[name] = (
                render("lora_lab/microscope/panel.html", panel=shown[name]) if name in shown else NO_HTML
            )
        return parts

    def _render_prediction(self, visit: Visit, look: Inspection, question: MicroscopeQuestion) -> Markup:
        """Render the guess next to the result; empty when this learner has not guessed about it."""
        judged = self._predictions.judge_inspection(visit, look, question)
        if judged is None:
            return NO_HTML
        guess, verdicts = judged
        return render(
            "lora_lab/microscope/verdicts.html",
            guess=guess,
            question=question,
            verdicts=verdicts,
            ended=look.ended,
            concepts=self._context.concepts,
            tie=100 * RELATIVE_TIE,
            rise_share=100 * RISE_SHARE,
            rise_least=RISE_LEAST,
        )


def _block_parts(question: MicroscopeQuestion) -> dict[str, Markup]:
    """Render each side's choice of a block size; int8 has none."""
    return {
        f"{side}_block": render(
            "lora_lab/microscope/block.html",
            side=side,
            block=question.side(side).block,
            block_sizes=BLOCK_SIZES,
            has_blocks=has_blocks(question.side(side).bits),
        )
        for side in SIDES
    }


PANELS = ("weights", "map", "errors", "outliers", "double", "output", "losses")
