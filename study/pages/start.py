"""Understand LoRA in five minutes: a stepper of live figures with a question each, and a real run at the end.

The URL holds the place: `/start?step=3&answer=2`, with the figure's settings once it was moved; in the last
step `&run=ID` too; `&missed=25` are the steps answered wrong so far. A reload shows the same.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import urlencode

import gradio as gr
from markupsafe import Markup

from study.base.errors import LearnerError
from study.base.html import NO_HTML
from study.figures.controls import list_controls
from study.figures.figure import Figures
from study.lessons.introduction import OUTCOMES, IntroductionStep, order_cards, read_introduction
from study.lessons.lesson_text import LessonText, Terms
from study.ports.context import Context, Visit
from study.ports.introduction import FirstRuns
from study.text.templates import render
from study.web import form_event, frame
from study.web.frame import Reply

PATH = "/start"


@dataclass(frozen=True, kw_only=True)
class IntroductionPlace:
    """What the URL says: the step, the answer given in it, the run, and how the figure was set.

    0 and empty mean none.
    """

    step: int
    answer: int = 0
    run: str = ""
    missed: str = ""
    """The numbers of the steps whose question was answered wrong: their cards come first."""

    settings: Mapping[str, str] = field(default_factory=dict)

    @property
    def address(self) -> str:
        """The URL of this place."""
        here = {"step": self.step, "answer": self.answer, "run": self.run, "missed": self.missed}
        given = {**here, **self.settings}
        return f"{PATH}?{urlencode({name: value for name, value in given.items() if value})}"


@dataclass(frozen=True, kw_only=True)
class StartPage:
    place = frame.IslandPlace(
        elem_id="start", title="Understand LoRA in five minutes", path=PATH, under="/learn"
    )

    context: Context
    figures: Figures
    terms: Terms
    first_run: FirstRuns

    def load(self, request: gr.Request) -> Markup:
        visit = frame.open_visit(self.context, request)
        return self._render_page(visit, self._read_place(visit))

    def act(self, event: dict[str, Any], request: gr.Request) -> Reply:
        """Go to a step, take an answer, start the run, or show how far it is."""
        visit = frame.open_visit(self.context, request, event)
        place = self._read_place(visit)
        match event.get("act"):
            case "here":
                return {"html": self._render_page(visit, place), "focus": "#step-title"}
            case "go":
                step = form_event.read_number(
                    form_event.read_text(event, "step"), default=1, low=1, high=len(read_introduction())
                )
                there = IntroductionPlace(step=step, missed=place.missed)
                return self._go(visit, self._resume(visit, there), focus="#step-title")
            case "answer":
                return self._answer(visit, place, event)
            case "poll":
                return self._poll(visit, place)
            case "stop":
                self.first_run.stop(place.run)
                return self._poll(visit, place) | {"say": "Stopping the run."}
            case "anew":
                self.context.store.preferences.change(visit.profile.id, first_run="")
                fresh = IntroductionPlace(step=place.step, missed=place.missed)
                return self._go(visit, fresh, focus="#step-title")
            case "end":
                self.context.store.preferences.change(visit.profile.id, tour_seen=True)
                return {"goto": "/"}
        raise form_event.build_unknown_act_error(event)

    def _answer(self, visit: Visit, place: IntroductionPlace, event: Mapping[str, Any]) -> Reply:
        step = read_introduction()[place.step - 1]
        choice = form_event.read_field(event, "choice")
        answer = form_event.read_number(choice, default=0, low=0, high=len(step.choices))
        if not answer:
            raise LearnerError("No answer is chosen.", do_next="Choose one; a guess is fine.")
        run = place.run
        if step.runs and not run:
            guess = {"course": OUTCOMES[answer - 1], "guess_mb": form_event.read_field(event, "guess_mb")}
            run = self.first_run.start(visit, anew=not self.context.shared, guess=guess)
            self.context.store.preferences.change(visit.profile.id, tour_seen=True, first_run=run)
        missed = place.missed
        if not step.runs and answer != step.right and str(place.step) not in missed:
            missed += str(place.step)
        return self._go(visit, replace(place, answer=answer, run=run, missed=missed), focus="#verdict")

    def _go(self, visit: Visit, place: IntroductionPlace, *, focus: str) -> Reply:
        step = read_introduction()[place.step - 1]
        said = f"Step {place.step} of {len(read_introduction())}: {step.title}." if not place.answer else ""
        return {"html": self._render_page(visit, place), "step": place.address, "focus": focus, "say": said}

    def _poll(self, visit: Visit, place: IntroductionPlace) -> Reply:
        if not place.run:
            return {}
        view = self.first_run.show(visit, place.run)
        if view.ended:
            peak = f" The peak memory of a step was {view.peak}." if view.peak else ""
            return {"html": self._render_page(visit, place), "say": f"The run has ended.{peak}"}
        outcome = render("study/start/start_outcome.html", view=view, said=view.guessed)
        coming = render("study/start/start_next.html", view=view, cards=order_cards(place.missed))
        return {"parts": {"run": view.html, "outcome": outcome, "next": coming}}

    def _render_page(self, visit: Visit, place: IntroductionPlace) -> Markup:
        steps = read_introduction()
        step = steps[place.step - 1]
        view = self.first_run.show(visit, place.run) if place.run else None
        said = OUTCOMES.index(view.guessed) + 1 if view and view.guessed else place.answer
        return render(
            "study/start/start.html",
            steps=steps,
            step=step,
            place=place,
            text=LessonText(self.terms, "", linked=False).render_prose(step.text),
            figure=self._render_figure(step, place.settings),
            view=view,
            cards=order_cards(place.missed),
            guess=step.choices[said - 1].say if said else "",
            said=OUTCOMES[said - 1] if step.runs and said else "",
            right=step.runs or place.answer == step.right,
            keeps_to=self.first_run.keeps_to,
            duration=self.first_run.describe_duration() if step.runs and not place.run else "",
        )

    def _render_figure(self, step: IntroductionStep, moved: Mapping[str, str]) -> Markup:
        figure = self.figures.get(step.figure)
        return figure.render_fragment({**step.settings, **moved}) if figure else NO_HTML

    def _read_place(self, visit: Visit) -> IntroductionPlace:
        query = visit.query
        step = form_event.read_number(query.get("step", ""), default=1, low=1, high=len(read_introduction()))
        figure = self.figures.get(read_introduction()[step - 1].figure)
        names = [name for name, _ in list_controls(figure.settings)] if figure else []
        place = IntroductionPlace(
            step=step,
            answer=form_event.read_number(query.get("answer", ""), default=0, low=0, high=len(OUTCOMES)),
            run=query.get("run", "")[:100],
            missed=query.get("missed", "")[: len(read_introduction())],
            settings={name: query[name] for name in names if name in query},
        )
        if place.run and not self.first_run.has(place.run):  # deleted since: ask for another guess
            place = replace(place, run="", answer=0)
        return self._resume(visit, place)

    def _resume(self, visit: Visit, place: IntroductionPlace) -> IntroductionPlace:
        """Return to the run that was started here before, unless it was deleted."""
        run = visit.preferences.first_run
        if place.run or not run or not read_introduction()[place.step - 1].runs:
            return place
        return replace(place, run=run) if self.first_run.has(run) else place
