"""What is put next comes after the current activity, and can be taken out until somebody answers it."""

import re
from typing import Any, cast

from classroom.activities.room import LOBBY
from classroom.live.live_room import LiveRoom
from classroom.live.process_sync import ProcessSync
from classroom.reports.answer_tables import answer_table, grade_table
from classroom.reports.report import build_report
from classroom.views.screens import build_teacher_state
from study.ports.context import Context
from tests.classroom.builders import PLAN
from tests.classroom.rooms import School, phone, played, record_of

POLL = {"kind": "poll", "ask": "Well then?", "options": "Yes\nNo"}
FIRST, SECOND, THIRD = len(PLAN), len(PLAN) + 1, len(PLAN) + 2


async def ask(school: School, live: LiveRoom, when: str, **more: str) -> Any:
    async with school.teacher() as teacher:
        return await teacher.post(f"/class/{live.room.code}/ask", json=POLL | {"when": when} | more)


def at(live: LiveRoom) -> tuple[int, str | None]:
    return live.state.position, live.state.phase


def test_what_is_put_next_leaves_the_class_where_it_is(context: Context) -> None:
    school = School(context)

    async def play() -> None:
        live = await school.start()
        assert (await ask(school, live, "next")).status_code == 200
        assert at(live) == (LOBBY, None)
        await school.lead(live, "next")
        assert at(live) == (FIRST, "vote")
        await school.lead(live, "next")
        await school.lead(live, "next")
        assert at(live) == (0, "vote")
        await school.lead(live, "back")
        assert at(live) == (FIRST, "reveal")
        await school.lead(live, "go", position=1, phase="vote")
        await ask(school, live, "next")
        await ask(school, live, "now")
        assert at(live) == (THIRD, "vote")
        await school.lead(live, "next")
        await school.lead(live, "next")
        assert at(live) == (SECOND, "vote")  # what was put next comes after what was asked at once
        await school.lead(live, "next")
        await school.lead(live, "next")
        assert at(live) == (2, "vote")
        for _ in range(2):
            await school.lead(live, "back")
        assert at(live) == (SECOND, "vote")
        again = await school.new_hub(context).find(live.room.code)
        assert again.plan == live.plan
        assert again.state == live.state

    played(play)


def test_it_can_be_taken_out_while_nobody_has_answered(context: Context) -> None:
    school = School(context)

    async def play() -> None:
        live = await school.start()
        await school.lead(live, "go", position=0, phase="advice")
        await ask(school, live, "next")
        assert "Take it out" in build_teacher_state(live)["html"]
        assert (await school.lead(live, "withdraw", position=FIRST)).status_code == 200
        assert "Well then?" not in build_teacher_state(live)["html"]
        await ask(school, live, "now")
        assert (await school.lead(live, "withdraw", position=SECOND)).status_code == 200
        assert at(live) == (0, "advice")  # where the class was before
        for position in (FIRST, SECOND):
            assert (await school.lead(live, "go", position=position, phase="vote")).status_code == 400
        await school.lead(live, "go", position=0, phase="twin-reveal")
        await school.lead(live, "next")
        assert at(live) == (1, "vote")
        await ask(school, live, "now")
        async with phone(school, live, "ana") as ana:
            await ana.answer(THIRD, 1, option="1")
        refused = await school.lead(live, "withdraw", position=THIRD)
        assert (refused.status_code, "stays" in refused.text) == (400, True)
        assert "Take it out" not in build_teacher_state(live)["html"]
        for wrong in (0, -1, 99, "x", None):
            assert (await school.lead(live, "withdraw", position=wrong)).status_code == 400
        async with school.teacher() as teacher:
            page = (await teacher.get(f"/class/{live.room.code}/report")).text
        assert page.count("Well then?") == page.count("asked on the spot") == 1
        again = await school.new_hub(context).find(live.room.code)
        assert again.state == live.state

    played(play)


def test_what_was_answered_at_another_process_a_moment_ago_stays_in_the_plan(context: Context) -> None:
    school = School(context)

    async def play() -> None:
        live = await school.start()
        await ask(school, live, "now")
        elsewhere = school.new_hub(context)
        there = await elsewhere.find(live.room.code)
        student = await elsewhere.join(there, "ana")
        given = {"id": "answer-of-ana", "position": FIRST, "round": 1, "option": "1"}
        await elsewhere.answer(there, student, given)
        rooms, nothing = {live.room.code: live}, cast(Any, None)
        school.hub.sync = ProcessSync(
            log=context.store.classes, notices=nothing, rooms=rooms, deleted=lambda _: None
        )
        await school.lead(live, "go", position=0, phase="vote")
        assert not live.has_answers(FIRST)  # not read yet
        refused = await school.lead(live, "withdraw", position=FIRST)
        assert (refused.status_code, "has been answered" in refused.text) == (400, True)
        assert FIRST not in live.state.withdrawn

    played(play)


def test_the_report_counts_activities_as_the_plan_does(context: Context) -> None:
    """On every page and in every table; the stored order has what was asked on the spot at its end."""
    school = School(context)

    async def play() -> None:
        live = await school.start()
        code = live.room.code
        async with phone(school, live, "ana") as ana, school.teacher() as teacher:
            await school.lead(live, "go", position=0, phase="vote")
            await ana.answer(0, 1, option="right", confidence="sure")
            await ask(school, live, "now")
            await ana.answer(FIRST, 1, option="1")
            plan = build_teacher_state(live)["html"].partition('<ol class="plan">')[2].partition("</ol>")[0]
            titles = re.findall(r"<li><strong>(.+?)</strong>", plan)
            assert titles[1] == "Well then?"
            page = (await teacher.get(f"/class/{code}/report")).text
            for number, title in enumerate(titles, start=1):
                kept = next(each for each in live.plan if each.title == title)
                assert (f'scope="row">{number}. {title}' in page) == (kept.kind != "talk")
            assert page.count("not opened in this class") == sum(each.kind != "talk" for each in PLAN) - 1
            stored = (await teacher.get(f"/class/{code}/export/class.json")).json()
            asked = stored["items"][1]
            assert (asked["position"], asked["activity"]) == (2, FIRST + 1)
            assert stored["activities"][FIRST]["title"] == asked["title"]
        found = build_report(record_of(context, code))
        assert [row[2] for row in answer_table(found)[1:]] == [1, 2]
        assert grade_table(found)[0] == ("name", f"1. {titles[0]}", "Class total")

    played(play)


def test_next_stands_in_its_place_at_the_end_of_the_plan(context: Context) -> None:
    """A button that is pressed twice must not become Back."""
    school = School(context)

    async def play() -> None:
        live = await school.start()
        await school.lead(live, "go", position=len(PLAN) - 1, phase="show")
        html = build_teacher_state(live)["html"]
        assert html.index('data-do="back"') < html.index("disabled>This is the end of the plan</button>")
        assert 'class="primary" data-do="end"' in html
        await school.lead(live, "go", position=0, phase="vote")
        assert 'class="quiet" data-do="end"' in build_teacher_state(live)["html"]

    played(play)


def test_the_teachers_page_says_that_the_projector_is_blank(context: Context) -> None:
    school = School(context)

    async def play() -> None:
        live = await school.start()
        await school.lead(live, "blank")
        assert "The projector is blank." in build_teacher_state(live)["html"]
        await school.lead(live, "unblank")
        assert "The projector is blank." not in build_teacher_state(live)["html"]
        await school.lead(live, "blank")
        async with school.teacher() as teacher:  # a screen that is opened anew shows the class
            await teacher.get(f"/class/{live.room.code}/screen")
        assert "The projector is blank." not in build_teacher_state(live)["html"]

    played(play)


def test_the_teacher_sees_the_reasons_of_all_options_with_the_answer(context: Context) -> None:
    school = School(context)

    async def play() -> None:
        live = await school.start()
        await school.lead(live, "go", position=0, phase="vote")
        assert "That is a slip." not in build_teacher_state(live)["html"]
        await school.lead(live, "go", position=0, phase="reveal")
        html = build_teacher_state(live)["html"]
        for text in ("a slip:", "That is a slip.", "another slip:", "No.", "Yes.", "Keep this."):
            assert text in html

    played(play)
