"""The page frame: the head, menu and live region of every page, and the islands its content lives in.

An island is HTML made by the server. `load` makes it when the page opens; `act` answers an event and may
send new HTML. The browser's side of the contract is written at the top of `static/island.js`.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypedDict
from urllib.parse import parse_qsl

import gradio as gr
from markupsafe import Markup
from starlette.requests import Request

from study.base.errors import LearnerError
from study.base.html import NO_HTML, keep_together
from study.base.owner_log import note, note_error
from study.base.settings import APP_NAME
from study.ports.context import Context, Visit, find_visit
from study.ports.places import find_place
from study.store.database import share_view
from study.store.storage_errors import translate_storage_errors
from study.text.surrogates import replace_unencodable
from study.text.templates import render
from study.web import form_event, page_files
from study.web.fresh_browser import list_known
from study.web.island_route import GuardedAct
from study.web.security import middleware
from study.web.security.access import build_owners_only_error, find_role, may_use_lab


class Reply(TypedDict, total=False):
    """What `act` answers. All keys are optional; see `static/island.js` for what each does."""

    html: Markup
    say: str
    focus: str
    url: str
    step: str
    goto: str
    error: str
    beside: str
    parts: dict[str, Markup]
    then: str


Act = Callable[[dict[str, Any], gr.Request], Reply]
Load = Callable[[gr.Request], Markup]


@dataclass(frozen=True, kw_only=True)
class IslandPlace:
    """Where a page with one island stands: see `add_page`, `add_island` and `render_waiting`."""

    elem_id: str
    title: str
    path: str
    under: str = ""
    heading: str = ""
    """Of what waits, where it is not the title."""

    look: str = ""
    learners_may: Collection[str] | None = None
    """What changes nothing for others; the rest is the owner's on a server for learners. None: all of it."""

    back: tuple[str, str] = ("", "")
    """Path and title of the page that lists what this one shows, where it isn't this page."""


class IslandPage(Protocol):
    @property
    def place(self) -> IslandPlace: ...

    @property
    def act(self) -> Act | None: ...

    @property
    def load(self) -> Load: ...


def add_island_page(app: gr.Blocks, context: Context, page: IslandPage) -> None:
    """Add a page with its own address, title, menu, live region and one island.

    A `LearnerError` that the island raises is shown to the learner; anything else is a bug, is logged by the
    server, and shows as "the app did not answer".
    """
    place = page.place
    with app if place.path == "/" else app.route(place.title, place.path, show_in_navbar=False):
        with gr.Row(elem_id="site"):
            gr.HTML(
                render(
                    "study/frame/menu.html",
                    places=context.places,
                    here=find_place(context.places, place.path, place.under),
                    path=place.path,
                    under=place.under,
                ),
                elem_id="menu",
                js_on_load=page_files.read("menu.js"),
                apply_default_css=False,
            )
            who = gr.HTML("", elem_id="who", apply_default_css=False)
        asks = gr.HTML("", elem_id="asks", apply_default_css=False)
        html = gr.HTML(
            value=render_waiting(place.heading or place.title, place.look),
            # Not {{{value}}}: Gradio evaluates what Handlebars returns as JavaScript, texts and all.
            html_template='<div class="island">${value}</div>',
            js_on_load=page_files.build_on_load("island.js"),
            server_functions=[guard_act(page)],
            elem_id=place.elem_id,
            apply_default_css=False,
        )
        app.load(
            _build_loader(context, page),
            None,
            [who, asks, html],  # in one event: "Who are you?" would move what stands on the page already
            queue=False,
            show_progress="hidden",
            api_visibility="private",
        )
        # What the page shows may have come before this runs.
        named = f"document.querySelector('[data-title]')?.dataset.title ?? {place.title!r}"
        app.load(None, js=f"() => {{ document.title = ({named}) + ' · {APP_NAME}' }}")


def guard_act(page: IslandPage) -> GuardedAct:
    """Return `page.act` as the app calls it: for those who may, in one view, with errors as answers."""
    place = page.place

    def act(event: dict[str, Any], request: gr.Request) -> Reply:  # island.js calls it by this name
        try:
            may = place.learners_may is None or event.get("act") in place.learners_may
            if not may and not may_use_lab(request):
                note("refused", f"A learner pressed what is the owner's on {place.elem_id}.")
                raise build_owners_only_error()
            if page.act is None:
                raise form_event.build_unknown_act_error(event)
            with translate_storage_errors(), share_view():
                return _make_sendable(page.act(event, request))
        except LearnerError as error:
            return _make_sendable({"error": str(error)})

    return act


def _build_loader(
    context: Context, page: IslandPage
) -> Callable[[gr.Request], tuple[Markup, Markup, Markup]]:
    """Build what answers the opening of a page."""

    def load_page(request: gr.Request) -> tuple[Markup, Markup, Markup]:
        """Return the profile's name for the menu, "Who are you?" and the island's content."""
        with share_view():
            return *load_header(context, request), _load_island(page, request)

    return load_page


def _load_island(page: IslandPage, request: gr.Request) -> Markup:
    try:
        with translate_storage_errors():
            return keep_together(page.load(request))
    except LearnerError as error:
        place = page.place
        has_list = bool(request.query_params) and place.path != "/"  # what the address asks for is not there
        path, title = place.back if place.back[0] else (place.path if has_list else "", place.title)
        return render("study/frame/trouble.html", error=error, list_path=path, list_title=title)
    except Exception as error:  # Gradio answers it, so that nothing else sees it
        note_error(f"opening {page.place.elem_id}", error)
        raise


def load_header(context: Context, request: gr.Request) -> tuple[Markup, Markup]:
    """Return the profile name at the right end of the menu, with its shortcuts, and "Who are you?" below."""
    try:
        with translate_storage_errors():
            visitor = open_visit(context, request)
            known = list_known(context, visitor) if visitor.is_here else []
    except LearnerError:  # a browser without cookies: the page itself says so
        return NO_HTML, NO_HTML
    asks = render("study/frame/who_are_you.html", known=known) if known else NO_HTML
    return render("study/frame/who.html", visit=visitor), asks


def collect_acts(pages: gr.Blocks) -> dict[str, GuardedAct]:
    """Return what answers the events of each island, by its element's id.

    Raises ValueError where two islands have one id: an event couldn't tell them apart.
    """
    acts: dict[str, GuardedAct] = {}
    for block in pages.blocks.values():
        act = getattr(block, "act", None) if isinstance(block, gr.HTML) else None
        if act is None:
            continue
        if block.elem_id in acts:
            raise ValueError(f"two islands are named {block.elem_id!r}")
        acts[str(block.elem_id)] = act
    return acts


def _make_sendable(reply: Reply) -> Reply:
    """Keep numbers and units on one line, and replace what isn't UTF-8: half a character of a bad file."""
    if "html" in reply:
        reply["html"] = keep_together(replace_unencodable(reply["html"]))
    for name in ("say", "error"):
        if name in reply:
            reply[name] = replace_unencodable(reply[name])
    if "parts" in reply:
        reply["parts"] = {
            name: keep_together(replace_unencodable(html)) for name, html in reply["parts"].items()
        }
    return reply


def open_visit(context: Context, request: gr.Request | Request, event: dict[str, Any] | None = None) -> Visit:
    """Open a visit: the requester, and what the address says of the page, the file or the event."""
    browser_id = middleware.find_browser(dict(request.cookies))
    query = _read_query(str(request.query_params)) if event is None else read_event_query(event)
    found = find_visit(context, browser_id=browser_id, query=query)
    found = replace(
        found,
        may_use_lab=may_use_lab(request),
        is_here=middleware.is_here(request),
        is_owner=find_role(request) == "owner",
    )
    if event and event.get("shown_profile") not in (None, found.profile.id):
        raise LearnerError(
            "Another profile was chosen in another window; nothing was changed here.",
            do_next="Reload the page to go on with that one.",
        )
    if event and context.shared and not found.preferences.time_zone:
        return _with_browsers_zone(context, found, event.get("zone"))
    return found


def _with_browsers_zone(context: Context, visit: Visit, zone: object) -> Visit:
    """Count a learner's days where their browser is: the server may stand elsewhere."""
    if not isinstance(zone, str) or not zone:
        return visit
    try:
        preferences = context.store.preferences.change(visit.profile.id, time_zone=zone)
    except LearnerError:  # a zone that only the browser knows
        return visit
    return replace(visit, preferences=preferences)


def read_event_query(event: Mapping[str, Any]) -> dict[str, str]:
    """Read what the address said when an event was sent."""
    return _read_query(str(event.get("query", "")).removeprefix("?"))


def _read_query(query: str) -> dict[str, str]:
    return {name: form_event.clean(value) for name, value in parse_qsl(query)}


def render_waiting(title: str, look: str = "") -> Markup:
    """What an island shows until its content has come: the right heading and width, so that nothing jumps.

    `look` is the class of the page to come, where that decides its width.
    """
    return render("study/frame/waiting.html", title=title, look=look)
