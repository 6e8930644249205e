"""Settings: profiles and their devices, look, keyboard shortcuts, card preferences, the data folder and, for
the owner, the log.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any
from urllib.parse import urlsplit
from zoneinfo import available_timezones

import gradio as gr
from markupsafe import Markup

from study.base.addresses import is_loopback, list_reachable_addresses
from study.base.owner_log import FILE, read_last
from study.io.pending_upload import PendingUploads
from study.ports.context import Context, Visit
from study.store.logs.preferences import CardOrder
from study.store.profiles import NAME_LIMIT
from study.text.templates import render
from study.web import form_event, frame
from study.web.device_routes import LINK_MINUTES, Devices, draw_qr_code
from study.web.frame import Reply

NUMBERS = ("new_cards_a_day", "reviews_a_day", "learn_ahead_minutes", "session_minutes", "day_begins_hour")
WORDS = ("card_order", "time_zone")
ORDER_NAMES: dict[CardOrder, str] = {
    "due": "longest due first",
    "weakest": "most likely forgotten first",
    "mixed": "mixed, new ones in between",
}
SAVED = "/settings?saved=1"  # a fresh page, because the name in the menu may have changed


@dataclass(frozen=True, kw_only=True)
class SettingsPage:
    place = frame.IslandPlace(elem_id="settings", title="Settings", path="/settings")

    context: Context
    devices: Devices | None = None
    """On a server for learners: what adds and removes the browsers of a profile."""

    def load(self, request: gr.Request) -> Markup:
        """Render the settings of this profile; the other profiles are shown at this machine only."""
        return self._render_page(frame.open_visit(self.context, request))

    def act(self, event: dict[str, Any], request: gr.Request) -> Reply:
        visit = frame.open_visit(self.context, request, event)
        profiles, shared = self.context.store.profiles, self.context.shared
        match event.get("act"):
            case "rename":
                profiles.rename(visit.profile.id, form_event.read_field(event, "name"), shared=shared)
            case "add":
                name = form_event.read_field(event, "name")
                profiles.add(visit.browser_id, name, now=visit.now, shared=shared)
            case "switch" if visit.is_here:
                profiles.switch(visit.browser_id, form_event.read_text(event, "profile"), now=visit.now)
            case "prefer":
                self._keep_preferences(visit, event)
            case "ask-delete":
                return {"html": self._render_page(visit, deleting=True), "focus": "#delete"}
            case "keep":
                return {"html": self._render_page(visit), "focus": "#ask-delete"}
            case "delete":
                profiles.erase(visit.profile.id)
                PendingUploads(folder=self.context.settings.imports_dir).drop(visit.profile.id)
                return {"goto": "/"}
            case "add-device" if self.devices:
                link = self.devices.link(visit.profile.id, *_read_host(request), now=visit.now)
                shown = render(
                    "study/settings/device_link.html", link=link, qr=draw_qr_code(link), minutes=LINK_MINUTES
                )
                return {"parts": {"device": shown}, "say": "The link is there.", "focus": "#device-link"}
            case "remove-device" if self.devices:
                self.devices.remove(visit.profile.id, form_event.read_text(event, "device"))
            case "recover" if self.devices:
                phrase = form_event.read_field(event, "phrase")
                self.devices.recover(phrase, visit.browser_id, now=visit.now)
                return {"goto": "/"}
            case _:
                raise form_event.build_unknown_act_error(event)
        return {"goto": SAVED}

    def _keep_preferences(self, visit: Visit, event: Mapping[str, Any]) -> None:
        chosen: dict[str, Any] = {
            name: form_event.read_whole_field(event, name)
            for name in NUMBERS
            if form_event.read_fields(event, name)
        }
        words = {
            name: form_event.read_field(event, name).strip()
            for name in WORDS
            if form_event.read_fields(event, name)
        }
        shortcuts = bool(form_event.read_field(event, "shortcuts"))  # an empty box is not sent
        self.context.store.preferences.change(visit.profile.id, shortcuts=shortcuts, **chosen, **words)

    def _render_page(self, visit: Visit, *, deleting: bool = False) -> Markup:
        store, home = self.context.store, self.context.settings.home
        others = [each for each in store.profiles.all() if each.id != visit.profile.id]
        return render(
            "study/settings/settings.html",
            profile=visit.profile,
            others=others if visit.is_here else [],
            is_here=visit.is_here,
            devices=self.devices.list_devices(visit.profile.id, visit.browser_id) if self.devices else None,
            phrase=self.devices.keys.build_phrase(visit.profile.id) if self.devices else "",
            preferences=visit.preferences,
            orders=ORDER_NAMES,
            zones=_list_zones(),
            is_shared=self.context.shared,
            name_limit=NAME_LIMIT,
            data_folder=str(home) if visit.is_owner else "",
            log=read_last(home) if visit.is_owner else None,
            log_file=str(home / FILE),
            saved="saved" in visit.query,
            deleting=deleting,
            ratings=len(store.cards.history(visit.profile.id)),
            answers=len(store.quizzes.history(visit.profile.id)),
            explanations=len(store.explains.attempts(visit.profile.id)),
        )


def _read_host(request: gr.Request) -> tuple[str, bool]:
    """Read the host by which other devices reach the app, and whether by HTTPS."""
    host = request.headers.get("host", "")
    name = urlsplit(f"//{host}").hostname or ""
    if is_loopback(name) and (here := list_reachable_addresses()):
        _, colon, port = host.removeprefix(f"[{name}]").partition(":")
        host = f"{here[0]}{colon}{port}"
    return host, request.headers.get("x-forwarded-proto", "") == "https"


@cache
def _list_zones() -> tuple[str, ...]:
    return tuple(sorted(zone for zone in available_timezones() if "/" in zone and "Etc" not in zone))
