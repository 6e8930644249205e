"""Whole pages of a class, their static files, and QR codes."""

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

from fastapi.responses import HTMLResponse, Response

from study.base.settings import APP_NAME
from study.text.templates import render

STATIC = Path(__file__).parents[1] / "static"
SCRIPTS = {"student.js", "screen.js", "teacher.js"}


def page(name: str, *, title: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A page with the app's style sheet in it."""
    html = render(f"classroom/{name}.html", title=title, app_name=APP_NAME, **values)
    return HTMLResponse(html, status, headers={"Cache-Control": "no-store"})


def static(name: str) -> Response:
    """A style sheet or script; each screen's script comes with what all of them share, in one file."""
    if name == "class.css":
        return Response(_read("class.css"), media_type="text/css", headers=_revalidated())
    if name in SCRIPTS:
        script = _read("live.js") + _read(name)
        return Response(script, media_type="text/javascript", headers=_revalidated())
    return Response("There is no such file.", 404)


def _revalidated() -> Mapping[str, str]:
    return {"Cache-Control": "no-cache"}


@cache
def _read(name: str) -> str:
    return (STATIC / name).read_text("utf-8")
