"""A self-paced quiz: each student at a question of their own, every answer once, and counted by question."""

import json
from pathlib import Path
from random import Random
from typing import Any

from classroom.activities.activity import Activity, parse_activity_spec
from classroom.plans.plan import Plan, Plans
from classroom.reports.answer_tables import grade_table
from classroom.reports.points import count_points
from classroom.reports.report import build_report
from classroom.simulation.student import answer_to
from study.content.yaml_reader import Problem
from study.ports.context import Context
from tests.classroom.builders import FIGURES, QUESTION, TALK, Grader, Grids, Runs, find_question, plan_of
from tests.classroom.rooms import School, phone, played, record_of
from tests.classroom.views.test_kinds import GRADED, answers_to, of_kind

QUESTIONS = tuple(of_kind(kind) for kind in ("single", "numeric", "ordering"))
PLANS = Plans(
    find_question=find_question,
    runs=Runs(),
    grids=Grids(),
    grader=Grader(),
    figures=FIGURES,
    own_folder=Path("none"),
)
QUIZ = Activity(kind="quiz", title="A quiz", minutes=5, questions=QUESTIONS)
PLAN = plan_of(QUIZ, QUESTION, TALK)


def test_everyone_answers_in_their_own_order_until_the_quiz_closes(school: School, context: Context) -> None:
    async def play() -> None:
        live = await school.start(PLAN)
        async with phone(school, live, "one") as one, phone(school, live, "two") as two:
            await school.lead(live, "next")
            for number, right in ((3, True), (1, False), (2, True)):  # in any order
                sent = await one.answer(
                    0, number, confidence="sure", **answers_to(QUESTIONS[number - 1], right=right)
                )
                assert sent.json() == {"outcome": "stored"}
            assert (await two.answer(0, 1, **answers_to(QUESTIONS[0], right=True))).status_code == 200
            assert (await one.state())["answered"] is True
            assert "You have answered all 3 questions" in (await one.state())["html"]
            state = await two.state()
            assert (state["answered"], "1 of 3 answered" in state["html"]) == (False, True)
            assert "✓" not in state["html"]
            async with school.teacher() as teacher:
                teach = (await teacher.get(f"/class/{live.room.code}/teach/state")).json()
                screen = (await teacher.get(f"/class/{live.room.code}/screen/state")).json()
            assert (teach["answered"], screen["answered"]) == (1, 1)  # who has done all of it
            assert '1 <span class="soft">(50 %)' in teach["html"]
            assert "(50 %)" not in screen["html"]
            assert "1 has answered all 3 questions." in screen["html"]
            for number in (0, 4, True):
                assert (await two.answer(0, number, option="A")).status_code == 400

            await school.lead(live, "next")
            late = await two.answer(0, 2, **answers_to(QUESTIONS[1], right=True))
            assert late.status_code == 409
            mine = (await one.state())["html"]
            assert "✓ Right: your answer" in mine
            assert "✗ Your answer, not right" in mine
            assert str(QUESTIONS[1].answer) in mine
            cards = (await one.client.get(f"/class/{live.room.code}/cards")).text
            assert cards.count('<section class="told">') == 1
            cards = (await two.client.get(f"/class/{live.room.code}/cards")).text
            assert cards.count("You did not answer this one.") == 2
        again = await school.new_hub(context).find(live.room.code)
        assert again.plan == live.plan

    played(play)


def test_an_answer_is_corrected_while_the_quiz_is_open(school: School, context: Context) -> None:
    async def play() -> None:
        live = await school.start(PLAN)
        async with phone(school, live, "one") as one:
            await school.lead(live, "next")
            await one.answer(0, 1, id="a" * 32, **answers_to(QUESTIONS[0], right=False))
            again = await one.answer(0, 1, **answers_to(QUESTIONS[0], right=True))
            assert again.json() == {"outcome": "answered"}
            changed = await one.answer(0, 1, replaces="a" * 32, **answers_to(QUESTIONS[0], right=True))
            assert changed.json() == {"outcome": "stored"}
        record = record_of(context, live.room.code)
        assert build_report(record).items[0].first_right == 1.0

    played(play)


def test_the_report_counts_each_question(school: School, context: Context) -> None:
    async def play() -> None:
        live = await school.start(PLAN)
        await school.lead(live, "next")
        for student, rights in enumerate(((True, True, False), (False, True), ())):
            async with phone(school, live, f"browser-{student}") as each:
                for number, right in enumerate(rights, start=1):
                    given = answers_to(QUESTIONS[number - 1], right=right)
                    assert (await each.answer(0, number, confidence="sure", **given)).status_code == 200
        record = record_of(context, live.room.code)
        found = build_report(record)
        rows = [
            (row.position, row.title, row.first_votes, row.first_right, row.confident_wrong)
            for row in found.items
        ]
        assert rows[:3] == [
            (1, "A quiz: question 1 of 3", 2, 0.5, 1),
            (1, "A quiz: question 2 of 3", 2, 1.0, 0),
            (1, "A quiz: question 3 of 3", 1, 0.0, 1),
        ]
        assert rows[3][:2] == (2, "A question")
        assert [(row.first_votes, row.first_right) for row in found.students] == [(3, 2), (2, 1), (0, 0)]
        header, *grades = grade_table(found)
        assert list(header[1:4]) == ["1.1. A quiz", "1.2. A quiz", "1.3. A quiz"]
        assert [row[1] for row in grades] == [100, 0, None]

    played(play)


def test_a_point_for_each_right_answer_once_the_quiz_is_closed(school: School) -> None:
    async def play() -> Any:
        live = await school.start(PLAN)
        async with phone(school, live, "one") as one:
            await school.lead(live, "next")
            for number, question in enumerate(QUESTIONS, start=1):
                await one.answer(0, number, **answers_to(question, right=number != 2))
            given = [answer for student in live.students for answer in live.list_answers_by(student)]
            before = count_points(live.plan, live.events, live.state, given)
            await school.lead(live, "next")
            return before, count_points(live.plan, live.events, live.state, given)

    before, after = played(play)
    assert (list(before.values()), list(after.values())) == ([0], [2])


def test_simulated_students_answer_each_question() -> None:
    quiz = parse_activity_spec(json.loads(json.dumps(QUIZ.to_json())))
    for number in quiz.rounds:
        given = answer_to(quiz, number, Random(3), GRADED)
        assert quiz.is_correct(number, quiz.read_answer(number, given, GRADED.read)) in (True, False)


def read(questions: str) -> tuple[Plan | None, str]:
    written = (
        f"title: T\nabout: A\nminutes: 9\nactivities:\n- {{kind: quiz, title: Q, questions: {questions}}}\n"
    )
    problems: list[Problem] = []
    plan = PLANS.read_own("t.yaml", written.encode(), problems)
    return plan, " ".join(problem.text for problem in problems)


def test_a_plan_names_the_questions_of_a_quiz() -> None:
    plan, _ = read("[q-one, q-two]")
    assert plan is not None
    assert [question.id for question in plan.activities[0].questions] == ["q-one", "q-two"]
    assert "2 questions" in plan.activities[0].html_asked
    assert "needs 2 to 12 questions, got 1" in read("[q-one]")[1]
    assert "asks each question once" in read("[q-one, q-one]")[1]
    assert "'unknown-1' isn't a question of the app" in read("[q-one, unknown-1]")[1]
