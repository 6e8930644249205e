"""`GET /search?q=`: what a search finds, as HTML for the dialog that `static/site.js` opens."""

from collections.abc import Callable, Iterable, Sequence

from fastapi import FastAPI, Response
from fastapi.responses import HTMLResponse

from study.content.search import BEST, SearchEntry, search
from study.text.templates import render

MOST_CHARACTERS = 120

Searchable = Callable[[], Iterable[SearchEntry]]
"""A function that lists what a part lets people find; it is called on every search."""


def register(site: FastAPI, searchable: Sequence[Searchable]) -> None:
    """Add the route. The order of `searchable` is the order of the results."""

    def answer(q: str = "") -> Response:
        wanted = q.strip()[:MOST_CHARACTERS]
        found = search((entry for entries in searchable for entry in entries()), wanted)
        html = render("study/frame/search_found.html", wanted=wanted, found=found, best=BEST)
        return HTMLResponse(html, headers={"Cache-Control": "no-store"})

    site.get("/search")(answer)
