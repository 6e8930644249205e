"""The page shown instead of the app while the study data can't be opened, with the ways out.

It needs no database. A person at this machine can try again, restore a backup, or set the damaged
file aside; others on the network read what is wrong. The app starts as soon as a choice has worked.
"""

import threading
from collections.abc import Callable
from datetime import UTC, datetime
from urllib.parse import parse_qs

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from study.base.errors import LearnerError, StorageError
from study.base.settings import Settings
from study.store.snapshots import find_snapshots
from study.store.storage_errors import translate_storage_errors
from study.text.templates import render
from study.web.security.middleware import RequestGuard, is_here

CHOICE_BYTES = 2_000


class Rescue:
    """The page and its form. `leave` is called once the app should be started again.

    From then on it must let no new connection in: the app's own answers them.
    """

    def __init__(self, settings: Settings, trouble: StorageError, leave: Callable[[], None]) -> None:
        self._trouble = trouble
        self._leave = leave
        self._public_names = settings.public_names
        is_damaged = trouble.kind == "damaged"  # else nothing has to be set aside or replaced
        self._snapshots = find_snapshots(settings.database_url, settings.home) if is_damaged else None
        self._lock = threading.Lock()
        self._has_left = False

    def build_site(self, hosts: tuple[str, ...]) -> Starlette:
        return Starlette(
            routes=[
                Route("/rescue", self._choose, methods=["POST"]),
                Route("/{path:path}", self._show, methods=["GET"]),
            ],
            middleware=[Middleware(RequestGuard, hosts=hosts, public_names=self._public_names)],
        )

    def choose(self, choice: str, name: str = "", *, now: datetime) -> None:
        """Do what was chosen, unless a choice has worked before. Raises LearnerError when it did not work."""
        with self._lock, translate_storage_errors():
            if self._has_left:  # pressed twice: what was restored is not set aside again
                return
            if choice == "aside" and self._snapshots:
                self._snapshots.set_aside(now=now)
            elif choice == "restore" and self._snapshots:
                aside = self._snapshots.set_aside(now=now)
                try:
                    self._snapshots.restore(name, now=now)
                except LearnerError:
                    self._snapshots.put_back(aside)  # the damaged file is still the only one
                    raise
            elif choice != "again":
                raise LearnerError("That can't be done here.", do_next="Choose one of the buttons.")
            self._has_left = True

    async def _choose(self, request: Request) -> Response:
        if not is_here(request):
            said = "Only the person at the machine that runs the app can do this."
            return self._render_page(can_choose=False, said=said, status=403)
        given = parse_qs((await request.body())[:CHOICE_BYTES].decode("utf-8", "replace"))
        choice, name = given.get("choice", [""])[0], given.get("name", [""])[0]
        try:
            await run_in_threadpool(self.choose, choice, name, now=datetime.now(UTC))
        except LearnerError as error:
            return self._render_page(can_choose=True, said=str(error), status=409)
        self._leave()
        return _lead_to_app()

    async def _show(self, request: Request) -> Response:
        if self._has_left:  # a connection that a browser has opened ahead
            return _lead_to_app()
        return self._render_page(can_choose=is_here(request))

    def _render_page(self, *, can_choose: bool, said: str = "", status: int = 503) -> Response:
        html = render(
            "study/frame/rescue.html",
            trouble=self._trouble,
            said=said,
            can_choose=can_choose,
            snapshots=self._snapshots.list_snapshots() if self._snapshots else [],
            can_set_aside=self._snapshots is not None,
        )
        return HTMLResponse(html, status, headers={"Cache-Control": "no-store"})


def _lead_to_app() -> Response:
    """Send the browser to the app, on a new connection: this one ends with the server that has it."""
    return RedirectResponse("/", 303, headers={"Connection": "close"})
