"""`GET /figure/<id>?rank=8`: the part of a live figure that changes, as HTML, without Gradio's queue.

`GET /figure/<id>/whole?rank=8` is all of it, for a place that unfolds.
"""

from typing import Any

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, PlainTextResponse, Response

from study.base.errors import LearnerError
from study.base.html import keep_together
from study.figures.figure import Figure, Figures
from study.web.downloads import answer_not_found


def register(site: FastAPI, figures: Figures) -> None:
    def answer(figure_id: str, request: Request) -> Response:
        return _answer(figures.get(figure_id), figure_id, request)

    def answer_whole(figure_id: str, request: Request) -> Response:
        return _answer(figures.get(figure_id), figure_id, request, whole=True)

    site.get("/figure/{figure_id}")(answer)
    site.get("/figure/{figure_id}/whole")(answer_whole)


def _answer(figure: Figure[Any] | None, figure_id: str, request: Request, *, whole: bool = False) -> Response:
    """A setting outside its limits is named in the whole figure; alone it is a sentence and status 422."""
    if figure is None:
        return answer_not_found(f"There is no figure named {figure_id}.")
    query = dict(request.query_params)
    try:
        html = figure.render_fragment(query) if whole else figure.answer(query)
    except LearnerError as error:
        return PlainTextResponse(str(error), status_code=422)
    return HTMLResponse(keep_together(html), headers={"Cache-Control": "no-store"})
