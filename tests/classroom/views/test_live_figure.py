"""A live figure on every screen: it follows the teacher, and a slider's question collects positions."""

from dataclasses import replace

from classroom.activities.activity import ShownFigure
from classroom.live.live_room import LiveRoom
from classroom.plans.plan import Plan
from classroom.views.screens import build_teacher_state, screen_state
from study.ports.context import Context
from tests.classroom.builders import FIGURE, TALK
from tests.classroom.rooms import School, phone, played

PLAN = Plan(id="figure", title="A figure", about="", minutes=5, activities=(FIGURE, TALK))


def test_every_screen_follows_the_teachers_figure(context: Context) -> None:
    school = School(context)

    async def play() -> None:
        live: LiveRoom = await school.start(PLAN)
        async with phone(school, live, "a") as ana:
            assert (await ana.state())["figure"] is None
            await school.lead(live, "next")
            assert (await ana.state())["figure"] == {"rank": "4"}
            assert "At rank 4." in screen_state(live, link="x")["html"]
            assert (await school.lead(live, "figure", settings={"rank": "32"})).status_code == 200
            assert (await ana.state())["figure"] == {"rank": "32"}
            assert "At rank 32." in (await ana.state())["html"]
            assert "At rank 32." in screen_state(live, link="x")["html"]
            assert "At rank 32." in build_teacher_state(live)["figure"]["html"]
            refused = await school.lead(live, "figure", settings={"rank": "65"})
            assert (refused.status_code, "65" in refused.text) == (400, True)
            path = f"/class/{live.room.code}/figure"
            free = await ana.client.get(path, params={"rank": "7"})
            assert "At rank 7." in free.text
            assert (await ana.client.get(path, params={"rank": "700"})).status_code == 422
            again = await school.new_hub(context).find(live.room.code)
            assert dict(again.figure_settings) == {"rank": "32"}
            await school.lead(live, "go", position=1, phase="show")
            assert (await ana.client.get(path)).status_code == 404
            assert (await school.lead(live, "figure", settings={"rank": "8"})).status_code == 400

    played(play)


def test_who_asks_too_often_is_told_so_in_words_and_the_teacher_may(context: Context) -> None:
    school = School(context)

    async def play() -> None:
        live = await school.start(PLAN)
        await school.lead(live, "next")
        path = f"/class/{live.room.code}/figure"
        async with school.client(browser="ana") as ana, school.teacher() as teacher:
            asked = [await ana.get(path) for _ in range(100)]
            refused = next(each for each in asked if each.status_code == 429)
            assert refused.text.startswith("Too many requests")
            assert int(refused.headers["retry-after"]) > 0
            assert {(await teacher.get(path)).status_code for _ in range(100)} == {200}
            assert (await ana.get("/class/000000/figure")).text.startswith("There is no class")

    played(play)


def test_a_step_that_the_plan_has_not_is_refused_in_words(context: Context) -> None:
    school = School(context)

    async def play() -> None:
        live = await school.start(PLAN)
        for order in ({}, {"position": "x", "phase": "show"}, {"position": 99, "phase": "show"}):
            refused = await school.lead(live, "go", **order)
            assert (refused.status_code, "no such step" in refused.text) == (400, True)

    played(play)


def test_a_sliders_question_is_about_the_settings_of_the_plan(context: Context) -> None:
    school = School(context)
    live_plan = replace(
        PLAN, activities=(replace(FIGURE, figure=ShownFigure(id="of-matrix", slider="rank")),)
    )

    async def play() -> None:
        live = await school.start(live_plan)
        await school.lead(live, "go", position=0, phase="show")
        await school.lead(live, "figure", settings={"rank": "32", "matrix": "down"})
        async with phone(school, live, "a") as ana:
            assert "At rank 32 of down." in (await ana.state())["html"]
            await school.lead(live, "go", position=0, phase="vote")
            shown = (await ana.state())["html"]
            assert "At rank 8 of query." in shown  # where the teacher has left the slider is no hint
            assert "Matrix: query" in shown
            projected = screen_state(live, link="x")["html"]
            assert "At rank 32 of query." in projected
            assert "Matrix: query" in projected

    played(play)


def test_a_sliders_question_collects_positions(context: Context) -> None:
    school = School(context)

    async def play() -> None:
        live = await school.start(PLAN)
        await school.lead(live, "go", position=0, phase="vote")
        async with phone(school, live, "a") as ana, phone(school, live, "b") as ben:
            assert 'data-slider="rank"' in (await ana.state())["html"]
            await ana.answer(0, 1, number="16")
            await ben.answer(0, 1, number="40")
            await school.lead(live, "next")
            shown = screen_state(live, link="x")["html"]
            assert "2 guesses" in shown
            assert "1 within 10 %" in shown
            assert "Computed." in shown
            assert "off by 24." in (await ben.state())["html"]

    played(play)
