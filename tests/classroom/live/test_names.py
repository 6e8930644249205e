"""Names of students: drawn or typed, hidden on request, deleted when their time is over."""

import asyncio
import threading
from dataclasses import replace
from datetime import datetime

import pytest

from classroom.live.live_room import LiveRoom
from classroom.parts import start_name_expiry
from study.ports.context import Context
from study.store.classes import ClassLog
from tests.classroom.rooms import School, phone, played, record_of


def test_names_are_drawn_and_typed_where_that_is_allowed(school: School) -> None:
    async def play() -> None:
        live, typed = await school.start(), await school.start(names_typed=True)
        async with phone(school, live, "ana") as ana, phone(school, typed, "ben") as ben:
            address = f"/class/{live.room.code}/name"
            first = (await ana.state())["name"]
            drawn = (await ana.client.post(address, json={"draw": True})).json()["name"]
            assert len(drawn.split()) == 2
            assert drawn != first
            assert (await ana.state())["name"] == drawn
            assert (await ana.client.post(address, json={"name": "Ana"})).status_code == 400
            other = f"/class/{typed.room.code}/name"
            assert (await ben.client.post(other, json={"name": " Ben "})).json() == {"name": "Ben"}

    played(play)


def test_of_two_who_type_the_same_name_at_once_one_gets_it(school: School) -> None:
    async def play() -> None:
        live = await school.start(names_typed=True)
        async with phone(school, live, "ana") as ana, phone(school, live, "ben") as ben:
            address = f"/class/{live.room.code}/name"
            tried = (
                one.client.post(address, json={"name": name}) for one, name in ((ana, "Kim"), (ben, "kim"))
            )
            first, second = await asyncio.gather(*tried)
            assert sorted((first.status_code, second.status_code)) == [200, 400]
            told = "Someone in this class has that name. Choose another one."
            assert told in (first.json().get("error"), second.json().get("error"))
            assert len({each.name.lower() for each in live.students.values()}) == 2

    played(play)


def test_the_teacher_can_hide_names(school: School) -> None:
    async def play() -> None:
        live = await school.start()
        async with phone(school, live, "ana") as ana, school.teacher() as teacher:
            name, address = (await ana.state())["name"], f"/class/{live.room.code}/teach/state"
            assert name in (await teacher.get(address)).json()["html"]
            await school.lead(live, "hide-names")
            hidden = (await teacher.get(address)).json()["html"]
            assert (name in hidden, "Student 1" in hidden) == (False, True)
            await school.lead(live, "show-names")
            assert name in (await teacher.get(address)).json()["html"]

    played(play)


def test_names_are_deleted_when_their_time_is_over(school: School, context: Context) -> None:
    async def play() -> None:
        live = await school.start(keep_names_days=1)
        async with phone(school, live, "ana"):
            late = school.new_hub(replace(context, clock=lambda: live.room.names_until))
            assert await late.forget_names() == 1
            await school.lead(live, "forget-names")
            assert [student.name for student in live.students.values()] == [""]

    played(play)


def test_names_go_while_nobody_looks(
    school: School, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def play() -> LiveRoom:
        live = await school.start(keep_names_days=1)
        async with phone(school, live, "ana"):
            return live

    live = played(play)
    looks = threading.Semaphore(0)
    moments = iter([live.room.opened_at])

    def clock() -> datetime:
        looks.release()
        return next(moments, live.room.names_until)

    monkeypatch.setattr("classroom.parts.EVERY_SECONDS", 0.01)
    name_expiry = start_name_expiry(context.store.classes, clock)
    for _ in range(3):
        assert looks.acquire(timeout=10)
    name_expiry.close()
    record = record_of(context, live.room.code)
    assert [student.name for student in record.students] == [""]


@pytest.mark.parametrize("deleted_before", [False, True])
def test_a_room_in_memory_forgets_names_when_it_is_next_opened(
    context: Context, deleted_before: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [context.clock()]
    school = School(replace(context, clock=lambda: now[0]))

    async def play() -> None:
        live = await school.start(keep_names_days=1)
        async with phone(school, live, "ana") as ana, school.teacher() as teacher:
            name = (await ana.state())["name"]
            assert name != "Student 1"
            now[0] = live.room.names_until
            if deleted_before:  # by the thread that looks every hour
                context.store.classes.transact([lambda t: t.forget_names(now=now[0])])
            assert (await ana.state())["name"] == "Student 1"
            path = f"/class/{live.room.code}/teach/state"
            assert name not in (await teacher.get(path)).text
            monkeypatch.setattr(ClassLog, "transact", None)  # there is nothing left to delete
            assert (await teacher.get(path)).status_code == 200

    played(play)
