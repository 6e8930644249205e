"""The gate in front of the app: students' devices reach the routes of a class and nothing else."""

import re
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Receive, Scope, Send

from classroom.access.keys import Keys
from study.base.owner_log import note

REFUSAL = "Only the teacher's computer opens this page: to take part, open the address on the screen."

_READ = re.compile(
    r"/join/[0-9]{6}|/class/(join|help|help/events|[0-9]{6}|[0-9]{6}/(events|state|figure|cards|cards\.apkg)"
    r"|static/(class\.css|student\.js|help\.js|join\.js|figures\.(css|js)))|/fonts/stix-two-math-subset\.woff2"
)
_WRITE = re.compile(r"/class/(help|[0-9]{6}/(join|answer|name|study))")


def is_for_students(method: str, path: str) -> bool:
    """Whether any device may ask this."""
    pattern = {"GET": _READ, "HEAD": _READ, "POST": _WRITE}.get(method)
    return bool(pattern and pattern.fullmatch(path))


class ClassGate:
    """ASGI middleware.

    With `only_class` (`--class`) a student's device gets 403 for everything but the student routes. Without
    it, on a server for learners, it gets 403 for what belongs to the teacher of a class. Without `keys` this
    server doesn't serve the teacher's routes: everyone gets 403 for them. `render_refusal` builds that answer
    for a browser.
    """

    def __init__(
        self, app: ASGIApp, *, keys: Keys | None, only_class: bool, render_refusal: Callable[[], Response]
    ) -> None:
        self._app = app
        self._keys = keys
        self._only_class = only_class
        self._render_refusal = render_refusal

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Let a request through, or refuse it with one sentence."""
        if scope["type"] == "lifespan" or self._may_pass(scope):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": REFUSAL})
        else:
            note("refused", "A device asked for a page of the teacher's computer.")
            await self._refuse(scope)(scope, receive, send)

    def _may_pass(self, scope: Scope) -> bool:
        path = scope["path"]
        if is_for_students(scope.get("method", ""), path):
            return True
        guarded = self._only_class or path == "/class" or path.startswith("/class/")
        return not guarded or (self._keys is not None and self._keys.is_teacher(scope))

    def _refuse(self, scope: Scope) -> Response:
        """403 with one sentence; for a browser a page, since a student may have typed only the address."""
        if scope["method"] != "GET" or "text/html" not in Headers(scope=scope).get("accept", ""):
            return PlainTextResponse(REFUSAL, status_code=403)
        return self._render_refusal()
