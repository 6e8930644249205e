"""A class goes on after a restart of the app at every step of every kind of activity."""

import asyncio
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any

from classroom.activities.activity import KINDS
from classroom.live.live_room import LiveRoom
from classroom.simulation.student import answer_to
from quizzes.session.class_answers import QuizClassKinds
from study.ports.classes import ClassGridState, Place
from study.ports.context import Context
from tests.classroom.activities.test_comparison import COMPARE, COMPARED, RankGrids
from tests.classroom.builders import (
    FIGURE,
    GRID,
    NUMBER,
    POLL,
    PREDICT,
    QUESTION,
    TALK,
    TEXT,
    WALL,
    Grids,
    plan_of,
)
from tests.classroom.live.test_quiz import QUIZ
from tests.classroom.rooms import Phone, School, phone, played
from tests.waiting import until

PLAN = plan_of(QUESTION, QUIZ, POLL, NUMBER, PREDICT, COMPARE, GRID, TEXT, WALL, FIGURE, TALK)


class BothGrids(Grids):
    """A lab that trains crowds' grids and comparisons of ranks, none of which ends."""

    def start(self, setting: Mapping[str, Any], axes: Mapping[str, Any], first: Sequence[Place]) -> str:
        started = super().start(setting, axes, first)
        return f"ranks-{started}" if axes == COMPARED.axes else started

    def state(self, grid_id: str) -> ClassGridState:
        return RankGrids().state(grid_id) if grid_id.startswith("ranks") else super().state(grid_id)


async def answer_all(live: LiveRoom, one: Phone, rng: Random) -> None:
    """Answer what is open, and wait until own words are graded."""
    activity, position = live.plan[live.state.position], live.state.position
    if not live.state.round:
        return
    for number in activity.rounds if activity.questions else (live.state.round,):
        given = answer_to(activity, number, rng, QuizClassKinds())
        assert (await one.answer(position, number, **given)).json() == {"outcome": "stored"}
    if activity.kind == "wall":
        await until(lambda: all(each.graded for each in live.answers(1).values()))


def test_a_class_goes_on_after_a_restart_at_every_step_of_every_kind(context: Context) -> None:
    assert {activity.kind for activity in PLAN.activities} == set(KINDS)
    school = School(context, grids=BothGrids())

    async def play() -> None:
        live = await school.start(PLAN)
        steps = sum(len(activity.phases) for activity in PLAN.activities)
        rng = Random(5)
        async with phone(school, live, "ana") as ana:
            for number in range(steps):
                assert (await school.lead(live, "next")).status_code == 200, number
                await answer_all(live, ana, rng)
                again = School(context, runs=school.runs, grids=school.grids, grader=school.grader)
                same = await again.hub.find(live.room.code)
                assert same.state == live.state, number
                async with again.client(browser="ana") as client:
                    while True:  # how far a training is comes a moment later
                        after = (await client.get(f"/class/{live.room.code}/state")).json()
                        before = await ana.state()
                        if {**after, "now": 0} == {**before, "now": 0}:
                            break
                        assert live.state.phase == "run", number
                        await asyncio.sleep(0.1)
            assert (await school.lead(live, "next")).status_code == 400  # the end of the plan

    played(play)
