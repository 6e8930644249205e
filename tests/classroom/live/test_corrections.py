"""A student corrects an answer while voting is open; who is away is counted as away."""

import asyncio
import json
from collections.abc import Iterable

import pytest

from classroom.live import live_room
from classroom.live.live_room import LiveRoom
from classroom.views.screens import build_teacher_state, screen_state
from study.ports.context import Context
from tests.classroom.builders import GRID, PREDICT, QUESTION, WALL, plan_of
from tests.classroom.rooms import Phone, School, Streaming, phone, played
from tests.waiting import until


async def correct(one: Phone, **value: object) -> str:
    """Send another answer to the round that is open, in place of the one that this phone shows."""
    state = await one.state()
    sent = await one.answer(state["position"], state["round"], replaces=state["given"], **value)
    return str(sent.json().get("outcome"))


def votes(live: LiveRoom) -> Iterable[object]:
    return [each.value["option"] for each in live.answers(1).values()]


def test_the_last_answer_of_a_round_counts_once(school: School, context: Context) -> None:
    async def play() -> None:
        live = await school.start(plan_of(QUESTION))
        async with phone(school, live, "ana") as ana, phone(school, live, "ben") as ben:
            await school.lead(live, "next")
            await ben.answer(0, 1, option="right")
            assert (await ana.answer(0, 1, option="slip", confidence="sure")).json()["outcome"] == "stored"
            before, shown = live.revision, await ana.state()
            assert "Change my answer" in shown["html"]
            assert await correct(ana, option="right", confidence="guess") == "stored"
            assert live.revision > before
            assert (await ana.state())["key"] != shown["key"]
            assert votes(live) == ["right", "right"]
            assert build_teacher_state(live)["answered"] == 2
            again = await school.new_hub(context).find(live.room.code)
            assert (votes(again), again.revision) == (["right", "right"], live.revision)

    played(play)


def test_a_correction_that_comes_too_late_leaves_the_answer_and_is_told_so(school: School) -> None:
    async def play() -> None:
        live = await school.start(plan_of(QUESTION))
        async with phone(school, live, "ana") as ana:
            await school.lead(live, "next")
            await ana.answer(0, 1, option="slip")
            given = (await ana.state())["given"]
            await school.lead(live, "next")
            late = await ana.answer(0, 1, option="right", replaces=given)
            assert late.status_code == 409
            assert "your earlier answer counts" in late.json()["error"]
            assert votes(live) == ["slip"]
            assert "Change my answer" not in late.json()["state"]["html"]

    played(play)


def test_a_corrected_claim_is_free_for_others(school: School) -> None:
    async def play() -> None:
        live = await school.start(plan_of(GRID))
        async with phone(school, live, "ana") as ana, phone(school, live, "ben") as ben:
            await school.lead(live, "next")
            await ana.answer(0, 1, cell="0/0", number="5")
            assert (await ana.state())["free"]["0/0"] == 2  # its own place is still its own
            assert (await ben.state())["free"]["0/0"] == 1
            assert await correct(ana, cell="1/1", number="5 nats") == "stored"
            assert (await ben.state())["free"] == {"0/0": 2, "0/1": 2, "1/0": 2, "1/1": 1}
            assert set(live.reservations()) == {"1/1/0"}

    played(play)


def test_corrected_words_are_graded_again(school: School) -> None:
    async def play() -> None:
        live = await school.start(plan_of(WALL))
        async with phone(school, live, "ana") as ana:
            await school.lead(live, "next")
            await ana.answer(0, 1, text="the pair")
            await until(lambda: school.grader.read == ["the pair"])
            assert await correct(ana, text="frozen pair") == "stored"
            await until(lambda: all(each.graded for each in live.answers(1).values()))
            assert school.grader.read == ["the pair", "frozen pair"]
            [answer] = live.answers(1).values()
            assert {name: found["verdict"] for name, found in (answer.graded or {}).items()} == {
                "frozen": "covered",
                "pair": "covered",
            }

    played(play)


def test_who_is_away_is_not_in_the_room(school: School, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(live_room, "POLLING_SECONDS", 0.3)

    async def play() -> None:
        live = await school.start(plan_of(QUESTION))
        async with phone(school, live, "ana") as ana, phone(school, live, "ben"), phone(school, live, "cyd"):
            await school.lead(live, "next")
            await ana.answer(0, 1, option="right")
            async with Streaming(school.site, f"/class/{live.room.code}/events", "ben") as stream:
                await stream.next()
                counts = build_teacher_state(live)
                assert (counts["in_room"], counts["away"]) == (1, 2)
                assert "1 of 2 answered" in counts["html"]  # ben, and ana who has answered and left
                await ana.state()  # a phone that asks now and then is here
                assert screen_state(live, link="x")["in_room"] == 2
                await asyncio.sleep(0.5)
                assert screen_state(live, link="x")["in_room"] == 1

    played(play)


def test_the_projector_says_that_the_room_is_locked(school: School) -> None:
    async def play() -> None:
        live = await school.start(plan_of(QUESTION))
        assert not screen_state(live, link="x")["locked"]
        await school.lead(live, "lock")
        shown = screen_state(live, link="x")
        assert shown["locked"]
        assert "nobody new gets in" in shown["html"]

    played(play)


def test_a_guess_that_can_not_be_is_refused_in_words(school: School) -> None:
    async def play() -> None:
        live = await school.start(plan_of(PREDICT))
        async with phone(school, live, "ana") as ana:
            await school.lead(live, "next")
            refused = await ana.answer(0, 1, number="150 %")
            assert (refused.status_code, json.loads(refused.text)["error"]) == (
                400,
                "150 % isn't a possible value. Type 0 to 100 %, then send it.",
            )

    played(play)
