"""What students' devices may ask: the page, joining, answering, a name, and the state of the class."""

import re
from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI
from fastapi.responses import JSONResponse, RedirectResponse, Response
from starlette.requests import Request

from classroom.access.addresses import is_own_address, list_lan_addresses
from classroom.live.hub import Hub
from classroom.live.live_room import LiveRoom
from classroom.live.writer import NotSavedError
from classroom.pages import documents, streams
from classroom.pages.requests import format_port, parse_json_body, refuse_rate, tell_trouble
from classroom.views.screens import build_student_state
from study.base.errors import LearnerError
from study.store.class_records import ClassStudent
from study.web.security.middleware import find_browser
from study.web.security.rates import Rates

STREAMS_AT_MOST = 4
"""Of one student: a phone and a few tabs."""

KEPT = "Stay on this page: your answer is kept here and sent again."
LATE = " was closed before your answer arrived, so it does not count."
LATE_CHANGE = " was closed before your change arrived, so your earlier answer counts."


class StudentRoutes:
    def __init__(self, hub: Hub, *, reachable: bool = True, students_at: str = "") -> None:
        """Create them; `students_at` is the address that students open, where others than this app answer."""
        self._hub = hub
        self._reachable = reachable
        self._students_at = students_at.rstrip("/")
        self._asking = Rates(burst=30, per_second=3)
        # A school's network may show all phones as one address; who is in already may reload at any time.
        self._joining = Rates(burst=400, per_second=20)
        self._reading = Rates(burst=60, per_second=4)

    def register(self, site: FastAPI) -> None:
        site.get("/class/join", response_model=None)(self.type_code)
        site.get("/join/{code}", response_model=None)(self.type_code)
        site.get("/class/help", response_model=None)(self.help)
        site.post("/class/help", response_model=None)(self.reach)
        site.get("/class/help/events", response_model=None)(self.reach_events)
        site.get("/class/static/{name}", response_model=None)(self.send_static)
        site.get("/class/{code}", response_model=None)(self.show_page)
        site.post("/class/{code}/join", response_model=None)(self.join)
        site.post("/class/{code}/answer", response_model=None)(self.answer)
        site.post("/class/{code}/name", response_model=None)(self.rename)
        site.get("/class/{code}/events", response_model=None)(self.stream_events)
        site.get("/class/{code}/state", response_model=None)(self.send_state)

    async def show_page(self, code: str) -> Response:
        """Show the student's page; an unknown code leads to the form for codes."""
        try:
            live = await self._hub.find(code)
        except LearnerError as error:
            return documents.render_page("student/join", title="Join a class", status=404, error=str(error))
        return documents.render_page(
            "student/student", title=live.room.title, code=code, figures=live.has_figures
        )

    async def type_code(self, code: str = "") -> Response:
        """For those who can't scan, and the short address of a class."""
        if re.fullmatch("[0-9]{6}", code):
            return RedirectResponse(f"/class/{code}", HTTPStatus.SEE_OTHER)
        error = "A code has six digits." if code else ""
        return documents.render_page("student/join", title="Join a class", error=error)

    async def help(self, request: Request) -> Response:
        """What to check when phones can't connect; opened on a phone it is the test itself."""
        is_phone = request.client is not None and not is_own_address(request.client.host)
        links = [] if is_phone else self._help_links(request)
        return documents.render_page(
            "student/help",
            title="When phones can't connect",
            is_phone=is_phone,
            links=links,
            qr=documents.draw_link(links[0]) if links else "",
        )

    async def reach(self) -> Response:
        """A phone's test message has arrived."""
        return JSONResponse({})

    async def reach_events(self) -> Response:
        return streams.stream_one_beat()

    def _help_links(self, request: Request) -> list[str]:
        """Where phones open the test, the address that this machine prefers first."""
        if self._students_at:
            return [f"{self._students_at}/class/help"]
        addresses = list_lan_addresses() if self._reachable else []
        return [f"http://{each.address}{format_port(request)}/class/help" for each in addresses]

    async def send_static(self, name: str) -> Response:
        return documents.send_static(name)

    @tell_trouble
    async def join(self, code: str, request: Request) -> Response:
        live, browser = await self._hub.find(code), find_browser(request.cookies)
        address = request.client.host if request.client else ""
        is_new = live.hash_device(browser) not in live.by_device
        if is_new and not is_own_address(address) and not self._joining.allows(address):
            return refuse_rate()
        if not self._asking.allows(browser):
            return refuse_rate()
        student = await self._hub.join(live, browser)
        return JSONResponse({"name": student.name, "names_typed": live.room.options["names_typed"]})

    @tell_trouble
    async def answer(self, code: str, request: Request) -> Response:
        """Store an answer. 200 comes after the commit; 409 says that it came too late."""
        live, student = await self._find_student(code, request)
        if not self._asking.allows(student.device):
            return refuse_rate()
        try:
            given = await parse_json_body(request)
            recorded = await self._hub.answer(live, student, given)
        except NotSavedError as error:
            raise NotSavedError(do_next=KEPT) from error
        if recorded.outcome == "late":
            told = name_closed_vote(live, given) + (LATE if recorded.answer is None else LATE_CHANGE)
            told_with = {"outcome": "late", "error": told, "state": build_student_state(live, student)}
            return JSONResponse(told_with, HTTPStatus.CONFLICT)
        return JSONResponse({"outcome": recorded.outcome})

    @tell_trouble
    async def rename(self, code: str, request: Request) -> Response:
        live, student = await self._find_student(code, request)
        if not self._asking.allows(student.device):
            return refuse_rate()
        wanted = await parse_json_body(request)
        typed = None if wanted.get("draw") else str(wanted.get("name", ""))
        return JSONResponse({"name": await self._hub.rename(live, student, typed)})

    @tell_trouble
    async def stream_events(self, code: str, request: Request) -> Response:
        """Stream this student's states, from the newest on: the phone may have shown it elsewhere."""
        live, student = await self._find_student(code, request, newest=True)
        if live.count_streams(student.id) >= STREAMS_AT_MOST or not self._reading.allows(student.device):
            return refuse_rate()
        return streams.stream(
            live, partial(self._build_state, live, student.id), request, student_id=student.id
        )

    @tell_trouble
    async def send_state(self, code: str, request: Request) -> Response:
        live, student = await self._find_student(code, request, newest=True)
        if not self._reading.allows(student.device):
            return refuse_rate()
        live.apply_poll(student.id)
        return streams.answer_state(partial(self._build_state, live, student.id))

    def _build_state(self, live: LiveRoom, student_id: str) -> dict[str, object]:
        return build_student_state(live, live.students[student_id])

    async def _find_student(
        self, code: str, request: Request, *, newest: bool = False
    ) -> tuple[LiveRoom, ClassStudent]:
        live = await (self._hub.find_newest(code) if newest else self._hub.find(code))
        return live, await self._hub.require_student(live, find_browser(request.cookies))


def name_closed_vote(live: LiveRoom, answer: Mapping[str, Any]) -> str:
    """Name the vote that an answer came too late for, which may not be the one on the screen."""
    activity = live.plan[answer["position"]]
    if live.state.position != answer["position"]:
        return f"Voting on “{activity.title}”"
    is_open_again = live.state.round and not activity.questions
    return f"The {'first' if answer['round'] == 1 else 'second'} vote" if is_open_again else "Voting"
