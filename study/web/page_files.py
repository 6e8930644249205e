"""Style sheets and scripts that browsers keep for a year: their names hold a hash of their content.

Ours: Gradio's `head=` and `js_on_load=` would put them into the configuration of every page, 120 kB of JSON,
and its script would act on them only after it has run itself. `content_policy.py` puts `build_head` into the
page's own `<head>`, so the look is there before anything is drawn; an island fetches its script from here.

Gradio's: it compresses each of its files again for every request, lightly, and names no time for which it is
good. Here they are compressed once, and better. Scripts come without what no page uses (gradio_script.py).
"""

import hashlib
from collections.abc import Callable, Sequence
from functools import cache
from importlib.resources import files
from pathlib import Path
from threading import Lock

import brotli  # type: ignore[import-untyped]
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from study.text.sent_files import strip_comments
from study.web.downloads import answer_not_found
from study.web.gradio_script import FIRST_FILES, cut_unused

STATIC = Path(__file__).parents[1] / "static"
FOLDER = "/look"
GRADIO_FILES = Path(str(files("gradio"))) / "templates" / "frontend" / "assets"
UNUSED_SCRIPT = "/static/js/iframeResizer.contentWindow.min.js"
"""Gradio's page asks for it, for pages in a frame of another site. No other site may frame ours."""

TYPES = {".js": "text/javascript", ".css": "text/css"}
KEEP = "public, max-age=31536000, immutable"
QUALITY = 11
LARGE_BYTES = 200_000
LARGE_QUALITY = 9  # a tenth of the time: of Gradio's files only those that no page asks for are so large
HEAD_SCRIPTS = ("look.js", "head.js", "site.js", "figures.js")
SCRIPT_ARGUMENTS = "element, props, server, watch"
"""What Gradio gives to the script of an HTML component."""

_texts: dict[str, str] = {}
_compressed: dict[str, bytes] = {}
_compressing = Lock()
"""A second request for a file that is being compressed waits, instead of compressing it once more."""


def build_head(styles: Sequence[Path], *, projector: bool = False) -> str:
    """Return what goes into every page's `<head>`: the look, and what must run before anything is drawn."""
    view = "document.documentElement.dataset.view = 'projector';\n" if projector else ""
    sheet = _keep("site.css", "\n".join(path.read_text("utf-8") for path in (STATIC / "page.css", *styles)))
    script = _keep("site.js", view + "\n".join(map(read, HEAD_SCRIPTS)))
    return (
        f'<link rel="stylesheet" href="{sheet}"><script src="{script}"></script>'
        f'<link rel="modulepreload" href="{_build_module("island.js")}">'
    )


def build_site_script_address() -> str:
    """Return the address of the script behind the menu's search and keys, for pages without Gradio."""
    return _keep("site.js", read("site.js"))


def build_on_load(name: str) -> str:
    """Return the `js_on_load` of an HTML component that runs one of our scripts."""
    return f"import('{_build_module(name)}').then((script) => script.default({SCRIPT_ARGUMENTS}));"


def read(name: str) -> str:
    return (STATIC / name).read_text("utf-8")


def register(site: FastAPI) -> None:
    """Add the routes; they stand before Gradio's."""
    site.get(FOLDER + "/{name}")(serve_ours)
    site.get("/assets/{name}")(serve_gradios)
    site.get(UNUSED_SCRIPT)(lambda: Response(media_type=TYPES[".js"], headers={"Cache-Control": KEEP}))


def serve_ours(name: str, request: Request) -> Response:
    """Answer with one of our files."""
    if name not in _texts:
        return answer_not_found(f"There is no file {name}. Reload the page.")
    return answer_kept(request, name, _texts[name].encode)


def serve_gradios(name: str, request: Request) -> Response:
    """Answer with one file of Gradio's pages."""
    file = GRADIO_FILES / name
    if file.parent != GRADIO_FILES or not file.is_file():
        return answer_not_found(f"There is no file {name}.")
    return answer_kept(request, name, lambda: _read_gradios(file))


def compress_first_files() -> None:
    """Compress what every page fetches, before a browser asks; files of another Gradio wait for one."""
    for name in FIRST_FILES:
        file = GRADIO_FILES / name
        if file.is_file():
            _compress(name, lambda file=file: _read_gradios(file))  # type: ignore[misc]
    for name, text in list(_texts.items()):
        _compress(name, text.encode)


def _read_gradios(file: Path) -> bytes:
    """Read a file of Gradio's pages, a script without what no page of the app uses."""
    content = file.read_bytes()
    return cut_unused(content.decode()).encode() if file.suffix == ".js" else content


def answer_kept(request: Request, name: str, plain: Callable[[], bytes]) -> Response:
    """Answer with a file that browsers keep, compressed where it is text and the browser takes brotli."""
    suffix = Path(name).suffix
    headers = {"Cache-Control": KEEP}
    if suffix not in TYPES:
        return Response(plain(), headers=headers)
    headers |= {"Vary": "Accept-Encoding"}
    if "br" not in request.headers.get("accept-encoding", ""):
        return Response(plain(), media_type=TYPES[suffix], headers=headers)
    compressed = _compress(name, plain)
    return Response(compressed, media_type=TYPES[suffix], headers=headers | {"Content-Encoding": "br"})


@cache
def _build_module(name: str) -> str:
    return _keep(name, f"export default function ({SCRIPT_ARGUMENTS}) {{\n{read(name)}\n}}\n")


def _keep(name: str, text: str) -> str:
    """Return the address of a file of this content."""
    stem, ending = Path(name).stem, Path(name).suffix
    text = strip_comments(text, ending)
    named = f"{stem}-{hashlib.sha256(text.encode()).hexdigest()[:12]}{ending}"
    _texts[named] = text
    return f"{FOLDER}/{named}"


def _compress(name: str, plain: Callable[[], bytes]) -> bytes:
    """Compress a file once: its name holds a hash of its content."""
    if name in _compressed:
        return _compressed[name]
    with _compressing:
        if name not in _compressed:
            content = plain()
            quality = QUALITY if len(content) < LARGE_BYTES else LARGE_QUALITY
            _compressed[name] = brotli.compress(content, mode=brotli.MODE_TEXT, quality=quality)
        return _compressed[name]
