"""A class behind its real routes, on a store of the test's own, without the other parts of the app."""

import asyncio
import json
import uuid
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import httpx
from fastapi import FastAPI

from classroom.access.gate import ClassGate
from classroom.access.keys import Keys
from classroom.live.hub import Hub
from classroom.live.live_room import LiveRoom
from classroom.pages import figure_routes
from classroom.pages.documents import render_refusal
from classroom.pages.report_routes import ReportRoutes
from classroom.pages.student_routes import StudentRoutes
from classroom.pages.take_home_routes import TakeHomeRoutes
from classroom.pages.teacher_routes import TeacherRoutes
from classroom.plans.plan import Plan, Plans
from flashcards.interchange.class_cards import write_class_cards
from quizzes.session.class_answers import QuizClassKinds
from study.ports.context import Context, Visit
from study.store.class_records import ClassRecord
from study.web.documents import mount_fonts
from study.web.security.middleware import COOKIE, RequestGuard
from tests.classroom.builders import (
    FIGURES,
    PLAN,
    Grader,
    Grids,
    Runs,
    find_question,
    find_twins,
    search_questions,
)

PHONE = "192.0.2.50"
"""An address that is never this machine's (RFC 5737)."""

T = TypeVar("T")
TEST_PLAN = Plan(id="test", title="A test plan", about="For tests.", minutes=10, activities=PLAN)


@dataclass
class School:
    """The routes of a class, and the people who use them."""

    context: Context
    only_class: bool = True
    students_at: str = ""
    runs: Runs = field(default_factory=Runs)
    grids: Grids = field(default_factory=Grids)
    grader: Grader = field(default_factory=Grader)
    hub: Hub = field(init=False)
    keys: Keys = field(init=False)
    site: Any = field(init=False)
    requested: list[tuple[str, ...]] = field(default_factory=list)
    """The concepts whose cards were asked for."""

    reasons: list[str] = field(default_factory=list)
    """What a profile keeps as the reason."""

    def __post_init__(self) -> None:
        self.hub = self.new_hub(self.context)
        self.keys = Keys(log=self.context.store.classes)
        plans = Plans(
            find_question=find_question,
            runs=self.runs,
            grids=self.grids,
            grader=self.grader,
            figures=FIGURES,
            search_questions=search_questions,
            find_twins=find_twins,
            folder=Path(__file__).parent / "plans",
            own_folder=self.context.settings.plans_dir,
        )
        self.site = FastAPI(docs_url=None, redoc_url=None, openapi_url=None)
        TeacherRoutes(
            self.context, self.hub, plans, self.keys, reachable=True, students_at=self.students_at
        ).register(self.site)
        ReportRoutes(self.context, self.hub, self.keys).register(self.site)
        TakeHomeRoutes(
            self.context,
            self.hub,
            write_cards=write_class_cards,
            ask_for_cards=self._ask_for_cards,
            only_class=self.only_class,
        ).register(self.site)
        StudentRoutes(self.hub).register(self.site)
        figure_routes.register(self.site, self.hub)
        mount_fonts(self.site)
        self.site.add_middleware(
            partial(ClassGate, keys=self.keys, only_class=self.only_class, render_refusal=render_refusal)
        )
        self.site.add_middleware(RequestGuard)

    def _ask_for_cards(self, visit: Visit, concepts: tuple[str, ...], *, because: str) -> int:
        self.requested.append(concepts)
        self.reasons.append(because)
        return len(concepts)

    def new_hub(self, context: Context) -> Hub:
        """A hub as after a restart: it knows what is stored."""
        return Hub(
            context=context,
            runs=self.runs,
            grids=self.grids,
            grader=self.grader,
            figures=FIGURES,
            kinds=QuizClassKinds(),
        )

    def client(self, *, browser: str = "", address: str = PHONE, **options: Any) -> httpx.AsyncClient:
        """A browser; the teacher's has the address 127.0.0.1."""
        transport = httpx.ASGITransport(self.site, client=(address, 1234))
        cookies = {COOKIE: browser} if browser else {}
        return httpx.AsyncClient(
            transport=transport, base_url="http://192.0.2.1:7860", cookies=cookies, **options
        )

    def teacher(self) -> httpx.AsyncClient:
        """The browser on the machine that the app runs on."""
        return self.client(browser="teacher", address="127.0.0.1")

    async def start(self, plan: Plan = TEST_PLAN, **options: Any) -> LiveRoom:
        """A class in its lobby."""
        chosen: dict[str, Any] = {
            "names_typed": False,
            "keep_names_days": 30,
            "address": "127.0.0.1",
        } | options
        return await self.hub.open(plan, **chosen)

    async def lead(self, live: LiveRoom, do: str, **more: Any) -> httpx.Response:
        """A command of the teacher."""
        async with self.teacher() as teacher:
            return await teacher.post(f"/class/{live.room.code}/command", json={"do": do, **more})


@dataclass
class Phone:
    """A student's browser in one class."""

    client: httpx.AsyncClient
    code: str
    name: str = field(default_factory=lambda: uuid.uuid4().hex)
    sent: int = 0

    async def join(self) -> httpx.Response:
        return await self.client.post(f"/class/{self.code}/join", json={})

    async def state(self) -> dict[str, Any]:
        answer = await self.client.get(f"/class/{self.code}/state")
        return dict(answer.json())

    async def answer(self, position: Any, round_number: int, **value: Any) -> httpx.Response:
        """Send an answer under a new id, unless `id` is given."""
        self.sent += 1
        made = {"id": f"{self.name}-{self.sent}", "position": position, "round": round_number}
        return await self.client.post(f"/class/{self.code}/answer", json=made | value)


@asynccontextmanager
async def phone(school: School, live: LiveRoom, browser: str) -> AsyncIterator[Phone]:
    """A phone that has joined."""
    async with school.client(browser=browser) as client:
        made = Phone(client, live.room.code)
        assert (await made.join()).status_code == 200
        yield made


@dataclass
class Streaming:
    """A stream read as a browser reads it, straight from the ASGI app: httpx waits for the end of a body."""

    site: Any
    path: str
    browser: str
    address: str = PHONE
    last_event_id: str = ""
    events: "asyncio.Queue[dict[str, Any]]" = field(default_factory=asyncio.Queue)
    status: int = 0
    _task: Any = None
    _gone: asyncio.Event = field(default_factory=asyncio.Event)

    async def __aenter__(self) -> "Streaming":
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._gone.set()
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def next(self) -> dict[str, Any]:
        """The next event: {"id", "event", "data"}."""
        return await asyncio.wait_for(self.events.get(), 10)

    async def _run(self) -> None:
        headers = [(b"host", b"192.0.2.1"), (b"cookie", f"{COOKIE}={self.browser}".encode())]
        if self.last_event_id:
            headers.append((b"last-event-id", self.last_event_id.encode()))
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "GET",
            "scheme": "http", "path": self.path, "raw_path": self.path.encode(), "query_string": b"",
            "root_path": "", "headers": headers, "client": (self.address, 1), "server": ("192.0.2.1", 80),
        }  # fmt: skip
        await self.site(scope, self._receive, self._send)

    async def _receive(self) -> dict[str, Any]:
        await self._gone.wait()
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            return
        for block in message.get("body", b"").decode().split("\n\n"):
            fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
            if "data" in fields:
                self.events.put_nowait({**fields, "data": json.loads(fields["data"])})


def played(play: Callable[[], Awaitable[T]]) -> T:
    """Run a test's coroutine in an event loop of its own."""

    async def whole() -> T:
        return await asyncio.wait_for(play(), 60)

    return asyncio.run(whole())


def record_of(context: Context, code: str) -> ClassRecord:
    """What is stored of a class."""
    record = context.store.classes.read_record(code)
    assert record is not None
    return record


def stored(context: Context, live: LiveRoom) -> list[tuple[str, int, Any]]:
    record = record_of(context, live.room.code)
    return [(answer.id, answer.round, answer.value) for answer in record.answers]
