"""Teams and the leaderboard: off by default, points only for what the class has seen, no last place."""

import pytest

from classroom.live.live_room import LiveRoom
from classroom.plans.plan import Plan
from classroom.reports.points import assign_team, lead, score_teams
from classroom.views.screens import screen_state
from study.base.errors import LearnerError
from study.ports.context import Context
from tests.classroom.builders import NUMBER, QUESTION
from tests.classroom.rooms import School, phone, played

PLAN = Plan(id="p", title="A class", about="", minutes=9, activities=(QUESTION, NUMBER))


def shown(live: LiveRoom) -> str:
    return str(screen_state(live, link="x")["html"])


def test_a_class_has_neither_unless_the_teacher_chooses_them(context: Context) -> None:
    school = School(context)

    async def play() -> None:
        live = await school.start(PLAN)
        async with phone(school, live, "a") as ana:
            await school.lead(live, "next")
            await ana.answer(0, 1, option="right")
            await school.lead(live, "go", position=0, phase="reveal")
            assert "standings" not in shown(live)
            assert (await ana.state())["team"] == 0
        with pytest.raises(LearnerError, match="7 teams"):
            await school.start(PLAN, teams=7)

    played(play)


def test_points_come_with_the_answer_and_the_last_vote_counts(context: Context) -> None:
    school = School(context)

    async def play() -> None:
        async with school.teacher() as teacher:
            form = {"plan": "short", "days": "1", "teams": "2", "leaderboard": "yes"}
            assert (await teacher.post("/class/open", data=form)).status_code == 303
        live = await school.start(PLAN, teams=2, leaderboard=True)
        async with phone(school, live, "a") as ana, phone(school, live, "b") as ben:
            assert [(await each.state())["team"] for each in (ana, ben)] == [1, 2]
            names = [student.name for student in live.students.values()]
            await school.lead(live, "next")
            await ana.answer(0, 1, option="slip")
            await ben.answer(0, 1, option="right")
            await school.lead(live, "go", position=0, phase="revote")
            await ana.answer(0, 2, option="right")
            await ben.answer(0, 2, option="slip")
            assert "standings" not in shown(live)  # not while they vote
            await school.lead(live, "go", position=0, phase="reveal")
            text = shown(live)
            assert names[0] in text
            assert names[1] not in text  # nobody without a point
            assert 'Team 1</th><td class="figures">1.0' in text
            assert 'Team 2</th><td class="figures">0.0' in text
            await school.lead(live, "go", position=1, phase="vote")
            await ben.answer(1, 1, number="39")
            assert "standings" not in shown(live)
            await school.lead(live, "next")
            assert 'Team 2</th><td class="figures">1.0' in shown(live)
            await school.lead(live, "hide-names")
            assert names[0] not in shown(live)

    played(play)


def test_teams_fill_in_turn_and_the_size_of_a_team_gains_nothing() -> None:
    assert [assign_team(number, 3) for number in (1, 2, 3, 4)] == [1, 2, 3, 1]
    assert assign_team(5, 0) == 0
    scores = score_teams({"a": 2, "b": 0, "c": 1}, {"a": 1, "b": 1, "c": 2}, 2)
    assert [each.points for each in scores] == [1.0, 1.0]
    assert lead({f"s{number}": number for number in range(9)}) == [
        ("s8", 8), ("s7", 7), ("s6", 6), ("s5", 5), ("s4", 4),
    ]  # fmt: skip


def test_the_leaderboard_names_no_few_of_many_with_the_same_points() -> None:
    equals = {f"s{number}": 1 for number in range(6)}
    assert lead(equals) == []
    assert lead({"s7": 3, "s8": 2, **equals}) == [("s7", 3), ("s8", 2)]
    assert lead({f"s{number}": 1 for number in range(5)}) == [(f"s{number}", 1) for number in range(5)]
