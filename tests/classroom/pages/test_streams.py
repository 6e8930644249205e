"""The streams of a class: states that come once, reconnects that miss nothing, few for one phone."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import replace
from threading import Event
from time import perf_counter
from typing import Any

import pytest

from classroom.live import process_sync
from classroom.live.live_room import TRAINING
from classroom.live.process_sync import ProcessSync
from classroom.pages import streams
from classroom.pages.student_routes import STREAMS_AT_MOST
from study.store.class_records import ClassRecord
from study.store.classes import ClassLog
from tests.classroom.rooms import School, Streaming, phone, played
from tests.waiting import until


def test_one_phone_holds_only_a_few_streams(school: School) -> None:
    async def play() -> None:
        live = await school.start()
        async with phone(school, live, "ana"), phone(school, live, "ben"):
            path = f"/class/{live.room.code}/events"
            async with AsyncExitStack() as open_streams:
                for _ in range(STREAMS_AT_MOST):
                    stream = await open_streams.enter_async_context(Streaming(school.site, path, "ana"))
                    await stream.next()
                one_more = await open_streams.enter_async_context(Streaming(school.site, path, "ana"))
                other = await open_streams.enter_async_context(Streaming(school.site, path, "ben"))
                await other.next()
                assert (one_more.status, other.status) == (429, 200)

    played(play)


def test_a_stream_sends_states_with_ids_and_wakes_for_a_step(school: School) -> None:
    async def play() -> None:
        live = await school.start()
        async with phone(school, live, "ana"):
            path = f"/class/{live.room.code}/events"
            async with Streaming(school.site, path, "ana") as stream:
                first = await stream.next()
                assert "You are in" in first["data"]["html"]
                await school.lead(live, "next")
                second = await stream.next()
                assert float(second["id"]) > float(first["id"])
                assert "What is q?" in second["data"]["html"]

    played(play)


def test_a_reconnect_brings_what_was_missed_and_nothing_twice(school: School) -> None:
    async def play() -> None:
        live = await school.start()
        async with phone(school, live, "ana"):
            path = f"/class/{live.room.code}/events"
            async with Streaming(school.site, path, "ana") as stream:
                seen = (await stream.next())["id"]
            async with Streaming(school.site, path, "ana", last_event_id=seen) as stream:
                assert (await stream.next())["event"] == "beat"
                await school.lead(live, "next")
                assert "What is q?" in (await stream.next())["data"]["html"]
            await school.lead(live, "next")
            async with Streaming(school.site, path, "ana", last_event_id=seen) as stream:
                assert "Voting is closed" in (await stream.next())["data"]["html"]

    played(play)


def test_a_reconnect_brings_a_name_that_has_changed_meanwhile(school: School) -> None:
    async def play() -> None:
        live = await school.start()
        async with phone(school, live, "ana") as ana, phone(school, live, "ben"):
            path = f"/class/{live.room.code}"
            seen = {}
            for browser in ("ana", "ben"):
                async with Streaming(school.site, f"{path}/events", browser) as stream:
                    seen[browser] = (await stream.next())["id"]
            drawn = (await ana.client.post(f"{path}/name", json={"draw": True})).json()["name"]
            async with Streaming(school.site, f"{path}/events", "ana", last_event_id=seen["ana"]) as stream:
                assert (await stream.next())["data"]["name"] == drawn
            async with Streaming(school.site, f"{path}/events", "ben", last_event_id=seen["ben"]) as stream:
                assert (await stream.next())["event"] == "beat"
            await school.lead(live, "forget-names")
            async with Streaming(school.site, f"{path}/events", "ben", last_event_id=seen["ben"]) as stream:
                assert (await stream.next())["data"]["name"] == "Student 2"

    played(play)


def test_another_address_reaches_the_projector_with_its_code(school: School) -> None:
    async def play() -> None:
        live = await school.start(address="192.0.2.7")
        path = f"/class/{live.room.code}/screen/events"
        async with Streaming(school.site, path, "teacher", address="127.0.0.1") as stream:
            before = (await stream.next())["data"]
            await school.hub.use_address(live, "192.0.2.99")
            after = (await stream.next())["data"]
        assert before["join"] == "192.0.2.7/class/join"
        assert after["join"] == "192.0.2.99/class/join"
        assert f"192.0.2.99/class/{live.room.code}" in after["html"]
        assert after["qr"] != before["qr"]

    played(play)


class _Slow:
    """A log whose readings arrive late, and a server that has no notices."""

    def __init__(self, log: ClassLog) -> None:
        self._log, self.has_read, self.may_arrive = log, Event(), Event()

    def read_changes(self, room_id: str, **known: int) -> ClassRecord | None:
        found = self._log.read_changes(room_id, **known)
        self.has_read.set()
        assert self.may_arrive.wait(30)
        return found


def test_a_reading_that_arrives_late_brings_no_old_name_or_address_back(school: School) -> None:
    async def play() -> None:
        live = await school.start(address="192.0.2.7")
        student = await school.hub.join(live, "ana")
        slow: Any = _Slow(school.hub.context.store.classes)
        sync = ProcessSync(log=slow, notices=slow, rooms={live.room.code: live}, deleted=print)
        reading = asyncio.create_task(sync.refresh(live))
        assert await asyncio.to_thread(slow.has_read.wait, 30)
        await school.hub.use_address(live, "192.0.2.99")
        name = await school.hub.rename(live, student, None)
        slow.may_arrive.set()
        await reading
        assert live.room.options["address"] == "192.0.2.99"
        assert live.students[student.id].name == name

    played(play)


def test_a_reading_that_arrives_late_brings_no_old_state_of_a_run_back(school: School) -> None:
    """The process that follows a run keeps how far it is for others only."""

    async def play() -> None:
        live = await school.start()
        await school.lead(live, "go", position=3, phase="run")
        await until(lambda: live.run)
        assert live.run is not None
        early, last = live.run, replace(live.run, step=10, ended=True, error="It failed.")
        kept: Any = TRAINING.dump_python(early, mode="json")
        await school.hub.writer.do(lambda t: t.keep_progress(live.room.id, 3, kept), lambda _: None)
        slow: Any = _Slow(school.hub.context.store.classes)
        sync = ProcessSync(log=slow, notices=slow, rooms={live.room.code: live}, deleted=print)
        reading = asyncio.create_task(sync.refresh(live))
        assert await asyncio.to_thread(slow.has_read.wait, 30)
        assert school.hub.watch is not None
        school.hub.watch.forget(live)  # it has ended
        live.note_training(3, last)
        slow.may_arrive.set()
        await reading
        assert live.run == last

    played(play)


def test_a_reading_that_arrives_late_brings_no_deleted_class_back(school: School) -> None:
    async def play() -> None:
        live = await school.start()
        await school.lead(live, "next")
        elsewhere = school.new_hub(school.hub.context)
        await elsewhere.carry_out(await elsewhere.find(live.room.code), {"do": "next"})
        rooms = {live.room.code: live}
        slow: Any = _Slow(school.hub.context.store.classes)
        sync = ProcessSync(log=slow, notices=slow, rooms=rooms, deleted=print)
        reading = asyncio.create_task(sync.refresh(live))
        assert await asyncio.to_thread(slow.has_read.wait, 30)
        await school.hub.delete(live)
        del rooms[live.room.code]
        slow.may_arrive.set()
        await reading
        assert live.state.ended

    played(play)


def test_staff_get_counts_in_a_few_states_not_one_for_each_vote(school: School) -> None:
    async def play() -> None:
        live = await school.start()
        students = [await school.hub.join(live, f"browser-{number}") for number in range(30)]
        await school.lead(live, "next")
        path = f"/class/{live.room.code}/screen/events"
        async with Streaming(school.site, path, "teacher", address="127.0.0.1") as stream:
            assert (await stream.next())["data"]["answered"] == 0
            given = {"position": 0, "round": 1, "option": "right"}
            began = perf_counter()
            for student in students:
                await school.hub.answer(live, student, given | {"id": f"answer-{student.number}"})
            states = 0
            while True:
                states += 1
                if (await stream.next())["data"]["answered"] == 30:
                    break
            ticks = (perf_counter() - began) / streams.TICK_SECONDS
            assert states <= 2 + ticks

    played(play)


def test_a_phones_stream_is_not_woken_by_other_answers(school: School) -> None:
    async def play() -> None:
        live = await school.start()
        async with phone(school, live, "ana"), phone(school, live, "ben") as ben:
            await school.lead(live, "next")
            async with Streaming(school.site, f"/class/{live.room.code}/events", "ana") as stream:
                await stream.next()
                await ben.answer(0, 1, option="right")
                await asyncio.sleep(3 * streams.TICK_SECONDS)
                assert stream.events.empty()

    played(play)


def test_a_quiet_stream_has_a_heartbeat(school: School, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(streams, "HEARTBEAT_SECONDS", 0.01)

    async def play() -> None:
        live = await school.start()
        request: Any = type("R", (), {"headers": {}})()
        answer: Any = streams.stream(live, lambda: {"a": 1}, request)
        pieces = [piece async for piece, _ in _first(answer.body_iterator, 4)]
        assert pieces[0].startswith("retry:")
        assert pieces[1].startswith("id: ")
        assert pieces[2:] == ["event: beat\ndata: {}\n\n"] * 2

    played(play)


class _Faulty:
    """A log and a server's notices of which every use fails."""

    def __init__(self) -> None:
        self.looks = self.told = 0

    def read_changes(self, *_: object, **__: object) -> None:
        self.looks += 1
        raise ZeroDivisionError

    def send(self, _: str) -> None:
        self.told += 1
        raise ZeroDivisionError

    def listen(self, heard: Callable[[str], None], *, connected: Callable[[], None]) -> None:
        self.connected = connected


def test_a_notice_that_comes_while_the_app_ends_starts_nothing(
    school: School, monkeypatch: pytest.MonkeyPatch
) -> None:
    noted: list[str] = []
    monkeypatch.setattr(process_sync, "note_error", lambda _, error: noted.append(repr(error)))
    faulty: Any = _Faulty()

    def connect_late() -> None:
        time.sleep(0.2)
        faulty.connected()
        time.sleep(0.2)

    async def play() -> None:
        live = await school.start()
        ProcessSync(log=faulty, notices=faulty, rooms={live.room.code: live}, deleted=print).start()
        asyncio.get_running_loop().run_in_executor(None, connect_late)

    played(play)
    assert (noted, faulty.looks) == ([], 0)


def test_an_error_that_nobody_foresaw_ends_no_loop_between_processes(
    school: School, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process_sync, "LOOK_SECONDS", 0.01)
    faulty: Any = _Faulty()

    async def play() -> None:
        live = await school.start()
        sync = ProcessSync(log=faulty, notices=faulty, rooms={live.room.code: live}, deleted=print)
        async with (
            phone(school, live, "ana"),
            Streaming(school.site, f"/class/{live.room.code}/events", "ana") as stream,
        ):
            await stream.next()
            sync.start()
            while faulty.looks < 2 or faulty.told < 2:
                sync.announce_change(live, urgent=True)
                await asyncio.sleep(0.01)

    played(play)


async def _first(pieces: Any, count: int) -> Any:
    for number in range(count):
        yield await anext(pieces), number


def test_a_closed_stream_leaves_nothing_behind(school: School) -> None:
    async def play() -> None:
        live = await school.start()
        async with phone(school, live, "ana"):
            async with Streaming(school.site, f"/class/{live.room.code}/events", "ana") as stream:
                await stream.next()
                assert len(live.online()) == 1
            assert live.online() == set()

    played(play)
