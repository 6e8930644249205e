"""Today: what is due, one button for the five-minute review, and a summary of progress below."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import gradio as gr
from markupsafe import Markup

from study.learner import progress
from study.learner.mastery import compute_mastery
from study.learner.path import choose_next_concept, list_understood, say_place
from study.pages.review import ReviewPage
from study.ports.context import Context, Visit
from study.ports.ports import Ports
from study.text.templates import render
from study.web import form_event, frame
from study.web.frame import Reply
from study.web.fresh_browser import stop_asking

GLANCE = "lora-at-a-glance"
WEEK = timedelta(days=7)


@dataclass(frozen=True, kw_only=True)
class TodayPage:
    place = frame.IslandPlace(elem_id="today", title="Today", path="/")

    context: Context
    review: ReviewPage
    ports: Ports

    def load(self, request: gr.Request) -> Markup:
        """Render a newcomer's page, or a learner's."""
        return self._render_page(frame.open_visit(self.context, request))

    def act(self, event: dict[str, Any], request: gr.Request) -> Reply:
        """Start the review, leave the newcomer's page, or take what a fresh browser says of its learner.

        A page that was left open is rendered anew once another study day has begun.
        """
        visit = frame.open_visit(self.context, request, event)
        match event.get("act"):
            case "start":
                return {"goto": self.review.start(visit)}
            case "poll":
                if form_event.read_text(event, "day") == visit.today.isoformat():
                    return {}
                return {"html": self._render_page(visit)}
            case "switch" if visit.is_here:
                profile_id = form_event.read_text(event, "profile")
                self.context.store.profiles.switch(visit.browser_id, profile_id, now=visit.now)
                return {"goto": "/"}
            case "new-here" | "not-now":
                stop_asking(self.context, visit)
                return {}
            case "know":
                self.context.store.preferences.change(visit.profile.id, tour_seen=True)
                visit = frame.open_visit(self.context, request, event)
                return {"html": self._render_page(visit), "focus": "#main"}
        raise form_event.build_unknown_act_error(event)

    def _render_page(self, visit: Visit) -> Markup:
        store, profile_id = self.context.store, visit.profile.id
        reviews = store.cards.history(profile_id)
        moments = store.list_answer_times(profile_id)
        if not moments and not visit.preferences.tour_seen:
            return render_newcomer_page(self.ports)
        return render(
            "study/today/today.html",
            day=visit.today.isoformat(),
            greeting=_format_greeting(visit),
            name=visit.profile.name if visit.profile.named else "",
            due=self.ports.cards_due(visit),
            plan=self.review.plan(visit),
            unfinished=self.review.find_unfinished(visit),
            open_quiz=self.ports.open_quiz(visit),
            streak=_format_streak(visit, moments),
            recalled=progress.count_recalled(r for r in reviews if r.reviewed_at >= visit.now - WEEK),
            last_run=self.ports.last_run(visit),
            weekdays=_list_weekdays(visit),
            lasts_until=_find_late_end(visit),
            **self._list_concepts(visit),
        )

    def _list_concepts(self, visit: Visit) -> dict[str, Any]:
        concepts = self.context.concepts
        known = compute_mastery(self.context.store, visit.profile.id, self.ports.subjects)
        marks = self.context.store.lessons.marks(visit.profile.id)
        following = choose_next_concept(concepts, list_understood(marks, known))
        return {
            "missed": [
                (
                    concept,
                    found,
                    visit.format_days_ago(found.last_seen),
                    self.ports.subjects.count_items(concept)[0],
                )
                for concept, found in progress.find_weakest(known)
            ],
            "next_concept": following,
            "next_place": say_place(concepts, following) if following else "",
            "has_progress": self.context.has_page("/progress"),
            "concepts": concepts,
        }


def render_newcomer_page(ports: Ports) -> Markup:
    """Render what someone sees who has answered nothing yet: what LoRA is, and the introduction's button."""
    figure = ports.figures.get(GLANCE)
    return render("study/today/newcomer.html", figure=figure.render_fragment({}) if figure else "")


def _format_greeting(visit: Visit) -> str:
    hour = visit.now.astimezone(visit.days.zone).hour
    part = "morning" if 4 <= hour < 12 else "afternoon" if 12 <= hour < 18 else "evening"
    return f"Good {part}"


def _format_streak(visit: Visit, moments: Sequence[datetime]) -> str:
    """Say how many study days in a row were used; a single one only if it is the very first."""
    today = visit.today
    streak = progress.count_streak_days(moments, today=today, days=visit.days)
    if streak > 1:
        return f"{streak} days in a row"
    return "First day" if moments and all(visit.days.day(moment) == today for moment in moments) else ""


def _find_late_end(visit: Visit) -> str:
    """Return when today's study day ends, if the calendar is a day ahead already; otherwise nothing."""
    calendar = visit.now.astimezone(visit.days.zone).date()
    if calendar == visit.today:
        return ""
    return f"{visit.days.end(visit.now).astimezone(visit.days.zone):%H:%M}"


def _list_weekdays(visit: Visit) -> list[str]:
    today = visit.today
    return ["Today", *((today + timedelta(days=ahead)).strftime("%a") for ahead in range(1, 7))]
