"""Settings: profiles, keyboard shortcuts, the daily number of new cards, and where the data is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr

from study import events, frame
from study.context import Context, Visit
from study.errors import LearnerError
from study.frame import Reply
from study.store.profiles import NAME_LIMIT
from study.templates import render

SAVED = "/settings?saved=1"  # a fresh page, because the name in the menu may have changed


def build(app: gr.Blocks, context: Context) -> None:
    """Add the page to the app."""
    page = SettingsPage(context=context)
    with frame.page(app, context, title="Settings", path="/settings"):
        frame.island(page.act, page.load, "settings", waiting=frame.waiting("Settings"))


@dataclass(frozen=True, kw_only=True)
class SettingsPage:
    """Handlers of Settings."""

    context: Context

    def load(self, request: gr.Request) -> str:
        """The settings of this profile, and the other profiles."""
        return self._page(frame.visit_of(self.context, request))

    def act(self, event: dict[str, Any], request: gr.Request) -> Reply:
        """One press."""
        visit = frame.visit_of(self.context, request, event)
        profiles = self.context.store.profiles
        match event.get("act"):
            case "rename":
                profiles.rename(visit.profile.id, events.field(event, "name"))
            case "add":
                profiles.add(visit.browser_id, events.field(event, "name"), now=visit.now)
            case "switch":
                profiles.switch(visit.browser_id, events.text(event, "profile"), now=visit.now)
            case "prefer":
                self._prefer(visit, event)
            case "ask-delete":
                return {"html": self._page(visit, deleting=True), "focus": "#delete"}
            case "keep":
                return {"html": self._page(visit), "focus": "#ask-delete"}
            case "delete":
                profiles.erase(visit.profile.id)
                return {"goto": "/"}
            case other:
                raise LearnerError(f"This page has no {other!r}.", do_next="Reload the page.")
        return {"goto": SAVED}

    def _prefer(self, visit: Visit, event: Mapping[str, Any]) -> None:
        written = events.field(event, "new_cards_a_day")
        if not written.isdecimal():
            raise LearnerError(
                f"{written!r} is no number of cards.", do_next="Choose 0 to 200; 10 is a good pace."
            )
        self.context.store.notes.prefer(
            visit.profile.id,
            shortcuts=bool(events.field(event, "shortcuts")),
            new_cards_a_day=int(written),
        )

    def _page(self, visit: Visit, *, deleting: bool = False) -> str:
        store = self.context.store
        return render(
            "study/settings.html",
            profile=visit.profile,
            others=[profile for profile in store.profiles.all() if profile.id != visit.profile.id],
            preferences=visit.preferences,
            name_limit=NAME_LIMIT,
            data_folder=str(self.context.settings.home),
            saved="saved" in visit.query,
            deleting=deleting,
            ratings=len(store.cards.history(visit.profile.id)),
            answers=len(store.quizzes.history(visit.profile.id)),
            explanations=len(store.explains.attempts(visit.profile.id)),
        )
