"""`POST /act/<island>`: an event, answered by the island's `act` without Gradio.

Gradio's route for the same (`component_server`) adds a third to the processor time of a flip. The answer is
the same; `static/island.js` asks Gradio where this route answers 404.

A press that is sent again because its answer was lost has the same `press`, an idempotency key: it gets the
first answer, and is not done twice.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from starlette.requests import ClientDisconnect, Request

from study.web.downloads import answer_not_found
from study.web.security.middleware import COOKIE

PATH = "/act/{island}"
JSON_TYPE = "application/json"
KEPT_ANSWERS = 100

GuardedAct = Callable[[dict[str, Any], Any], Mapping[str, Any]]
"""Answers an event and its request. What the learner can act on is in the answer; what it raises is a bug."""


class KeptAnswers:
    """The answers of the newest presses, by browser and idempotency key; also those that are being found."""

    def __init__(self, limit: int = KEPT_ANSWERS) -> None:
        self._answers: OrderedDict[tuple[str, str], asyncio.Future[Mapping[str, Any]]] = OrderedDict()
        self._limit = limit

    async def find_or_do(
        self, key: tuple[str, str], do: Callable[[], Awaitable[Mapping[str, Any]]]
    ) -> Mapping[str, Any]:
        """Return the answer of this press; do it only the first time. What raised is not kept."""
        answer = self._answers.get(key)
        if answer is None:
            answer = self._answers[key] = asyncio.ensure_future(do())
            if len(self._answers) > self._limit:
                self._answers.popitem(last=False)
        try:
            return await answer
        except Exception:
            self._answers.pop(key, None)
            raise


def register(site: FastAPI, acts: Mapping[str, GuardedAct]) -> None:
    """Add the route for islands by name. Register it first: each route before it costs every event."""

    kept = KeptAnswers()

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
        press = event.pop("press", None)

        def do() -> Awaitable[Mapping[str, Any]]:
            return run_in_threadpool(act, event, request)

        if isinstance(press, str):
            reply = await kept.find_or_do((request.cookies.get(COOKIE, ""), press), do)
        else:
            reply = await do()
        return JSONResponse(reply, headers={"Cache-Control": "no-store"})

    site.add_route(PATH, answer, methods=["POST"], include_in_schema=False)
