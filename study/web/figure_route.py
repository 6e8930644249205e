"""`GET /figure/<id>?rank=8`: the part of a live figure that changes, as HTML, without Gradio's queue.

`GET /figure/<id>/whole?rank=8` is all of it, for a place that unfolds.
"""

from fastapi import FastAPI, Request
from fastapi.responses import HTMLResponse, PlainTextResponse, Response

from study.base.errors import LearnerError
from study.figures.figure import Figures
from study.web.downloads import not_found


def register(site: FastAPI, figures: Figures) -> None:
    route = FigureRoute(figures)
    site.get("/figure/{figure_id}")(route.answer)
    site.get("/figure/{figure_id}/whole")(route.answer_whole)


class FigureRoute:
    def __init__(self, figures: Figures) -> None:
        self._figures = figures

    def answer(self, figure_id: str, request: Request) -> Response:
        """A setting outside its limits is answered with a sentence and status 422."""
        figure = self._figures.get(figure_id)
        if figure is None:
            return not_found(f"There is no figure named {figure_id}.")
        try:
            html = figure.answer(dict(request.query_params))
        except LearnerError as error:
            return PlainTextResponse(str(error), status_code=422)
        return HTMLResponse(html, headers={"Cache-Control": "no-store"})

    def answer_whole(self, figure_id: str, request: Request) -> Response:
        """With its controls; a setting outside its limits is named in it."""
        figure = self._figures.get(figure_id)
        if figure is None:
            return not_found(f"There is no figure named {figure_id}.")
        return HTMLResponse(
            figure.fragment(dict(request.query_params)), headers={"Cache-Control": "no-store"}
        )
