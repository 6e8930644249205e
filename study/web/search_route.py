"""`GET /search?q=`: what a search finds, as HTML for the dialog that `static/site.js` opens.

A browser that opens the address itself gets the same as a page.
"""

from collections.abc import Callable, Iterable, Sequence

from fastapi import FastAPI, Request, Response
from fastapi.responses import HTMLResponse

from study.content.search import BEST, SearchEntry, search
from study.ports.places import Place
from study.text.templates import render
from study.web.documents import render_document

MOST_CHARACTERS = 120

Searchable = Callable[[], Iterable[SearchEntry]]
"""A function that lists what a part lets people find; it is called on every search."""


def register(site: FastAPI, searchable: Sequence[Searchable], *, places: Sequence[Place]) -> None:
    """Add the route. The results have the order of `searchable`; a page has the menu of `places`."""

    def answer(request: Request, q: str = "") -> Response:
        wanted = q.strip()[:MOST_CHARACTERS]
        found = search((entry for entries in searchable for entry in entries()), wanted)
        html = render("study/frame/search_found.html", wanted=wanted, found=found, best=BEST)
        if "text/html" in request.headers.get("accept", ""):  # the dialog asks without naming a type
            html = render("study/frame/search_page.html", wanted=wanted, most=MOST_CHARACTERS, found=html)
            html = render_document("Search", html, places)
        return HTMLResponse(html, headers={"Cache-Control": "no-store"})

    site.get("/search")(answer)
