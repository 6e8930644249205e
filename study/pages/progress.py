"""Progress: mastery, next steps, and the sections of each kind of study; charts are drawn afterwards."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, cast
from urllib.parse import urlencode

import gradio as gr
from fastapi import FastAPI, Request
from fastapi.responses import Response
from markupsafe import Markup

from study.base.errors import LearnerError
from study.learner.mastery import compute_mastery, suggest_steps
from study.learner.path import list_understood
from study.learner.progress import LEVEL_RULE, MASTERY_RULE
from study.plots.render import render_on_page
from study.plots.sheet import NARROW_INCHES, WIDE_INCHES
from study.ports.context import Context, Visit
from study.ports.progress import Section
from study.ports.subjects import Subjects
from study.text.templates import render
from study.web import form_event, frame
from study.web.downloads import answer_not_found, plot_response
from study.web.frame import Reply


@dataclass(frozen=True, kw_only=True)
class ProgressPage:
    place = frame.IslandPlace(elem_id="progress", title="Progress", path="/progress", look="progress")

    context: Context
    subjects: Subjects
    sections: Sequence[Section]

    def load(self, request: gr.Request) -> Markup:
        """Render everything except the charts."""
        return self._render_page(frame.open_visit(self.context, request))

    def act(self, event: dict[str, Any], request: gr.Request) -> Reply:
        """Draw the charts, or pass an event to the section it belongs to."""
        visit = frame.open_visit(self.context, request, event)
        if event.get("act") == "draw":
            return {"parts": self._draw(visit, narrow=form_event.read_field(event, "narrow") == "yes")}
        for section in self.sections:
            reply = section.act(event, visit)
            if reply is not None:
                return cast(Reply, reply)
        raise form_event.build_unknown_act_error(event)

    def _render_page(self, visit: Visit) -> Markup:
        known = compute_mastery(self.context.store, visit.profile.id, self.subjects)
        marks = self.context.store.lessons.marks(visit.profile.id)
        concepts = self.context.concepts
        parts = {section.name: section.render_html(visit) for section in self.sections}
        return render(
            "study/progress/progress.html",
            mastery=known,
            met=[
                (name, [concept for concept in found if concept.id in known])
                for name, found in concepts.group_by_area()
                if any(concept.id in known for concept in found)
            ],
            concepts=concepts,
            steps=suggest_steps(concepts, known, list_understood(marks, known), self.subjects)
            if known
            else [],
            sections={name: html for name, html in parts.items() if html},
            mastery_rule=MASTERY_RULE,
            level_rule=LEVEL_RULE,
        )

    def _draw(self, visit: Visit, *, narrow: bool) -> dict[str, Markup]:
        return {
            f"figures-{section.name}": _render_figures(section, visit, narrow) for section in self.sections
        }


def _render_figures(section: Section, visit: Visit, narrow: bool) -> Markup:
    width = NARROW_INCHES if narrow else WIDE_INCHES
    query = urlencode({"scope": visit.query["scope"]}) if visit.query.get("scope") else ""
    plots = [(plot, render_on_page(plot, width_inches=width)) for plot in section.build_charts(visit)]
    leading = sorted(
        (drawn for drawn in plots if drawn[0].name in section.leading),
        key=lambda drawn: section.leading.index(drawn[0].name),
    )
    rest = [drawn for drawn in plots if drawn not in leading]
    return render("study/progress/progress_figures.html", leading=leading, rest=rest, query=query)


def register_chart_files(site: FastAPI, context: Context, sections: Sequence[Section]) -> None:
    """Add the route of the charts as files: PNG, SVG and CSV of the learner whose browser asks."""

    def answer(name: str, ending: str, request: Request) -> Response:
        try:
            visitor = frame.open_visit(context, request)
        except LearnerError as error:
            return answer_not_found(str(error))
        found = (plot for part in sections for plot in part.build_charts(visitor) if plot.name == name)
        plot = next(found, None)
        if plot is None:
            return answer_not_found(f"There is no chart named {name} yet.")
        return plot_response(plot, ending, f"{name}-{visitor.now:%Y-%m-%d}")

    site.get("/progress/plots/{name}.{ending}")(answer)
