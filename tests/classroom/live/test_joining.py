"""Joining a class: late, twice, into a locked room, out of it again, and when too many come at once."""

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from study.ports.context import Context
from study.store.class_transaction import ClassTransaction
from study.store.classes import ClassLog
from study.web.security.rates import Rates
from tests.classroom.rooms import PHONE, TEST_PLAN, School, phone, played


def test_a_second_tab_and_a_reload_are_the_same_student(school: School) -> None:
    async def play() -> None:
        live = await school.start()
        async with phone(school, live, "ana") as ana, phone(school, live, "ana") as tab:
            await school.lead(live, "next")
            await ana.answer(0, 1, option="right")
            assert (await tab.state())["answered"]
            assert (await tab.answer(0, 1, option="slip")).json()["outcome"] == "answered"
            assert len(live.students) == 1

    played(play)


def test_who_joins_late_is_in_the_current_activity(school: School) -> None:
    async def play() -> None:
        live = await school.start()
        await school.lead(live, "go", position=2, phase="vote")
        async with phone(school, live, "ana") as ana:
            assert "How many?" in (await ana.state())["html"]
            assert (await ana.answer(2, 1, number="36,5")).json()["outcome"] == "stored"
            await school.lead(live, "next")
            html = (await ana.state())["html"]
            assert "40 MB" in html
            assert "within 10 %" in html

    played(play)


def test_a_locked_room_keeps_those_who_are_in_and_refuses_others(school: School) -> None:
    async def play() -> None:
        live = await school.start()
        async with phone(school, live, "ana") as ana, school.client(browser="new") as new:
            await school.lead(live, "lock")
            refused = await new.post(f"/class/{live.room.code}/join", json={})
            assert "locked" in refused.json()["error"]
            assert (await ana.join()).status_code == 200
            await school.lead(live, "unlock")
            assert (await new.post(f"/class/{live.room.code}/join", json={})).status_code == 200

    played(play)


def test_a_kicked_student_is_out_until_let_in_again(school: School, context: Context) -> None:
    async def play() -> None:
        live = await school.start()
        async with phone(school, live, "ana") as ana, phone(school, live, "ben"):
            await school.lead(live, "next")
            await ana.answer(0, 1, option="right")
            student = next(iter(live.students))
            await school.lead(live, "kick", student=student)
            assert "taken out" in (await ana.state())["html"]
            assert (await ana.answer(0, 2, option="right")).status_code == 403
            assert (len(live.present), len(live.answers(1))) == (1, 0)
            await school.lead(live, "readmit", student=student)
            assert (await ana.state())["answered"]

    played(play)


def test_who_is_in_reloads_however_many_join_from_the_same_address(
    school: School, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play() -> None:
        live = await school.start()
        async with phone(school, live, "ana") as ana, school.client(browser="late") as late:
            monkeypatch.setattr(Rates, "allows", lambda _, device: device != PHONE)
            assert (await late.post(f"/class/{live.room.code}/join", json={})).status_code == 429
            assert (await ana.join()).status_code == 200

    played(play)


def test_rates_come_back_with_time() -> None:
    now = [0.0]
    rates = Rates(burst=2, per_second=1, clock=lambda: now[0])
    assert [rates.allows("a"), rates.allows("a"), rates.allows("a"), rates.allows("b")] == [1, 1, 0, 1]
    now[0] = 1.0
    assert [rates.allows("a"), rates.allows("a")] == [True, False]


def test_an_unknown_code_is_told_so(school: School) -> None:
    async def play() -> None:
        async with school.client(browser="ana") as client:
            page = await client.get("/class/000000", headers={"accept": "text/html"})
            assert page.status_code == 404
            assert "no class with the code 000000" in page.text
            assert (await client.post("/class/000000/join", json={})).status_code == 400
            assert (await client.get("/class/join?code=123456")).headers["location"] == "/class/123456"

    played(play)


def test_a_phone_that_has_not_joined_gets_a_sentence(school: School) -> None:
    async def play() -> None:
        live = await school.start()
        async with school.client(browser="ana") as client, school.client() as without_cookie:
            for path in ("events", "state"):
                answer = await client.get(f"/class/{live.room.code}/{path}")
                assert (answer.status_code, "Reload the page" in answer.text) == (400, True)
            refused = await without_cookie.post(f"/class/{live.room.code}/join", json={})
            assert "cookie" in refused.json()["error"]

    played(play)


def test_two_processes_that_draw_the_same_code_open_two_classes(
    school: School, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    both, transact = threading.Barrier(2, timeout=30), ClassLog.transact

    def write_at_once(log: ClassLog, jobs: Sequence[Callable[[ClassTransaction], Any]]) -> list[Any]:
        both.wait()
        return transact(log, jobs)

    monkeypatch.setattr(ClassLog, "transact", write_at_once)
    processes = [school.new_hub(replace(context, rng=Random(1))) for _ in range(2)]
    chosen: dict[str, Any] = {"names_typed": False, "keep_names_days": 30, "address": "127.0.0.1"}

    async def play() -> None:
        opened = [process.open(TEST_PLAN, **chosen) for process in processes]
        first, second = await asyncio.gather(*opened)
        assert first.room.code != second.room.code

    played(play)
