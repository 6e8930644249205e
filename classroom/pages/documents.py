"""Whole pages of a class, their static files, and QR codes."""

from functools import cache, lru_cache
from pathlib import Path
from typing import Any

from fastapi.responses import HTMLResponse, Response
from markupsafe import Markup

from study.base.settings import APP_NAME
from study.text.sent_files import strip_comments
from study.text.templates import PAGE_STYLE, render
from study.web.device_routes import draw_qr_code

STATIC = Path(__file__).parents[1] / "static"
STUDY_STATIC = PAGE_STYLE.parent
SHARED_FILES = {"figures.css", "figures.js", "site.js"}
"""Of the study pages: live figures for a plan that has one, and the search for the teacher."""

STYLES = {
    "class.css": (STUDY_STATIC / "questions.css", STATIC / "class.css"),
    "lead.css": (STATIC / "lead.css",),
}
"""Each style sheet with what it shares with the quiz; `lead.css` is the teacher's and the projector's."""

SCRIPTS = {
    "student.js": ("live.js",),
    "screen.js": ("live.js",),
    "teacher.js": ("live.js", "ask.js"),
    "plans.js": ("ask.js",),
    "once.js": (),
    "help.js": (),
    "join.js": (),
}
"""Each page's own script, with what it shares with others."""


REFUSAL_ABOVE_FORM = (
    "Only the teacher's computer opens this page: to take part, type the digits on the screen."
)


@lru_cache(maxsize=256)
def draw_link(link: str) -> Markup:
    """Draw the QR code of a link. Kept: one takes 6 ms, and each state of the projector has it."""
    return draw_qr_code(link)


def render_page(name: str, *, title: str, status: int = 200, **values: Any) -> HTMLResponse:
    html = render(f"classroom/{name}.html", title=title, app_name=APP_NAME, **values)
    return HTMLResponse(html, status, headers={"Cache-Control": "no-store"})


def render_refusal() -> HTMLResponse:
    """Refuse a page of the teacher's computer, above the form for the six digits."""
    return render_page("student/join", title="Join a class", status=403, error="", refusal=REFUSAL_ABOVE_FORM)


def send_static(name: str) -> Response:
    """Send a style sheet or script; each comes with what it shares, in one file."""
    headers = {"Cache-Control": "no-cache"}
    if name in SHARED_FILES:
        kind = "text/css" if name.endswith(".css") else "text/javascript"
        return Response(_read_text(STUDY_STATIC / name), media_type=kind, headers=headers)
    if name in STYLES:
        style = "".join(map(_read_text, STYLES[name]))
        return Response(style, media_type="text/css", headers=headers)
    if name in SCRIPTS:
        script = "".join(map(_read, (*SCRIPTS[name], name)))
        return Response(script, media_type="text/javascript", headers=headers)
    return Response("There is no such file.", 404)


def _read(name: str) -> str:
    return _read_text(STATIC / name)


@cache
def _read_text(path: Path) -> str:
    return strip_comments(path.read_text("utf-8"), path.suffix)
