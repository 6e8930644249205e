"""Reading what a class's pages send, and answering with a sentence when it can't be done."""

import json
from collections.abc import Awaitable, Callable, Mapping
from functools import wraps
from http import HTTPStatus
from typing import Any, ParamSpec
from urllib.parse import parse_qsl

from fastapi.responses import JSONResponse, Response
from starlette.requests import Request

from classroom.live.hub import KickedError
from classroom.live.writer import NotSavedError
from study.base.errors import FieldError, LearnerError
from study.web.form_event import clean

P = ParamSpec("P")
LONGEST_BODY_BYTES = 4096
TOO_OFTEN = "Too many requests from this device. Wait a moment; this page then continues by itself."
WAIT = {"Retry-After": "2"}


async def parse_json_body(request: Request) -> Mapping[str, Any]:
    """The JSON object of a request. Raises LearnerError for anything else."""
    try:
        read = _clean(json.loads(await _read_body(request) or b"{}"))
    except (ValueError, RecursionError):
        read = None
    if not isinstance(read, dict):
        raise LearnerError("This app could not read that.", do_next="Reload the page.")
    return read


def _clean(value: Any) -> Any:
    if isinstance(value, str):
        return clean(value)
    if isinstance(value, list):
        return [_clean(each) for each in value]
    if isinstance(value, dict):
        return {clean(name): _clean(each) for name, each in value.items()}
    return value


async def parse_form(request: Request) -> dict[str, str]:
    return dict(await parse_fields(request))


async def parse_fields(request: Request, *, at_most: int = LONGEST_BODY_BYTES) -> list[tuple[str, str]]:
    """Parse the fields of a form in which a name may stand more than once, in order."""
    sent = parse_qsl((await _read_body(request, at_most)).decode("utf-8", "replace"))
    return [(clean(name), clean(value)) for name, value in sent]


def answer_trouble(error: LearnerError) -> JSONResponse:
    status = HTTPStatus.BAD_REQUEST
    if isinstance(error, NotSavedError):
        status = HTTPStatus.SERVICE_UNAVAILABLE
    elif isinstance(error, KickedError):
        status = HTTPStatus.FORBIDDEN
    told = {"error": str(error)}
    if isinstance(error, FieldError):
        told["field"] = error.field
    return JSONResponse(told, status)


def tell_trouble(route: Callable[P, Awaitable[Response]]) -> Callable[P, Awaitable[Response]]:
    """A route that answers with `trouble` where it raises LearnerError."""

    @wraps(route)
    async def answer(*given: P.args, **named: P.kwargs) -> Response:
        try:
            return await route(*given, **named)
        except LearnerError as error:
            return answer_trouble(error)

    return answer


def format_port(request: Request) -> str:
    """The port of this server as an address has it: `:7860`, or nothing for the usual one."""
    server = request.scope.get("server") or ("", 80)
    return f":{server[1]}" if server[1] not in (None, 80) else ""


def refuse_rate() -> JSONResponse:
    return JSONResponse({"error": TOO_OFTEN}, HTTPStatus.TOO_MANY_REQUESTS, headers=WAIT)


async def _read_body(request: Request, at_most: int = LONGEST_BODY_BYTES) -> bytes:
    body = b""
    async for piece in request.stream():
        body += piece
        if len(body) > at_most:
            raise LearnerError("That is too long.", do_next="Shorten it, then send it again.")
    return body
