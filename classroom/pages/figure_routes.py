"""The live figure of a class: its view at one setting, for the screens that move it themselves."""

from http import HTTPStatus

from fastapi import FastAPI
from fastapi.responses import HTMLResponse, PlainTextResponse, Response
from starlette.requests import Request

from classroom.access.addresses import is_own_address
from classroom.live.hub import Hub
from classroom.pages.requests import TOO_OFTEN, WAIT
from study.base.errors import LearnerError
from study.web.downloads import answer_not_found
from study.web.security.middleware import find_browser
from study.web.security.rates import Rates


def register(site: FastAPI, hub: Hub) -> None:
    """Add the route. Only the figure that the class is at: students' devices reach no other."""
    asking = Rates(burst=60, per_second=10)

    async def send_figure(code: str, request: Request) -> Response:
        """Send the part that changes; a refusal is a sentence, because the figure shows it."""
        try:
            live, browser = await hub.find(code), find_browser(request.cookies)
        except LearnerError as error:
            return PlainTextResponse(str(error), HTTPStatus.BAD_REQUEST)
        shown = live.activity.figure if live.activity else None
        if shown is None:
            return answer_not_found("The class shows no figure now.")
        address = request.client.host if request.client else ""
        if not is_own_address(address) and not asking.allows(browser):
            return PlainTextResponse(TOO_OFTEN, HTTPStatus.TOO_MANY_REQUESTS, headers=WAIT)
        try:
            html = hub.figures[shown.id].answer(dict(request.query_params))
        except LearnerError as error:  # a setting outside its limits
            return PlainTextResponse(str(error), status_code=422)
        return HTMLResponse(html, headers={"Cache-Control": "no-store"})

    site.get("/class/{code}/figure", response_model=None)(send_figure)
