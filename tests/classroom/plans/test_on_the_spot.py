"""What a teacher types during a class: it is asked at once, and the plan goes on after it."""

from typing import Any

import pytest

from classroom.activities.room import LOBBY
from classroom.plans.on_the_spot import read_activity, to_entry
from classroom.views.screens import build_teacher_state, screen_state
from study.base.errors import LearnerError
from study.ports.context import Context
from tests.classroom.builders import PLAN
from tests.classroom.rooms import School, phone, played

QUESTION = {"kind": "question", "ask": "What is $r$?", "options": "* The rank\nThe rate\n\nThe radius"}


def test_a_question_poll_number_and_text_are_read_from_a_form() -> None:
    made = read_activity(QUESTION)
    assert made.asked is not None
    assert [(option.text, option.correct) for option in made.asked.options] == [
        ("The rank", True), ("The rate", False), ("The radius", False),
    ]  # fmt: skip
    assert "<math" in made.asked.html
    poll = read_activity({"kind": "poll", "ask": "Well?", "options": "Yes\nNo"}).asked
    assert poll is not None
    assert poll.right == ""
    number = read_activity({"kind": "number", "ask": "How many?", "value": "1,5", "unit": "MB"}).guessed
    assert number is not None
    assert (number.value, number.unit) == (1.5, "MB")
    assert read_activity({"kind": "text", "ask": "<i>Why?</i>"}).html_asked == "&lt;i&gt;Why?&lt;/i&gt;"


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"kind": "run"}, "no such kind"),
        ({"ask": " "}, "1 to 600"),
        ({"options": "* One"}, "2 to 6 options"),
        ({"options": "One\nTwo"}, "0 options are marked"),
        ({"options": "* One\n* Two"}, "2 options are marked"),
        ({"options": "* One\n" + "x" * 201}, "200 characters"),
        ({"ask": "What is $x^{$?"}, "formula"),
        ({"kind": "number", "value": "many"}, "not a number"),
        ({"minutes": "0"}, "number of minutes from 1 to 180"),
        ({"minutes": "soon"}, "number of minutes"),
    ],
)
def test_what_is_missing_is_told(changed: dict[str, str], said: str) -> None:
    with pytest.raises(LearnerError, match=said):
        read_activity(QUESTION | changed)


def test_the_class_goes_to_it_at_once_and_next_leads_on_in_the_plan(context: Context) -> None:
    school = School(context)

    async def ask(code: str, form: dict[str, Any]) -> Any:
        async with school.teacher() as teacher:
            return await teacher.post(f"/class/{code}/ask", json=form)

    async def play() -> None:
        live = await school.start()
        code = live.room.code
        assert (await ask(code, QUESTION)).status_code == 200  # in the lobby
        assert (live.state.position, live.state.phase) == (len(PLAN), "vote")
        async with phone(school, live, "a") as ana, school.client(browser="a") as student:
            assert "The rate" in (await ana.state())["html"]
            refused = await student.post(f"/class/{code}/ask", json=QUESTION)
            assert refused.status_code == 403
            await ana.answer(len(PLAN), 1, option="1")
            await school.lead(live, "go", position=len(PLAN), phase="reveal")
            assert "your answer" in (await ana.state())["html"]
        await school.lead(live, "next")
        assert live.state.position == 0
        await school.lead(live, "go", position=1, phase="reveal")
        assert "is not a number" in (await ask(code, {"kind": "number", "ask": "?", "value": "x"})).text
        await ask(code, {"kind": "text", "ask": "Why?"})
        await ask(code, {"kind": "poll", "ask": "Well?", "options": "Yes\nNo"})  # during the text
        assert "Well?" in screen_state(live, link="x")["html"]
        again = await school.new_hub(context).find(code)
        assert again.plan == live.plan
        assert again.state == live.state
        await school.lead(live, "back")  # from the poll to the text that it came in
        assert (live.state.position, live.state.phase) == (len(PLAN) + 1, "vote")
        await school.lead(live, "back")
        assert (live.state.position, live.state.phase) == (1, "reveal")
        await school.lead(live, "go", position=len(PLAN) + 2, phase="reveal")
        await school.lead(live, "next")
        assert live.state.position == 2
        await school.lead(live, "go", position=len(PLAN) - 1, phase="show")
        assert 'data-do="next"' not in build_teacher_state(live)["html"]  # what was typed comes after no plan
        await school.lead(live, "end")
        assert (await ask(code, QUESTION)).status_code == 400
        assert live.state.position != LOBBY

    played(play)


def test_an_activity_that_is_read_after_it_was_taken_in_stands_once_in_the_plan(context: Context) -> None:
    school = School(context)

    async def play() -> None:
        live = await school.start()
        known = {"events": len(live.events), "activities": len(live.plan)}
        await school.hub.ask_now(live, read_activity(QUESTION))
        found = context.store.classes.read_changes(live.room.id, revision=-1, **known)
        assert found is not None
        assert len(found.activities) == 1  # read from the numbers of before
        live.take_in(found)
        assert len(live.plan) == len(PLAN) + 1

    played(play)


def test_a_typed_question_has_a_timer_where_minutes_are_typed() -> None:
    assert read_activity(QUESTION | {"minutes": " 3 "}).minutes == 3
    assert read_activity(QUESTION | {"minutes": ""}).minutes == 0
    assert to_entry(QUESTION | {"minutes": "3"})["minutes"] == 3
    assert "minutes" not in to_entry(QUESTION)


def test_a_question_of_the_app_is_searched_and_asked_at_once_with_its_twin(context: Context) -> None:
    school = School(context)

    async def play() -> None:
        live = await school.start()
        path = f"/class/{live.room.code}/ask"
        asked = {"question": "q-new", "twin": "q-new-twin", "title": "New", "minutes": "4", "when": "now"}
        async with school.teacher() as teacher, school.client(browser="a") as student:
            found = (await teacher.get("/class/plans/questions", params={"words": "new", "asks": "yes"})).text
            assert "Ask now" in found
            assert "data-add" not in found
            assert (await teacher.post(path, json=asked)).status_code == 200
            assert (live.state.position, live.state.phase) == (len(PLAN), "vote")
            made = live.plan[-1]
            assert made.asked is not None
            assert made.twin is not None
            assert (made.title, made.minutes, made.asked.id, made.twin.id) == (
                "New",
                4,
                "q-new",
                "q-new-twin",
            )
            assert (await teacher.post(path, json=asked | {"when": "next", "twin": ""})).status_code == 200
            assert live.plan[-1].twin is None
            assert live.state.position == len(PLAN)
            for wrong, said in (({"question": "unknown"}, "unknown"), ({"minutes": "x"}, "minutes")):
                refused = await teacher.post(path, json=asked | wrong)
                assert refused.status_code == 400
                assert said in refused.json()["error"]
            assert (await student.post(path, json=asked)).status_code == 403
            assert (await student.get("/class/plans/twins")).status_code == 403

    played(play)
