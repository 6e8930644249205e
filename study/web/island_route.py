"""`POST /act/<island>`: an event, answered by the island's `act` without Gradio.

Gradio's route for the same (`component_server`) adds a third to the processor time of a flip. The answer is
the same; `static/island.js` asks Gradio where this route answers 404.
"""

from collections.abc import Callable, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.requests import ClientDisconnect, Request

from study.web.downloads import answer_not_found

PATH = "/act/{island}"
JSON_TYPE = "application/json"

GuardedAct = Callable[[dict[str, Any], Any], Mapping[str, Any]]
"""Answers an event and its request. What the learner can act on is in the answer; what it raises is a bug."""


def register(site: FastAPI, acts: Mapping[str, GuardedAct]) -> None:
    """Add the route for islands by name. Register it first: each route before it costs every event."""

    async def answer(request: Request) -> Response:
        """Answer one event, whose host, origin, role, rate and size the middleware has checked."""
        act = acts.get(request.path_params["island"])
        if act is None:
            return answer_not_found("There is no island of that name.")
        # Another site's form can't send this type, whatever its browser says of the origin.
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != JSON_TYPE:
            return PlainTextResponse(f"Send {JSON_TYPE}.", HTTPStatus.UNSUPPORTED_MEDIA_TYPE)
        try:
            event = await request.json()
        except (ValueError, RecursionError, ClientDisconnect):
            event = None
        if not isinstance(event, dict):
            return PlainTextResponse("A press is one JSON object.", HTTPStatus.BAD_REQUEST)
        reply = await run_in_threadpool(act, event, request)
        return JSONResponse(reply, headers={"Cache-Control": "no-store"})

    site.add_route(PATH, answer, methods=["POST"], include_in_schema=False)
