"""Joining, answering and the streams of a class: nothing lost, nothing doubled, the late are told."""

import asyncio
import threading
from contextlib import AsyncExitStack
from dataclasses import replace
from datetime import datetime
from time import perf_counter
from typing import Any

import pytest
from sqlalchemy.exc import OperationalError

from classroom.live.live_room import LiveRoom
from classroom.live.name_expiry import NameExpiry
from classroom.pages import streams
from classroom.pages.student_routes import STREAMS_AT_MOST
from study.ports.context import Context
from study.store.classes import ClassLog
from study.web.security.rates import Rates
from tests.classroom.rooms import PHONE, School, Streaming, phone, played


@pytest.fixture
def school(context: Context) -> School:
    return School(context)


def stored(context: Context, live: LiveRoom) -> list[tuple[str, int, Any]]:
    record = context.store.classes.record(live.room.code)
    assert record is not None
    return [(answer.id, answer.round, answer.value) for answer in record.answers]


def test_a_class_from_joining_to_the_answer(school: School, context: Context) -> None:
    async def play() -> None:
        live = await school.start()
        async with phone(school, live, "ana") as ana, phone(school, live, "ben") as ben:
            assert "You are in" in (await ana.state())["html"]
            assert (await school.lead(live, "next")).status_code == 200
            state = await ana.state()
            assert (state["position"], state["round"]) == (0, 1)
            assert "What is q?" in state["html"]
            sent = await ana.answer(0, 1, option="slip", confidence="sure")
            assert (sent.status_code, sent.json()["outcome"]) == (200, "stored")
            assert stored(context, live)[0][1:] == (1, {"option": "slip"})
            state = await ana.state()
            assert state["answered"]
            assert "Your answer is saved" in state["html"]
            await ben.answer(0, 1, option="right", confidence="guess")
            for _ in range(4):  # advice, discuss, revote, then a second vote
                if (await ana.state())["round"] == 2:
                    break
                await school.lead(live, "next")
            await ana.answer(0, 2, option="right")
            await school.lead(live, "next")
            shown = (await ana.state())["html"]
            assert "✓ Right" in shown
            assert "Keep this." in shown

    played(play)


def test_a_phone_learns_nothing_of_the_result_before_it_is_shown(school: School) -> None:
    async def play() -> None:
        live = await school.start()
        async with phone(school, live, "ana") as ana, phone(school, live, "ben") as ben:
            await school.lead(live, "next")
            await ben.answer(0, 1, option="right")
            await ana.answer(0, 1, option="slip")
            while live.state.phase != "reveal":
                state = await ana.state()
                for hidden in ("That is a slip", "Keep this", "%", "correct", "✓"):
                    assert hidden not in str(state), (live.state.phase, hidden)
                if live.state.phase == "revote":
                    await ana.answer(0, 2, option="slip")
                await school.lead(live, "next")

    played(play)


def test_the_projector_hides_the_histogram_until_it_is_shown(school: School) -> None:
    async def play() -> None:
        live = await school.start()
        async with phone(school, live, "ana") as ana, school.teacher() as teacher:
            await school.lead(live, "next")
            await ana.answer(0, 1, option="slip")
            await ana.state()  # a phone that asks for its state is connected
            address = f"/class/{live.room.code}/screen/state"
            hidden = (await teacher.get(address)).json()
            assert (hidden["in_room"], hidden["answered"]) == (1, 1)
            assert "bars" not in hidden["html"]
            assert "bars" in (await teacher.get(f"/class/{live.room.code}/teach/state")).json()["html"]
            await school.lead(live, "go", position=0, phase="reveal")
            shown = (await teacher.get(address)).json()["html"]
            assert "bars" in shown
            assert "a slip" in shown  # the misconception behind the wrong option
            [student] = live.students.values()
            assert student.name not in shown

    played(play)


def test_an_answer_sent_twice_at_once_is_stored_once(school: School, context: Context) -> None:
    async def play() -> list[str]:
        live = await school.start()
        async with phone(school, live, "ana") as ana:
            await school.lead(live, "next")
            same = [ana.answer(0, 1, id="one-and-the-same", option="right") for _ in range(8)]
            got = await asyncio.gather(*same, ana.answer(0, 1, option="slip"))
            assert len(stored(context, live)) == 1
            return sorted(each.json()["outcome"] for each in got)

    assert played(play) == ["answered", *["repeated"] * 7, "stored"]


def test_a_late_answer_is_told_so_and_counts_nothing(school: School, context: Context) -> None:
    async def play() -> None:
        live = await school.start()
        async with phone(school, live, "ana") as ana:
            await school.lead(live, "next")
            await school.lead(live, "next")
            late = await ana.answer(0, 1, option="right")
            assert late.status_code == 409
            assert "does not count" in late.json()["error"]
            assert "Voting is closed" in late.json()["state"]["html"]
            assert stored(context, live) == []

    played(play)


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


def test_a_class_goes_on_after_a_restart_in_any_activity(school: School, context: Context) -> None:
    async def play() -> None:
        live = await school.start()
        async with phone(school, live, "ana") as ana:
            for step in range(12):
                await school.lead(live, "next")
                if live.state.round and live.plan[live.state.position].asked:
                    asked = live.plan[live.state.position].asked_in(live.state.round)
                    assert asked is not None
                    await ana.answer(live.state.position, live.state.round, option=asked.options[0].id)
                again = School(context, runs=school.runs)
                same = await again.hub.find(live.room.code)
                assert (same.state, same.revision) == (live.state, live.revision), step
                async with again.client(browser="ana") as client:
                    after = (await client.get(f"/class/{live.room.code}/state")).json()
                before = await ana.state()
                assert {**after, "now": 0} == {**before, "now": 0}

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


def test_what_is_no_answer_is_refused_with_a_sentence(school: School, context: Context) -> None:
    async def play() -> None:
        live = await school.start()
        async with phone(school, live, "ana") as ana:
            await school.lead(live, "next")
            bad: list[dict[str, Any]] = [
                {"option": "nothing"},
                {"id": "short", "option": "right"},
                {"id": 7, "option": "right"},
                {"position": "0", "option": "right"},
                {"position": 99, "option": "right"},
                {"round_number": 4, "option": "right"},
            ]
            for each in bad:
                assert (await ana.answer(**({"position": 0, "round_number": 1} | each))).status_code == 400, (
                    each
                )
            address = f"/class/{live.room.code}/answer"
            for content in (b"", b"[]", b"{", b"\xff", b"[" * 3000, b'{"a": "' + b"x" * 5000 + b'"}'):
                assert (await ana.client.post(address, content=content)).status_code == 400
            assert stored(context, live) == []

    played(play)


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


def test_a_flood_from_one_phone_leaves_the_others_alone(school: School) -> None:
    async def play() -> None:
        live = await school.start()
        async with phone(school, live, "ana") as ana, phone(school, live, "ben") as ben:
            await school.lead(live, "next")
            flood = await asyncio.gather(*(ana.answer(0, 1, option="right") for _ in range(60)))
            assert {each.status_code for each in flood} == {200, 429}
            assert (await ben.answer(0, 1, option="right")).status_code == 200

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


def test_rates_come_back_with_time() -> None:
    now = [0.0]
    rates = Rates(burst=2, per_second=1, clock=lambda: now[0])
    assert [rates.allows("a"), rates.allows("a"), rates.allows("a"), rates.allows("b")] == [1, 1, 0, 1]
    now[0] = 1.0
    assert [rates.allows("a"), rates.allows("a")] == [True, False]


@pytest.mark.parametrize(
    "refused",
    [
        OperationalError("INSERT", {}, Exception("database or disk is full")),
        OSError(28, "No space left on device"),
    ],
)
def test_an_answer_is_acknowledged_only_after_its_commit(
    context: Context, school: School, monkeypatch: pytest.MonkeyPatch, refused: Exception
) -> None:
    def disk_is_full(_: object) -> None:
        raise refused

    async def play() -> None:
        live = await school.start()
        async with phone(school, live, "ana") as ana:
            await school.lead(live, "next")
            working = ClassLog.transact

            def failing(self: ClassLog, jobs: Any) -> Any:
                working(self, [*jobs, disk_is_full])

            monkeypatch.setattr(ClassLog, "transact", failing)
            lost = await ana.answer(0, 1, id="kept-by-the-phone", option="right")
            assert lost.status_code == 503
            assert "sent again" in lost.json()["error"]
            pressed = await school.lead(live, "next")
            assert pressed.status_code == 503
            assert "sent again" not in pressed.json()["error"]  # nothing is kept of a press
            assert (stored(context, live), (await ana.state())["answered"]) == ([], False)
            monkeypatch.undo()
            again = await ana.answer(0, 1, id="kept-by-the-phone", option="right")
            assert again.json()["outcome"] == "stored"

    played(play)


def test_answers_that_come_together_share_commits(
    context: Context, school: School, monkeypatch: pytest.MonkeyPatch
) -> None:
    commits: list[int] = []
    working = ClassLog.transact

    def counting(self: ClassLog, jobs: Any) -> Any:
        commits.append(len(jobs))
        return working(self, jobs)

    async def play() -> None:
        live = await school.start()
        students = [await school.hub.join(live, f"browser-{number}") for number in range(50)]
        await school.lead(live, "next")
        monkeypatch.setattr(ClassLog, "transact", counting)
        given = {"position": 0, "round": 1, "option": "right"}
        await asyncio.gather(
            *(
                school.hub.answer(live, student, given | {"id": f"answer-{student.number}"})
                for student in students
            )
        )
        assert len(stored(context, live)) == 50

    played(play)
    assert sum(commits) == 50
    assert len(commits) <= 5


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
    async def play() -> None:
        live = await school.start()
        request: Any = type("R", (), {"headers": {}})()
        answer: Any = streams.stream(live, lambda: {"a": 1}, request, heartbeat_seconds=0.01)
        pieces = [piece async for piece, _ in _first(answer.body_iterator, 4)]
        assert pieces[0].startswith("retry:")
        assert pieces[1].startswith("id: ")
        assert pieces[2:] == ["event: beat\ndata: {}\n\n"] * 2

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


def test_a_prediction_is_answered_by_a_run_of_the_lab(school: School) -> None:
    async def play() -> None:
        live = await school.start()
        async with phone(school, live, "ana") as ana, school.teacher() as teacher:
            await school.lead(live, "go", position=3, phase="vote")
            await ana.answer(3, 1, number="2")
            await school.lead(live, "next")
            assert school.runs.started == []
            screen = f"/class/{live.room.code}/screen/state"
            assert "1 guess" in (await teacher.get(screen)).json()["html"]
            await school.lead(live, "next")
            assert school.runs.started == [{"rank": 8}]
            await asyncio.sleep(0.1)
            assert "step 3 of 10" in (await teacher.get(screen)).json()["html"]
            school.runs.value = 2.1
            while live.state.measured != {3: 2.1}:
                await asyncio.sleep(0.05)
            assert "2.1 %" in (await teacher.get(screen)).json()["html"]
            assert "within 10 %" in (await ana.state())["html"]
            await school.lead(live, "back")
            await school.lead(live, "next")
            assert len(school.runs.started) == 1  # the same run is shown again

    played(play)


def test_who_voted_once_sees_that_vote_with_the_answer(school: School) -> None:
    async def play() -> None:
        live = await school.start()
        async with phone(school, live, "ana") as ana, phone(school, live, "ben") as ben:
            await school.lead(live, "go", position=0, phase="vote")
            await ana.answer(0, 1, option="slip")
            await school.lead(live, "go", position=0, phase="revote")
            await ben.answer(0, 2, option="right")
            await school.lead(live, "go", position=0, phase="reveal")
            assert "✗ Your answer, not right" in (await ana.state())["html"]
            assert "✓ Right: your answer" in (await ben.state())["html"]

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


def test_names_are_deleted_when_their_time_is_over(school: School, context: Context) -> None:
    async def play() -> None:
        live = await school.start(keep_names_days=1)
        async with phone(school, live, "ana"):
            late = school.new_hub(replace(context, clock=lambda: live.room.names_until))
            assert await late.forget_names() == 1
            await school.lead(live, "forget-names")
            assert [student.name for student in live.students.values()] == [""]

    played(play)


def test_names_go_while_nobody_looks(school: School, context: Context) -> None:
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

    name_expiry = NameExpiry(context.store.classes, clock, look_again_seconds=0.01)
    for _ in range(3):
        assert looks.acquire(timeout=10)
    name_expiry.close()
    record = context.store.classes.record(live.room.code)
    assert record is not None
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
