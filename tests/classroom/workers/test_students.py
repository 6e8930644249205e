"""Students of one class at several workers, which share a PostgreSQL server: all see the same."""

import asyncio
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace

import httpx
import pytest
from fastapi import FastAPI
from sqlalchemy import create_engine, text
from sqlalchemy.engine import make_url

from classroom.live import process_sync
from classroom.plans.plan import Plan
from classroom.reports.report import build_report
from classroom.workers.site import build_students_site
from flashcards.interchange.class_cards import write_class_cards
from quizzes.kinds import KINDS
from quizzes.session.class_answers import QuizClassKinds
from study.base.settings import Settings
from study.ports.context import Context
from study.store import open_store
from study.store.notices import Notices
from study.web.security.middleware import COOKIE
from tests.classroom.builders import FIGURES, GRID, PREDICT, QUESTION, plan_of
from tests.classroom.live.test_quiz import QUIZ
from tests.classroom.rooms import PHONE, Phone, School, Streaming, played, record_of
from tests.classroom.views.test_kinds import activity_of, answers_to, of_kind
from tests.waiting import LOOK_AGAIN_SECONDS, until

pytestmark = pytest.mark.postgres

WORKERS = 2


@pytest.fixture
def workers(context: Context) -> Iterator[list[FastAPI]]:
    """The sites of two workers, each with a store and a memory of its own."""
    with ExitStack() as opened:
        sites = []
        for _ in range(WORKERS):
            store = open_store(context.settings.database_url)
            opened.callback(store.close)
            sites.append(
                build_students_site(
                    replace(context, store=store),
                    figures=FIGURES,
                    kinds=QuizClassKinds(),
                    write_cards=write_class_cards,
                )
            )
        yield sites


async def until_shown(phone: Phone, words: str) -> None:
    """Wait until a phone shows this: its worker hears of it a moment after the teacher's process."""
    async with asyncio.timeout(60):
        while words not in (await phone.state())["html"]:
            await asyncio.sleep(LOOK_AGAIN_SECONDS)


def at(site: FastAPI, browser: str) -> httpx.AsyncClient:
    transport = httpx.ASGITransport(site, client=(PHONE, 1234))
    return httpx.AsyncClient(transport=transport, base_url="http://192.0.2.1", cookies={COOKIE: browser})


def test_students_at_two_workers_are_in_one_class(school: School, workers: list[FastAPI]) -> None:
    async def play() -> None:
        live = await school.start()
        code = live.room.code
        async with at(workers[0], "ana") as one, at(workers[1], "ben") as two:
            ana, ben = Phone(one, code), Phone(two, code)
            names = [(await each.join()).json()["name"] for each in (ana, ben)]
            await until(lambda: {s.name for s in live.students.values()} == set(names))
            assert sorted(student.number for student in live.students.values()) == [1, 2]
            path = f"/class/{code}/events"
            async with (
                Streaming(workers[0], path, "ana") as of_ana,
                Streaming(workers[1], path, "ben") as of_ben,
            ):
                for stream in (of_ana, of_ben):
                    assert (await stream.next())["data"]["position"] == -1
                await school.lead(live, "next")
                for stream in (of_ana, of_ben):
                    assert (await stream.next())["data"]["round"] == 1
                await until(lambda: live.online() == set(live.students))
                assert (await ana.answer(0, 1, option="slip")).json()["outcome"] == "stored"
                assert (await ben.answer(0, 1, option="right")).json()["outcome"] == "stored"
                await until(lambda: len(live.answers(1)) == 2)
                await school.lead(live, "go", position=0, phase="reveal")
                states = [(await ana.state())["html"], (await ben.state())["html"]]
                assert all("2 voted" in html or "50" in html for html in states)
            await until(lambda: not live.online())

    played(play)


def test_a_phone_is_the_same_student_at_any_worker(school: School, workers: list[FastAPI]) -> None:
    async def play() -> None:
        live = await school.start()
        await school.lead(live, "next")
        code = live.room.code
        async with at(workers[0], "ana") as here, at(workers[1], "ana") as there:
            first, second = Phone(here, code), Phone(there, code)
            name = (await first.join()).json()["name"]
            given = {"id": "kept-by-the-phone", "option": "right"}
            # The second worker has not heard of her: it looks.
            sent = [first.answer(0, 1, **given), second.answer(0, 1, **given)]
            outcomes = [answer.json()["outcome"] for answer in await asyncio.gather(*sent)]
            assert sorted(outcomes) == ["repeated", "stored"]
            other = await second.answer(0, 1, option="slip")
            assert other.json()["outcome"] == "answered"
            assert (await second.state())["answered"]
            assert (await second.join()).json()["name"] == name
        assert len(live.students) <= 1
        record = record_of(school.context, code)
        assert (len(record.students), len(record.answers)) == (1, 1)

    played(play)


def test_a_worker_reads_every_kind_and_each_question_of_a_quiz(
    school: School, workers: list[FastAPI]
) -> None:
    """A worker has no bank of questions: the task comes with the class."""
    activities = (*(activity_of(of_kind(kind)) for kind in KINDS), QUIZ)

    async def play() -> None:
        live = await school.start(plan_of(*activities))
        async with at(workers[0], "ana") as here, at(workers[1], "ana") as there:
            phones = Phone(here, live.room.code), Phone(there, live.room.code)
            await phones[0].join()
            for position, activity in enumerate(activities):
                await school.lead(live, "go", position=position, phase="vote")
                for number in activity.rounds if activity.questions else (1,):
                    asked = activity.find_question(number)
                    assert asked is not None
                    each = phones[(position + number) % 2]
                    sent = await each.answer(position, number, **answers_to(asked, right=True))
                    assert sent.json() == {"outcome": "stored"}, asked.kind
            await until(lambda: len(live.answers(3)) == 1)
            assert (await phones[0].state())["answered"] is True
        record = record_of(school.context, live.room.code)
        right = [row.first_right for row in build_report(record).items]
        assert right == [1.0] * (len(KINDS) + len(QUIZ.questions))

    played(play)


def test_a_worker_that_has_not_heard_of_the_end_of_a_vote_refuses_late_answers(
    school: School, workers: list[FastAPI], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play() -> None:
        live = await school.start()
        await school.lead(live, "next")
        async with at(workers[0], "ana") as here:
            ana = Phone(here, live.room.code)
            await ana.join()
            monkeypatch.setattr(Notices, "send", lambda *_: None)  # every message is lost
            await school.lead(live, "go", position=0, phase="advice")
            late = await ana.answer(0, 1, option="right")
            assert (late.status_code, late.json()["outcome"]) == (409, "late")
            assert late.json()["state"]["round"] == 0

    played(play)


def test_what_a_lost_message_would_have_told_comes_a_little_later(
    school: School, workers: list[FastAPI], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_sync, "LOOK_SECONDS", 0.1)

    async def play() -> None:
        live = await school.start()
        async with at(workers[0], "ana") as here:
            await Phone(here, live.room.code).join()
            monkeypatch.setattr(Notices, "send", lambda *_: None)
            async with Streaming(workers[0], f"/class/{live.room.code}/events", "ana") as stream:
                assert (await stream.next())["data"]["position"] == -1
                await school.lead(live, "next")
                assert (await stream.next())["data"]["position"] == 0

    played(play)


def test_a_database_that_is_away_is_told_and_what_was_kept_is_stored_afterwards(
    school: School, workers: list[FastAPI], settings: Settings, postgres_server: str
) -> None:
    name = make_url(settings.database_url).database
    server = create_engine(postgres_server, isolation_level="AUTOCOMMIT")

    def let_in(allowed: bool) -> None:
        with server.connect() as connection:
            connection.exec_driver_sql(f"ALTER DATABASE {name} ALLOW_CONNECTIONS {allowed}")
            if not allowed:
                connected = text(
                    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :name"
                )
                connection.execute(connected, {"name": name})

    async def play() -> None:
        live = await school.start()
        await school.lead(live, "next")
        path = f"/class/{live.room.code}/events"
        async with at(workers[0], "ana") as here:
            ana = Phone(here, live.room.code)
            await ana.join()
            async with Streaming(workers[0], path, "ana") as stream:
                assert (await stream.next())["data"]["round"] == 1
                let_in(False)
                given = {"id": "kept-by-the-phone", "option": "right"}
                lost = await ana.answer(0, 1, **given)
                assert lost.status_code == 503
                assert "kept here and sent again" in lost.json()["error"]
                unread = await here.get(f"/class/{live.room.code}/state")
                assert (unread.status_code, "database" in unread.text) == (503, True)
                let_in(True)
                assert (await ana.answer(0, 1, **given)).json()["outcome"] == "stored"
                await school.lead(live, "go", position=0, phase="reveal")
                while (await stream.next())["data"]["round"] != 0:
                    pass  # her own answer comes first

    played(play)
    server.dispose()


def test_names_an_activity_on_the_spot_and_the_end_reach_every_worker(
    school: School, workers: list[FastAPI]
) -> None:
    async def play() -> None:
        live = await school.start()
        code = live.room.code
        async with at(workers[0], "ana") as one, at(workers[1], "ben") as two:
            ana, ben = Phone(one, code), Phone(two, code)
            await ana.join()
            await ben.join()
            drawn = (await one.post(f"/class/{code}/name", json={"draw": True})).json()["name"]
            await until(lambda: drawn in {student.name for student in live.students.values()})
            await school.hub.ask_now(live, QUESTION)
            position = len(live.plan) - 1
            assert (await ben.answer(position, 1, option="right")).json()["outcome"] == "stored"
            await until(lambda: len(live.answers(1)) == 1)
            await school.hub.carry_out(live, {"do": "kick", "student": next(iter(live.students))})
            assert (await ana.state())["status"] == "kicked"
            await school.hub.forget_names(live)
            assert (await ben.state())["name"] == "Student 2"
            await school.hub.delete(live)
            assert (await ben.state())["status"] == "ended"  # what is still open says so
            assert "no class with the code" in (await ben.join()).json()["error"]

    played(play)


def test_phones_see_how_far_the_teachers_training_is(school: School, workers: list[FastAPI]) -> None:
    plan = Plan(id="lab", title="Lab", about="", minutes=9, activities=(PREDICT, GRID))

    async def play() -> None:
        live = await school.start(plan)
        async with at(workers[0], "ana") as here:
            ana = Phone(here, live.room.code)
            await ana.join()
            await school.lead(live, "go", position=0, phase="vote")
            await ana.answer(0, 1, number="3")
            await school.lead(live, "go", position=0, phase="run")
            await until(lambda: live.run is not None and live.run.step == 3)
            await until_shown(ana, "The run is going on")
            school.runs.value = 2.5
            await until(lambda: 0 in live.state.measured)
            await until_shown(ana, "2.5")
            await school.lead(live, "go", position=1, phase="vote")
            assert (await ana.answer(1, 1, cell="0/0", number="5")).json()["outcome"] == "stored"
            await school.lead(live, "go", position=1, phase="run")
            await until(lambda: 1 in live.grids)
            await until_shown(ana, "<svg")  # the curve of her own cell

    played(play)


def test_a_worker_serves_students_and_nothing_else(workers: list[FastAPI]) -> None:
    async def play() -> None:
        transport = httpx.ASGITransport(workers[0], client=("127.0.0.1", 1))
        async with httpx.AsyncClient(transport=transport, base_url="http://127.0.0.1") as here:
            for path in ("/class/join", "/fonts/stix-two-math-subset.woff2"):
                assert (await here.get(path)).status_code == 200
            for path in ("/", "/class", "/class/123456/teach", "/class/123456/report", "/docs"):
                assert (await here.get(path)).status_code == 403
            assert (await here.post("/class/open", data={"plan": "opener"})).status_code == 403

    played(play)


def test_the_projector_shows_the_address_that_workers_answer(context: Context) -> None:
    school = School(context, students_at="https://class.example.org/")

    async def play() -> None:
        live = await school.start()
        async with school.teacher() as teacher:
            screen = (await teacher.get(f"/class/{live.room.code}/screen")).text
            assert "class.example.org/class/join" in screen
            page = await teacher.post(f"/class/{live.room.code}/key")
            assert "http://127.0.0.1:7860/class" in page.text  # the teacher's own device asks this app
            assert "name=address" not in page.text.replace('"', "")

    played(play)
