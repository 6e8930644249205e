"""Files of this repository: documents as pages (`/docs/traps.md`, which lessons cite), and the maths font."""

import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, PlainTextResponse, Response
from markdown_it import MarkdownIt
from markupsafe import Markup
from starlette.staticfiles import StaticFiles

from study.base.html import keep_together, trust_html
from study.ports.places import Place, find_place
from study.text.templates import render
from study.web.downloads import answer_not_found
from study.web.page_files import build_site_script_address

DOCS = (Path(__file__).parents[2] / "docs").resolve()
FONTS = Path(__file__).parents[1] / "static" / "fonts"
PLAIN = frozenset({".json", ".tsv"})
# Wide tables scroll in themselves; `docs/traps.md 2` leads to `## 2. ...`, `#nf4` to `## NF4 (`nf4`)`.
_TABLE = '<div class="scroll" tabindex="0" role="region" aria-label="Table">{}</div>'
_COMMENT = re.compile(r"<!--.*?-->", re.DOTALL)
_NUMBERED = re.compile(r"<h2>(\d+)\.")
_NAMED = re.compile(r"<h2>([^<]*\(<code>([\w-]+)</code>\))")


def register(site: FastAPI, *, places: Sequence[Place]) -> None:
    """Add the routes; they stand before the pages. Documents have the menu of these places."""

    def answer(path: str) -> Response:
        return serve_document(path, places)

    site.get("/docs/{path:path}")(answer)
    mount_fonts(site)


def mount_fonts(site: FastAPI) -> None:
    """Mount the font of formulas, which the style sheet of every page names, in a class as well."""
    site.mount("/fonts", StaticFiles(directory=FONTS))


def serve_document(path: str, places: Sequence[Place]) -> Response:
    """One document: Markdown as a page to read, tables of numbers as they are."""
    file = (DOCS / path).resolve()
    if not file.is_relative_to(DOCS) or not file.is_file():
        return answer_not_found(f"There is no document docs/{path}.")
    if file.suffix == ".md":
        return HTMLResponse(_render_page(path, file.read_text("utf-8"), tuple(places)))
    if file.suffix in PLAIN:
        return PlainTextResponse(file.read_text("utf-8"))
    return answer_not_found(f"docs/{path} isn't a text document.")


def render_document(
    title: str, text: Markup, places: Sequence[Place], *, path: str = "", here: Place | None = None
) -> Markup:
    """Render a page without Gradio, with the menu of these places, and the one that it is in."""
    shown = {"title": title, "text": text, "places": places, "path": path, "here": here}
    return render("study/frame/document.html", script=build_site_script_address(), **shown)


@lru_cache(maxsize=32)
def _render_page(path: str, text: str, places: tuple[Place, ...]) -> Markup:
    """Comments are left out; other HTML in a document is shown as text."""
    text = _COMMENT.sub("", text)
    html = str(MarkdownIt("commonmark", {"html": False}).enable("table").render(text))
    html = re.sub(r"<table>.*?</table>", lambda table: _TABLE.format(table[0]), html, flags=re.DOTALL)
    title = re.search(r"^# (.+)$", text, re.MULTILINE)
    html = _NAMED.sub(r'<h2 id="\2">\1', _NUMBERED.sub(r'<h2 id="\1">\1.', html))
    shown, here = keep_together(trust_html(html)), find_place(places, "/learn")
    return render_document(title[1] if title else path, shown, places, path=path, here=here)
