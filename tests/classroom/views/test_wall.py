"""The concept wall: own words are graded, grouped, shown or hidden without a name, and overruled."""

import asyncio
import json
from typing import Any

import httpx
import pytest

from classroom.live.live_room import LiveRoom
from classroom.plans.plan import Plan
from classroom.views.screens import build_student_state, build_teacher_state, screen_state
from study.ports.context import Context
from study.store.class_transaction import ClassTransaction
from tests.classroom.builders import TALK, TEXT, WALL, Grader
from tests.classroom.rooms import Phone, School, phone, played
from tests.waiting import until

WALL_PLAN = Plan(id="wall", title="A wall", about="For tests.", minutes=10, activities=(WALL, TEXT, TALK))


async def write(live: LiveRoom, one: Phone, text: str, position: int = 0) -> str:
    """Send a text; returns its answer's id."""
    answer = await one.answer(position, 1, text=text)
    assert answer.json() == {"outcome": "stored"}
    return next(answer.id for answer in live.answers(1, position).values() if answer.value["text"] == text)


async def graded(live: LiveRoom, count: int) -> None:
    await until(lambda: sum(each.graded is not None for each in live.answers(1, 0).values()) >= count)


def html(state: dict[str, Any]) -> str:
    return str(state["html"])


def test_answers_are_graded_as_they_come_and_grouped_by_concept(context: Context) -> None:
    school = School(context)

    async def play() -> None:
        live = await school.start(WALL_PLAN)
        await school.lead(live, "next")
        async with phone(school, live, "a") as ana, phone(school, live, "b") as ben:
            said = await write(live, ana, "The base is frozen, a pair is trained.")
            await write(live, ben, "It is not frozen at all.")
            await graded(live, 2)
            assert "Until your teacher moves on you may change it" in (await ana.state())["html"]
            assert "Frozen base" not in html(screen_state(live, link="x"))  # hidden while they write
            await school.lead(live, "next")
            shown = html(screen_state(live, link="x"))
            assert "<caption>Number of answers, by idea</caption>" in shown
            assert "<strong>1</strong> covered" in shown
            assert "<strong>1</strong> contradicted" in shown
            assert "<strong>1</strong> missing" in shown
            assert "frozen" not in shown.replace("Frozen base", "")  # no quote before the teacher shows it
            assert (await school.lead(live, "show-quote", answer=said)).status_code == 200
            shown = html(screen_state(live, link="x"))
            assert "<blockquote>The base is frozen, a pair is trained.</blockquote>" in shown
            assert "not frozen" not in shown
            for student in live.students.values():
                assert student.name not in shown
            await school.lead(live, "hide-quote")
            assert "<blockquote>" not in html(screen_state(live, link="x"))
            await school.lead(live, "show-quote")
            assert html(screen_state(live, link="x")).count("<blockquote>") == 4
            own = html(await ben.state())
            assert "contradicted" in own
            assert "The base is frozen." in own  # what a good explanation says

    played(play)


def test_the_teacher_overrules_a_verdict(context: Context) -> None:
    school = School(context)

    async def play() -> None:
        live = await school.start(WALL_PLAN)
        await school.lead(live, "next")
        async with phone(school, live, "a") as ana:
            said = await write(live, ana, "Only a pair is trained, nothing else moves.")
            await graded(live, 1)
            await school.lead(live, "next")
            order = {"answer": said, "concept": "frozen", "verdict": "covered"}
            assert (await school.lead(live, "overrule", **order)).status_code == 200
            assert "<strong>1</strong> covered" in html(screen_state(live, link="x"))
            assert "Frozen base: covered (by you)" in html(build_teacher_state(live))
            assert "covered" in html(await ana.state())
            for wrong in ({"verdict": "splendid"}, {"concept": "else"}, {"answer": "else"}):
                assert (await school.lead(live, "overrule", **order | wrong)).status_code == 400
        again = await school.new_hub(context).find(live.room.code)
        assert again.state.overruled == {(said, "frozen"): "covered"}
        [answer] = again.answers(1).values()
        assert answer.graded is not None
        assert answer.graded["pair"]["verdict"] == "covered"

    played(play)


def test_what_a_restart_left_ungraded_is_graded_when_the_class_is_opened_again(context: Context) -> None:
    school = School(context, grader=Grader(is_on=False))

    async def play() -> None:
        live = await school.start(WALL_PLAN)
        await school.lead(live, "next")
        async with phone(school, live, "a") as ana:
            await write(live, ana, "frozen")
        assert school.grader.read == []
        assert "not judged" in html(build_teacher_state(live))
        school.grader.is_on = True
        again = await school.new_hub(context).find(live.room.code)
        await graded(again, 1)
        assert school.grader.read == ["frozen"]

    played(play)


def test_a_grader_without_its_model_says_so_and_the_teacher_judges(context: Context) -> None:
    school = School(context)
    school.grader.broken = True

    async def play() -> None:
        live = await school.start(WALL_PLAN)
        await school.lead(live, "next")
        async with phone(school, live, "a") as ana:
            said = await write(live, ana, "The base is frozen.")
            while not live.grading_trouble:
                await asyncio.sleep(0.02)
            assert "Judge them yourself." in html(build_teacher_state(live))
            tried = school.grader.tried
            for _ in range(5):  # every request of the class looks for answers to grade
                await ana.state()
                await asyncio.sleep(0.02)
            assert school.grader.tried == tried
            await school.lead(live, "next")
            await school.lead(live, "show-quote")  # what nobody has judged is shown as well
            unjudged = "<h2>Not judged yet</h2><blockquote>The base is frozen.</blockquote>"
            assert unjudged in html(screen_state(live, link="x"))
            await school.lead(live, "overrule", answer=said, concept="frozen", verdict="covered")
            assert "<strong>1</strong> covered" in html(screen_state(live, link="x"))
            assert "Not judged yet" not in html(screen_state(live, link="x"))

    played(play)


def test_verdicts_that_cannot_be_saved_are_not_worked_out_again_at_once(
    context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    school = School(context)

    def refuse(*_: object) -> None:
        raise OSError(28, "No space left on device")

    async def play() -> None:
        live = await school.start(WALL_PLAN)
        await school.lead(live, "next")
        async with phone(school, live, "a") as ana:
            monkeypatch.setattr(ClassTransaction, "grade", refuse)
            await write(live, ana, "frozen")
            while not live.grading_trouble:
                await asyncio.sleep(0.02)
            for _ in range(5):
                await ana.state()
                await asyncio.sleep(0.02)
            assert school.grader.tried == 1

    played(play)


def test_a_text_is_escaped_limited_and_needs_words(context: Context) -> None:
    school = School(context)

    async def play() -> None:
        live = await school.start(WALL_PLAN)
        await school.lead(live, "go", position=1, phase="vote")
        async with phone(school, live, "a") as ana:
            assert (await ana.answer(1, 1, text=" \n ")).status_code == 400
            assert "600 fit" in (await ana.answer(1, 1, text="x" * 601)).json()["error"]
            await write(live, ana, "<b>bold</b>", position=1)
            await school.lead(live, "next")
            await school.lead(live, "show-quote")
            assert "&lt;b&gt;bold" in html(screen_state(live, link="x"))
            student = next(iter(live.students.values()))
            assert "&lt;b&gt;bold" in html(build_student_state(live, student))
            assert school.grader.read == []  # a short text has no concepts

    played(play)


def test_half_an_emoji_and_a_zero_byte_harm_nobody(context: Context) -> None:
    school = School(context)

    async def play() -> None:
        live = await school.start(WALL_PLAN)
        await school.lead(live, "next")

        async def send(one: Phone, **given: str) -> httpx.Response:
            written = json.dumps({"position": 0, "round": 1, **given})  # as a browser writes half a pair
            return await one.client.post(f"/class/{live.room.code}/answer", content=written)

        async with phone(school, live, "a") as ana, phone(school, live, "b") as ben, school.teacher() as here:
            cut, refused = await asyncio.gather(
                send(ana, id="id-of-ana", text="some text \ud83d here"),
                send(ben, id="id-of-ben-\ud83d", text="Text."),
            )
            assert (cut.json().get("outcome"), refused.status_code) == ("stored", 400)
            with_zero = await send(ben, id="id-of-ben", text="more\0 text \0here")  # none fits in PostgreSQL
            assert with_zero.json().get("outcome") == "stored"
            assert "more text here" in (await ben.state())["html"]
            assert "some text ? here" in (await ana.state())["html"]
            for name in ("class.xlsx", "class.json", "students.csv"):
                assert (await here.get(f"/class/{live.room.code}/export/{name}")).status_code == 200

    played(play)


def test_the_wall_quotes_whole_sentences_and_nothing_of_two_words(context: Context) -> None:
    school = School(context)

    async def play() -> None:
        live = await school.start(WALL_PLAN)
        await school.lead(live, "next")
        async with phone(school, live, "a") as ana, phone(school, live, "b") as ben:
            await write(live, ana, "Memory is saved. I think all of it is frozen then! Right?")
            await write(live, ben, "frozen pair")
            await graded(live, 2)
            await school.lead(live, "next")
            await school.lead(live, "show-quote")
            shown = html(screen_state(live, link="x"))
            assert "<blockquote>I think all of it is frozen then!</blockquote>" in shown
            assert "<blockquote>frozen pair</blockquote>" not in shown
            assert "<strong>2</strong> covered" in shown  # counted, not quoted
            assert "frozen pair" in html(build_teacher_state(live))

    played(play)
