"""Gradio's scripts and style sheets: compressed once, better than it does, and kept by browsers for a year.

Gradio compresses each of its files anew for every request, lightly, and names no time for which it is good.
The names of these files hold a hash of their content, so a browser may keep them.
"""

from collections.abc import Callable
from functools import cache
from importlib.resources import files
from pathlib import Path

import brotli  # type: ignore[import-untyped]
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from study.web.downloads import not_found

GRADIO_FILES = Path(str(files("gradio"))) / "templates" / "frontend" / "assets"
TYPES = {".js": "text/javascript", ".css": "text/css"}
QUALITY = 10  # an eighth less than Gradio sends, for 0.4 s of one core at the first page after a start
KEEP = "public, max-age=31536000, immutable"
UNUSED_SCRIPT = "/static/js/iframeResizer.contentWindow.min.js"
"""Gradio's page asks for it, for pages in a frame of another site. No other site may frame ours."""


def register(site: FastAPI) -> None:
    """Add the routes; they stand before Gradio's."""
    site.get("/assets/{name}")(serve_file)
    site.get(UNUSED_SCRIPT)(serve_nothing)


def serve_file(name: str, request: Request) -> Response:
    """One file of Gradio's pages."""
    file = GRADIO_FILES / name
    if file.parent != GRADIO_FILES or not file.is_file():
        return not_found(f"There is no file {name}.")
    return answer_kept(request, file.suffix, plain=file.read_bytes, compressed=lambda: _compress(file))


def answer_kept(
    request: Request, suffix: str, *, plain: Callable[[], bytes], compressed: Callable[[], bytes]
) -> Response:
    """Answer with a file that browsers keep, compressed where it is text and the browser takes brotli."""
    headers = {"Cache-Control": KEEP}
    media_type = TYPES.get(suffix)
    if media_type is None:
        return Response(plain(), headers=headers)
    headers |= {"Vary": "Accept-Encoding"}
    if "br" not in request.headers.get("accept-encoding", ""):
        return Response(plain(), media_type=media_type, headers=headers)
    return Response(compressed(), media_type=media_type, headers=headers | {"Content-Encoding": "br"})


def serve_nothing() -> Response:
    """A script that does nothing."""
    return Response(media_type=TYPES[".js"], headers={"Cache-Control": KEEP})


@cache
def _compress(file: Path) -> bytes:
    compressed: bytes = brotli.compress(file.read_bytes(), mode=brotli.MODE_TEXT, quality=QUALITY)
    return compressed
