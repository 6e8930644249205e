"""Our style sheet and scripts as files that browsers keep: their names hold a hash of their content.

Gradio's `head=` and `js_on_load=` would put them into the configuration of every page, 120 kB of JSON, and
its script would act on them only after it has run itself. `content_policy.py` puts `build_head` into the
page's own `<head>`, so the look is there before anything is drawn; an island fetches its script from here.
"""

import hashlib
from collections.abc import Sequence
from functools import cache
from pathlib import Path

import brotli  # type: ignore[import-untyped]
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from study.text.sent_files import strip_comments
from study.web.assets import answer_kept
from study.web.downloads import not_found

STATIC = Path(__file__).parents[1] / "static"
FOLDER = "/look"
QUALITY = 11
HEAD_SCRIPTS = ("look.js", "head.js", "site.js", "figures.js")
SCRIPT_ARGUMENTS = "element, props, server, watch"
"""What Gradio gives to the script of an HTML component."""

_texts: dict[str, str] = {}


def build_head(styles: Sequence[Path], *, projector: bool = False) -> str:
    """Return what goes into every page's `<head>`: the look, and what must run before anything is drawn."""
    view = "document.documentElement.dataset.view = 'projector';\n" if projector else ""
    sheet = _keep("site.css", "\n".join(path.read_text("utf-8") for path in (STATIC / "page.css", *styles)))
    script = _keep("site.js", view + "\n".join(map(read, HEAD_SCRIPTS)))
    return (
        f'<link rel="stylesheet" href="{sheet}"><script src="{script}"></script>'
        f'<link rel="modulepreload" href="{_module("island.js")}">'
    )


def on_load(name: str) -> str:
    """Return the `js_on_load` of an HTML component that runs one of our scripts."""
    return f"import('{_module(name)}').then((script) => script.default({SCRIPT_ARGUMENTS}));"


def read(name: str) -> str:
    """Read one of our scripts."""
    return (STATIC / name).read_text("utf-8")


def register(site: FastAPI) -> None:
    """Add the route; it stands before Gradio's."""
    site.get(FOLDER + "/{name}")(serve)


def serve(name: str, request: Request) -> Response:
    """Answer with one file."""
    if name not in _texts:
        return not_found(f"There is no file {name}. Reload the page.")
    return answer_kept(
        request,
        Path(name).suffix,
        plain=_texts[name].encode,
        compressed=lambda: _compress(name),
    )


@cache
def _module(name: str) -> str:
    return _keep(name, f"export default function ({SCRIPT_ARGUMENTS}) {{\n{read(name)}\n}}\n")


def _keep(name: str, text: str) -> str:
    """Return the address of a file of this content."""
    stem, ending = Path(name).stem, Path(name).suffix
    text = strip_comments(text, ending)
    named = f"{stem}-{hashlib.sha256(text.encode()).hexdigest()[:12]}{ending}"
    _texts[named] = text
    return f"{FOLDER}/{named}"


@cache
def _compress(name: str) -> bytes:
    compressed: bytes = brotli.compress(_texts[name].encode(), mode=brotli.MODE_TEXT, quality=QUALITY)
    return compressed
