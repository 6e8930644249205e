"""Questions of every kind in a class: the phone's form, grading, distribution, report and cards."""

import json
import re
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from random import Random
from typing import Any

import pytest

import lora_lab.quantities  # noqa: F401 - registers what a chart is drawn of
from classroom.activities.activity import Activity, parse_activity_spec
from classroom.reports.answer_tables import answer_table, grade_table
from classroom.reports.report import build_report
from classroom.simulation.student import answer_to
from classroom.views.results import OPEN_KINDS
from classroom.views.screens import build_teacher_state, screen_state
from quizzes.bank.bank import Bank, load_bank
from quizzes.kinds import KINDS, QuestionKind
from quizzes.kinds.question import Question
from quizzes.session.class_answers import QuizClassKinds
from quizzes.session.class_questions import build_class_question
from study.content.concepts import load_concepts
from study.ports.classes import ClassQuestion
from study.ports.context import Context
from tests.classroom.builders import plan_of
from tests.classroom.rooms import School, phone, played, record_of

GRADED = QuizClassKinds()


@cache
def bank() -> Bank:
    return load_bank(load_concepts())


def of_kind(kind: QuestionKind) -> ClassQuestion:
    return build_class_question(next(q for q in bank().questions if q.kind == kind))


def activity_of(asked: ClassQuestion, twin: ClassQuestion | None = None) -> Activity:
    """As it is stored with a class."""
    made = Activity(kind="question", title="A question", asked=asked, twin=twin)
    return parse_activity_spec(json.loads(json.dumps(made.to_json())))


def answers_to(asked: ClassQuestion, *, right: bool) -> dict[str, Any]:
    """What a phone sends."""
    if asked.task:
        return {"fields": GRADED.fill_in_example(asked.task, right=right, rng=Random(1))}
    return {"option": next(option.id for option in asked.options if option.correct is right)}


def all_questions() -> Iterator[Question]:
    yield from bank().questions
    yield from bank().build_pool(seed=1, topic="families")


def test_each_question_of_the_bank_can_be_asked_and_is_graded_as_in_the_quiz() -> None:
    for question in all_questions():
        asked = build_class_question(question)
        activity = activity_of(asked)
        assert activity.asked == asked, question.id
        for right in (True, False):
            value = activity.read_answer(1, answers_to(asked, right=right), GRADED.read)
            assert activity.is_correct(1, value) is right, (question.id, value)


@pytest.mark.parametrize("kind", KINDS)
def test_a_kind_goes_through_both_rounds_to_report_and_cards(
    school: School, context: Context, kind: QuestionKind
) -> None:
    asked = of_kind(kind)
    plan = plan_of(activity_of(asked, twin=of_kind("numeric")))

    async def play() -> None:
        live = await school.start(plan)
        async with phone(school, live, "one") as one, phone(school, live, "two") as two:
            await school.lead(live, "next")
            state = await one.state()
            assert "<form" in state["html"]
            assert 'value="right"' not in state["html"]
            assert asked.because == "" or str(asked.because) not in state["html"]
            for each, right in ((one, False), (two, True)):
                sent = await each.answer(0, 1, confidence="sure", **answers_to(asked, right=right))
                assert sent.json() == {"outcome": "stored"}
            assert "Your answer is saved" in (await one.state())["html"]
            await school.lead(live, "go", position=0, phase="discuss")
            assert (await one.state())["round"] == 0
            await school.lead(live, "next")
            assert (await one.answer(0, 2, **answers_to(asked, right=True))).status_code == 200
            assert (await two.answer(0, 2, **answers_to(asked, right=True))).status_code == 200
            await school.lead(live, "next")
            async with school.teacher() as teacher:
                screen = (await teacher.get(f"/class/{live.room.code}/screen/state")).json()["html"]
                teach = (await teacher.get(f"/class/{live.room.code}/teach/state")).json()["html"]
                cards = (await one.client.get(f"/class/{live.room.code}/cards")).text
            for html in (screen, teach):
                assert "First vote" in html
                assert '2 <span class="soft">(100 %)' in html  # all right in the second round
                assert "Gain: 1.00" in html
            mine = (await one.state())["html"]
            assert "✓ Right" in mine
            assert "No cards yet" in cards  # the last vote counts

        again = await school.new_hub(context).find(live.room.code)
        assert again.plan == live.plan
        record = record_of(context, live.room.code)
        [item] = build_report(record).items
        assert (item.first_right, item.second_right, item.gain) == (0.5, 1.0, 1.0)
        assert item.confident_wrong == 1
        rows = answer_table(build_report(record))
        assert sorted(row[6] for row in rows[1:]) == [0, 1, 1, 1]
        assert all(row[5] for row in rows[1:])
        assert [row[1] for row in grade_table(build_report(record))[1:]] == [100, 100]

    played(play)


def test_what_is_missed_is_a_card_with_the_answer_in_words(school: School) -> None:
    activities = tuple(activity_of(of_kind(kind)) for kind in KINDS)

    async def play() -> str:
        live = await school.start(plan_of(*activities))
        async with phone(school, live, "one") as one:
            for position, activity in enumerate(activities):
                assert activity.asked is not None
                await school.lead(live, "go", position=position, phase="vote")
                sent = await one.answer(position, 1, **answers_to(activity.asked, right=False))
                assert sent.status_code == 200
                await school.lead(live, "go", position=position, phase="reveal")
            return (await one.client.get(f"/class/{live.room.code}/cards")).text

    page = played(play)
    assert page.count('<section class="told">') == len(KINDS)
    assert "You answered: " in page
    assert of_kind("ordering").answer_text in page


def test_partly_right_is_no_right_answer_and_counts_in_part_in_the_gradebook(
    school: School, context: Context
) -> None:
    asked = of_kind("cloze")
    form = GRADED.fill_in_example(asked.task, right=True, rng=Random(1))
    form["blank-1"] = ["something else"]

    async def play() -> None:
        live = await school.start(plan_of(activity_of(asked)))
        async with phone(school, live, "one") as one:
            await school.lead(live, "next")
            assert (await one.answer(0, 1, fields=form)).status_code == 200
            await school.lead(live, "go", position=0, phase="reveal")
            assert "partly right" in (await one.state())["html"]
        record = record_of(context, live.room.code)
        assert build_report(record).items[0].first_right == 0
        assert grade_table(build_report(record))[1][1] in range(1, 100)

    played(play)


def test_a_form_that_is_no_answer_is_told_in_words(school: School) -> None:
    asked = of_kind("ordering")

    async def play() -> None:
        live = await school.start(plan_of(activity_of(asked)))
        async with phone(school, live, "one") as one:
            await school.lead(live, "next")
            hostile: list[Any] = [{}, {"place-1": ["A"]}, [], "x", {"place-1": "A", "place-2": [3]}, None]
            for fields in hostile:
                refused = await one.answer(0, 1, fields=fields)
                assert refused.status_code == 400
                assert "Not every place is filled yet." in refused.json()["error"]

    played(play)


def test_what_one_student_alone_typed_is_for_the_teacher_only(school: School) -> None:
    """A joke or an insult doesn't reach the projector; a frequent mistake does."""
    asked = of_kind("short-text")

    async def play() -> None:
        live = await school.start(plan_of(activity_of(asked)))
        typed = ["a rude word", "Often <b>wrong</b>", "often <b>Wrong</b>"]
        await school.lead(live, "next")
        for number, text in enumerate(typed):
            async with phone(school, live, f"browser-{number}") as each:
                assert (await each.answer(0, 1, fields={"text": [text]})).status_code == 200
        await school.lead(live, "go", position=0, phase="reveal")
        async with school.teacher() as teacher:
            screen = (await teacher.get(f"/class/{live.room.code}/screen/state")).json()["html"]
            teach = (await teacher.get(f"/class/{live.room.code}/teach/state")).json()["html"]
        assert "rude" not in screen
        assert "Other answers" in screen
        assert "rude" in teach
        for html in (screen, teach):
            assert "ften &lt;b&gt;" in html
            assert "(67 %)" in html

    played(play)


def test_what_one_student_typed_in_both_rounds_is_still_one_students(school: School) -> None:
    asked = of_kind("short-text")

    async def play() -> str:
        live = await school.start(plan_of(activity_of(asked)))
        for number, step in ((1, "vote"), (2, "revote")):
            await school.lead(live, "go", position=0, phase=step)
            for browser, text in (("one", "a rude word"), ("two", f"try {number}"), ("three", "try 1")):
                async with phone(school, live, browser) as each:
                    assert (await each.answer(0, number, fields={"text": [text]})).status_code == 200
        await school.lead(live, "go", position=0, phase="reveal")
        return str(screen_state(live, link="x")["html"])

    screen = played(play)
    assert "rude" not in screen
    assert "try 1" in screen


@pytest.mark.parametrize("kind", OPEN_KINDS)
def test_the_teachers_page_folds_an_open_questions_answers_until_the_reveal(
    school: School, kind: QuestionKind
) -> None:
    """Where the page is on the projector too, it would tell the right one."""
    asked = of_kind(kind)

    async def play() -> tuple[str, str]:
        live = await school.start(plan_of(activity_of(asked)))
        await school.lead(live, "next")
        async with phone(school, live, "one") as one:
            assert (await one.answer(0, 1, **answers_to(asked, right=True))).status_code == 200
        before = build_teacher_state(live)["html"]
        await school.lead(live, "go", position=0, phase="reveal")
        return before, build_teacher_state(live)["html"]

    before, after = played(play)
    seen, folded, _ = re.split(r"(<details data-keep=\"right-.*?</details>)", before, flags=re.DOTALL)
    assert "Show the right answer and all answers" in folded
    shown = ('<table class="bars"', str(asked.answer), *(['class="truth"'] if kind == "numeric" else []))
    for piece in shown:
        assert piece not in seen
        assert piece in folded
        assert piece in after
    assert '<details data-keep="right-' not in after


def test_numbers_are_a_histogram_with_the_right_one(school: School) -> None:
    asked = of_kind("numeric")

    async def play() -> None:
        live = await school.start(plan_of(activity_of(asked)))
        await school.lead(live, "next")
        for number, right in enumerate((True, False, True)):
            async with phone(school, live, f"browser-{number}") as each:
                assert (await each.answer(0, 1, **answers_to(asked, right=right))).status_code == 200
        await school.lead(live, "go", position=0, phase="reveal")
        async with school.teacher() as teacher:
            screen = (await teacher.get(f"/class/{live.room.code}/screen/state")).json()["html"]
        assert 'class="histogram"' in screen
        assert 'class="truth"' in screen
        assert "(67 %)" in screen

    played(play)


def test_simulated_students_answer_every_kind() -> None:
    for kind in KINDS:
        activity = activity_of(of_kind(kind))
        given = [answer_to(activity, 1, Random(seed), GRADED) for seed in range(40)]
        right = [activity.is_correct(1, activity.read_answer(1, each, GRADED.read)) for each in given]
        assert 5 < sum(map(bool, right)) < 35, kind


def test_a_class_from_before_the_other_kinds_opens_as_it_was() -> None:
    """Specs of earlier versions have none of the newer fields."""
    spec = activity_of(of_kind("single")).to_json()
    for name in (
        "kind",
        "task",
        "fields",
        "figure",
        "listed",
        "answer",
        "answer_text",
        "because",
        "unit",
        "value",
    ):
        del spec["asked"][name]
    for option in spec["asked"]["options"]:
        del option["letter"]
    opened = parse_activity_spec(json.loads(json.dumps(spec)))
    assert opened.asked is not None
    assert opened.asked == replace(
        of_kind("single"),
        options=tuple(replace(option, letter="") for option in of_kind("single").options),
    )
    assert opened.is_correct(1, {"option": opened.asked.right}) is True
