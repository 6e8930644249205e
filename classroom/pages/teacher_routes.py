"""What the teacher may ask of a class: leading it, the projector, and keys.

The gate (`classroom/access/gate.py`) lets nobody else in here.
"""

from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse, RedirectResponse, Response
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from classroom.access.addresses import list_lan_addresses
from classroom.access.keys import COOKIE, Keys, draw_key
from classroom.activities.activity import Activity
from classroom.activities.wall import VERDICT_LABELS
from classroom.live.hub import Hub
from classroom.live.live_room import LiveRoom
from classroom.pages import documents, streams
from classroom.pages.requests import format_port, parse_form, parse_json_body, tell_trouble
from classroom.pages.start_routes import StartRoutes, choose_known_address
from classroom.plans.on_the_spot import KINDS, read_activity, read_typed_minutes
from classroom.plans.plan import Plans
from classroom.views.screens import build_teacher_state, screen_state
from study.ports.context import Context
from study.web.device_routes import draw_qr_code

KEY_SECONDS = 12 * 3600


class TeacherRoutes:
    def __init__(
        self, context: Context, hub: Hub, plans: Plans, keys: Keys, *, reachable: bool, students_at: str = ""
    ) -> None:
        """Create them; `reachable` says whether this server listens to other devices at all.

        `students_at` is the address that students open, where others than this app answer them.
        """
        self._hub = hub
        self._plans = plans
        self._keys = keys
        self._reachable = reachable or bool(students_at)
        self._start = StartRoutes(context, hub, plans, reachable=self._reachable)
        self._students_at = students_at.rstrip("/")

    def register(self, site: FastAPI) -> None:
        """Add the routes; they stand before the pages and before `/class/{code}`."""
        self._start.register(site)
        show_trouble = self._start.show_trouble
        site.get("/class/{code}/teach", response_model=None)(show_trouble(self.teach))
        site.get("/class/{code}/teach/events", response_model=None)(self.teach_events)
        site.get("/class/{code}/teach/state", response_model=None)(self.teach_state)
        site.get("/class/{code}/screen", response_model=None)(show_trouble(self.show_screen))
        site.get("/class/{code}/screen/events", response_model=None)(self.stream_screen)
        site.get("/class/{code}/screen/state", response_model=None)(self.screen_state)
        site.post("/class/{code}/command", response_model=None)(self.carry_out)
        site.post("/class/{code}/ask", response_model=None)(self.ask)
        site.post("/class/{code}/address", response_model=None)(show_trouble(self.address))
        site.post("/class/{code}/key", response_model=None)(show_trouble(self.make_key))
        site.get("/class/{code}/key", response_model=None)(self.open_without_key)
        site.post("/class/{code}/key/revoke", response_model=None)(show_trouble(self.revoke_keys))

    async def teach(self, code: str, request: Request) -> Response:
        """The teacher's page. A key in the address becomes a cookie and leaves the address."""
        key = request.query_params.get("key", "")
        if key:
            answer = RedirectResponse(f"/class/{code}/teach", HTTPStatus.SEE_OTHER)
            if self._keys.holds(key):
                answer.set_cookie(COOKIE, key, max_age=KEY_SECONDS, httponly=True, samesite="lax")
            return answer
        return await self._teach(code, request)

    async def _teach(self, code: str, request: Request, *, key: str = "") -> Response:
        live = await self._hub.find(code)
        link = self._link(live, request)
        key_link = f"{_build_own_link(live, request)}/teach?key={key}" if key else ""
        return documents.render_page(
            "teacher/teacher",
            title=f"Teach: {live.room.title}",
            live=live,
            code=code,
            addresses=[] if self._students_at else list_lan_addresses(),
            reachable=self._reachable,
            shown_link=_strip_scheme(link),
            qr=documents.draw_link(link),
            verdicts=list(VERDICT_LABELS.items()),
            kinds=KINDS,
            figures=live.has_figures,
            key_link=key_link,
            key_qr=draw_qr_code(key_link) if key else "",
        )

    async def show_screen(self, code: str, request: Request) -> Response:
        live = await self._hub.find(code)
        live.apply_blanking(is_blank=False)  # a page that is just opened shows the class
        link = self._link(live, request)
        return documents.render_page(
            "screen/screen",
            title=live.room.title,
            code=code,
            figures=live.has_figures,
            qr=documents.draw_link(link),
            join_link=_build_code_link(link),
        )

    @tell_trouble
    async def teach_events(self, code: str, request: Request) -> Response:
        live = await self._hub.find(code)
        return streams.stream(live, partial(build_teacher_state, live), request)

    @tell_trouble
    async def teach_state(self, code: str) -> Response:
        return streams.answer_state(partial(build_teacher_state, await self._hub.find(code)))

    @tell_trouble
    async def stream_screen(self, code: str, request: Request) -> Response:
        live = await self._hub.find(code)
        return streams.stream(live, partial(self._screen_state, live, request), request)

    @tell_trouble
    async def screen_state(self, code: str, request: Request) -> Response:
        live = await self._hub.find(code)
        return streams.answer_state(partial(self._screen_state, live, request))

    def _screen_state(self, live: LiveRoom, request: Request) -> dict[str, object]:
        """With the link as it is now: the teacher may choose another address."""
        link = self._link(live, request)
        state = screen_state(live, link=_strip_scheme(link))
        return {**state, "join": _build_code_link(link), "qr": documents.draw_link(link)}

    @tell_trouble
    async def carry_out(self, code: str, request: Request) -> Response:
        live = await self._hub.find(code)
        await self._hub.carry_out(live, await parse_json_body(request))
        return JSONResponse({"after": live.state.last})

    @tell_trouble
    async def ask(self, code: str, request: Request) -> Response:
        """Ask the class what the teacher has just typed, now or next."""
        live = await self._hub.find(code)
        form = {name: str(value) for name, value in (await parse_json_body(request)).items()}
        ask = self._hub.ask_next if form.get("when") == "next" else self._hub.ask_now
        await ask(live, await self._read(form))
        return JSONResponse({"after": live.state.last})

    async def _read(self, form: Mapping[str, str]) -> Activity:
        """What the teacher has typed, or a question of the app with its twin."""
        if "question" not in form:
            return read_activity(form)
        title = form.get("title") or "A question"
        entry: dict[str, Any] = {"kind": "question", "title": title, "question": form["question"]}
        if form.get("twin"):
            entry["twin"] = form["twin"]
        if minutes := read_typed_minutes(form):
            entry["minutes"] = minutes
        return await run_in_threadpool(self._plans.read_entry, entry)

    async def address(self, code: str, request: Request) -> Response:
        """Show another address of this machine in the link and the QR code."""
        form = await parse_form(request)
        live = await self._hub.find(code)
        await self._hub.use_address(live, choose_known_address(form.get("address", ""), list_lan_addresses()))
        return RedirectResponse(f"/class/{code}/teach", HTTPStatus.SEE_OTHER)

    async def make_key(self, code: str, request: Request) -> Response:
        """Make a key and show it once; only its hash is stored."""
        live = await self._hub.find(code)
        key = draw_key()
        await self._hub.add_key(live, key)
        await run_in_threadpool(self._keys.reload)
        return await self._teach(code, request, key=key)

    async def open_without_key(self, code: str) -> Response:
        """The address of the page that has shown a key, opened again: the key is not shown twice."""
        return RedirectResponse(f"/class/{code}/teach", HTTPStatus.SEE_OTHER)

    async def revoke_keys(self, code: str) -> Response:
        live = await self._hub.find(code)
        await self._hub.revoke_keys(live)
        await run_in_threadpool(self._keys.reload)
        return RedirectResponse(f"/class/{code}/teach", HTTPStatus.SEE_OTHER)

    def _link(self, live: LiveRoom, request: Request) -> str:
        """The address that students open."""
        if self._students_at:
            return f"{self._students_at}/class/{live.room.code}"
        return _build_own_link(live, request)


def _build_own_link(live: LiveRoom, request: Request) -> str:
    """Build the link to a class at this app: this machine's chosen address, and the port of this request."""
    return f"http://{live.room.options['address']}{format_port(request)}/class/{live.room.code}"


def _build_code_link(link: str) -> str:
    """Build the link to the page that takes the six digits of any class."""
    return _strip_scheme(link).rpartition("/")[0] + "/join"


def _strip_scheme(link: str) -> str:
    return link.removeprefix("http://").removeprefix("https://")
