"""ASGI middleware that notes every error of the server in the owner's log, by route."""

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Receive, Scope, Send

from study.base.owner_log import note_error

EVENTS_PATH = "act"


class ErrorNotes:
    """Passes every request on, and every error too."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        try:
            await self._app(scope, receive, send)
        except ClientDisconnect:
            raise  # the browser has gone: not an error of the server
        except Exception as error:
            if scope["type"] == "http":
                note_error(f"{scope['method']} {find_area(scope['path'])}", error)
            raise


def find_area(path: str) -> str:
    """Return the part of a path that names no run, class or learner: `/act/cards` of events, else `/lab`."""
    first, *rest = path.strip("/").split("/")
    return "/".join(("", first, *(rest[:1] if first == EVENTS_PATH else ())))
