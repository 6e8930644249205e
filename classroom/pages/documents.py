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
LIVE, ASK = STATIC / "live.js", STATIC / "ask.js"
SENT_FILES = {
    "class.css": (STUDY_STATIC / "questions.css", STATIC / "class.css"),
    "lead.css": (STATIC / "lead.css",),  # of the teacher and the projector
    "student.js": (LIVE, STATIC / "student.js"),
    "screen.js": (LIVE, STATIC / "screen.js"),
    "teacher.js": (LIVE, ASK, STATIC / "teacher.js"),
    "plans.js": (ASK, STATIC / "plans.js"),
    "once.js": (STATIC / "once.js",),
    "help.js": (STATIC / "help.js",),
    "join.js": (STATIC / "join.js",),
    "figures.css": (STUDY_STATIC / "figures.css",),  # for a plan with a live figure
    "figures.js": (STUDY_STATIC / "figures.js",),
    "site.js": (STUDY_STATIC / "site.js",),  # the search, for the teacher
}
"""Each style sheet and script with what it shares with others or with the quiz, sent as one file."""

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
    if name not in SENT_FILES:
        return Response("There is no such file.", 404)
    text = "".join(map(_read_text, SENT_FILES[name]))
    kind = "text/css" if name.endswith(".css") else "text/javascript"
    return Response(text, media_type=kind, headers={"Cache-Control": "no-cache"})


@cache
def _read_text(path: Path) -> str:
    return strip_comments(path.read_text("utf-8"), path.suffix)
