"""The modes of the Quiz page: hints and second attempts, the clock, the badge, what comes back."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from html import escape
from typing import Any

import pytest

import lora_lab.quantities  # noqa: F401 - questions compute their numbers
from quizzes.kinds.question import Question
from quizzes.pages.quiz import QuizPage
from study.ports.context import Context
from study.ports.subjects import Subjects
from study.store.logs.quizzes import QuizAnswer
from study.web.frame import Reply
from tests.exercises import build_card_exercise, build_quiz_exercise
from tests.quizzes.answering import right_fields, wrong_fields
from tests.quizzes.pages.quizzing import build_quiz
from tests.visits import build_event, opened, primary, query_of, words


@dataclass
class Clock:
    """A clock that a test moves."""

    now: datetime

    def __call__(self) -> datetime:
        return self.now


@dataclass
class Learner:
    """Someone at the Quiz page, and what the page shows."""

    page: QuizPage
    clock: Clock
    html: str = ""
    query: str = ""

    def start(self, mode: str, **chosen: str) -> None:
        form = {name: [value] for name, value in {"mode": mode, "seed": "7", **chosen}.items()}
        reply = self.page.act({"act": "start", "fields": form}, opened("b1"))
        self.html, self.query = reply["html"], query_of(reply["step"])

    @property
    def question(self) -> Question:
        return self.page.exercise.operations.bank.by_id[build_event(self.html, "answer")["question"]]

    @property
    def log(self) -> list[QuizAnswer]:
        [profile] = self.page.context.store.profiles.all()
        [record] = self.page.context.store.quizzes.latest(profile.id, limit=1)
        return self.page.context.store.quizzes.answers(record.id)

    def press(self, act: str, **changed: Any) -> Reply:
        reply = self.page.act(build_event(self.html, act, query=self.query, **changed), opened("b1"))
        self.html = reply.get("html", self.html)
        return reply

    def answer(self, fields: Callable[..., dict[str, list[str]]], *, sure: str = "") -> Reply:
        form = {**fields(self.question, seed=7), "confidence": [sure]}
        return self.press("answer", fields=form)

    def later(self, **by: float) -> None:
        self.clock.now += timedelta(**by)


@pytest.fixture
def ana(context: Context, now: datetime) -> Learner:
    clock = Clock(now)
    moved = replace(context, clock=clock)
    cards = build_card_exercise(moved)
    exercise = build_quiz_exercise(
        moved, ask_for_cards=cards.ask_for, elsewhere=Subjects(of_card=cards.subjects)
    )
    return Learner(page=build_quiz(moved, exercise), clock=clock)


# ---- practice ----


def test_a_second_attempt_after_a_hint_counts_two_thirds_and_the_log_tells_all_of_it(ana: Learner) -> None:
    ana.start("practice", topic="kinds-choices", length="5")
    right = ana.question.keep
    ana.press("hint")
    ana.answer(wrong_fields, sure="think")
    assert "Try again" in words(ana.html)
    assert right not in ana.html
    ana.press("next")
    assert "Second attempt. A right second attempt counts for two thirds." in words(ana.html)
    assert words(ana.html).count("tried, not right") == (ana.question.kind == "single")
    ana.answer(right_fields, sure="sure")
    assert "Right. It counts as 0.67 of a point." in words(ana.html)
    first, second = ana.log
    assert (first.attempt, first.correct, first.points, first.confidence, first.hints) == (
        1,
        False,
        0,
        "think",
        1,
    )
    assert (second.attempt, second.correct, second.confidence) == (2, True, "sure")
    assert second.points == pytest.approx(2 / 3)


def test_who_does_not_know_it_yet_sees_the_answer_at_once_and_it_counts_as_missed(ana: Learner) -> None:
    ana.start("practice", topic="kinds-arranging", length="5")
    question = ana.question
    assert "I don't know yet: show me" in words(ana.html)
    ana.press("give-up")
    assert "Not answered." in words(ana.html)
    assert "Try again" not in words(ana.html)
    assert re.search(r"\d cards? about this (is|are) ready now\.", words(ana.html))
    assert [(one.attempt, one.correct, one.points, one.given) for one in ana.log] == [
        (1, False, 0, {}),
        (2, False, 0, {}),
    ]
    operations = ana.page.exercise.operations
    [profile] = ana.page.context.store.profiles.all()
    assert operations.list_missed(profile.id) == [question]
    ana.press("next")
    assert ana.question != question


def test_an_exam_lets_a_question_go_without_showing_its_answer(ana: Learner) -> None:
    ana.start("exam", topic="kinds-arranging", length="5")
    question = ana.question
    assert "I don't know: go on" in words(ana.html)
    assert "show me" not in words(ana.html)
    ana.press("give-up")
    assert ana.question != question
    [given] = ana.log
    assert (given.correct, given.given) == (False, {})


def test_the_last_page_says_how_many_were_right_at_the_first_try(ana: Learner) -> None:
    ana.start("practice", topic="lora", length="5")
    ana.answer(wrong_fields)
    for _ in range(5):
        ana.press("next")
        ana.answer(right_fields)
    ana.press("next")
    assert "5 of 5 right. 4 on the first try; your progress counts first tries." in words(ana.html)


def test_a_hint_stays_through_a_reload_and_is_not_given_where_there_is_none(ana: Learner) -> None:
    ana.start("practice", topic="kinds-numbers", length="5")
    hint = ana.question.hint
    assert hint not in words(ana.html)
    reply = ana.press("hint")
    assert hint in words(reply["parts"]["hint"])
    assert hint in words(ana.page.load(opened("b1", ana.query[1:])))
    ana.start("check")
    assert "Give me a hint" not in words(ana.html)


def test_the_second_attempt_is_still_open_after_a_reload_but_not_for_a_form_from_before(ana: Learner) -> None:
    ana.start("practice", topic="lora", length="5")
    form_from_before = build_event(ana.html, "answer", query=ana.query)
    ana.answer(wrong_fields)
    ana.html = ana.page.load(opened("b1", ana.query[1:]))
    assert build_event(ana.html, "answer")["attempt"] == "2"
    form_from_before["fields"] = right_fields(ana.question, seed=7)
    stale = ana.page.act(form_from_before, opened("b1"))
    assert "already been answered in another window" in stale["error"]
    assert [answer.attempt for answer in ana.log] == [1]


def test_looking_at_the_answer_ends_the_question_without_points(ana: Learner) -> None:
    ana.start("practice", topic="lora", length="5")
    ana.answer(wrong_fields)
    ana.press("give-up")
    assert "✗ Your answer, not right" in words(ana.html)
    assert "✓ The right answer" in words(ana.html)
    assert [answer.score for answer in ana.log] == [0, 0]
    [profile] = ana.page.context.store.profiles.all()
    assert len(ana.page.context.store.quizzes.history(profile.id)) == 1


# ---- exam ----


def test_an_exam_tells_nothing_until_its_end_and_then_explains_every_answer(ana: Learner) -> None:
    ana.start("exam", length="5")
    assert "Time left: 5 minutes" in words(ana.html)
    for number in range(5):
        keep = ana.question.keep
        ana.answer(right_fields if number else wrong_fields)
        assert number == 4 or (keep not in ana.html and f"Question {number + 2} of 5" in words(ana.html))
    assert "4 of 5 right." in words(ana.html)
    assert ana.html.count('<span class="label">Keep in mind:</span>') == 5


def test_the_quiz_page_links_to_an_exam_whose_time_ran_out_until_another_quiz_starts(ana: Learner) -> None:
    ana.start("exam", length="5", pace="60")
    ana.answer(right_fields)
    exam = ana.query
    for days in (1, 29):
        ana.later(days=days)
        ana.html = ana.page.load(opened("b1"))
        assert "The time of your exam ran out on 4 March 2026: 1 of 5 right." in words(ana.html)
        assert f'href="/quiz{escape(exam)}">See its result' in ana.html
        assert "Go on with your exam" not in words(ana.html)
        assert primary(ana.html) == ["Start Enter"]
    assert "url" not in ana.page.act({"act": "here", "query": ""}, opened("b1"))
    ana.html = ana.page.load(opened("b1", exam[1:]))
    assert "1 of 5 right. Time ran out; 4 questions were not answered." in words(ana.html)
    assert f'data-address="/quiz{escape(exam)}"' in ana.html  # where "Repeat this quiz" finds it
    another = re.search(r'href="/quiz\?(.*?)">Another quiz', ana.html)
    assert another is not None
    assert "Mode" in words(ana.page.load(opened("b1", another[1])))
    ana.start("practice")
    assert "ran out" not in words(ana.page.load(opened("b1")))


def test_the_quiz_page_says_that_a_challenge_ran_out_of_time_and_where_its_result_is(ana: Learner) -> None:
    ana.start("challenge")
    ana.answer(wrong_fields)
    ana.later(minutes=11)
    assert "The time of your challenge ran out on 4 March 2026: 0 of 5 right." in words(
        ana.page.load(opened("b1"))
    )


def test_another_quiz_starts_over_an_open_exam_only_when_that_is_confirmed(ana: Learner) -> None:
    ana.start("exam", length="5")
    exam = ana.query
    ana.answer(wrong_fields)
    ana.start("again")
    assert "You are leaving your exam: 1 of 5 answered." in words(ana.html)
    assert primary(ana.html) == ["Go on with the exam"]
    assert f'href="/quiz{escape(exam)}"' in ana.html
    assert "Go on with your exam : 1 of 5 answered." in words(ana.page.load(opened("b1")))
    ana.press("again")
    assert "Question 1 of 1" in words(ana.html)


def test_a_quiz_that_a_link_opens_asks_too_before_it_leaves_an_exam(ana: Learner) -> None:
    ana.start("exam", length="5")
    ana.query = "?topic=lora&n=5&seed=8"
    ana.html = ana.page.load(opened("b1", ana.query[1:]))
    ana.press("again")
    assert "You are leaving your exam: 0 of 5 answered." in words(ana.html)


def test_an_exam_ends_when_its_time_is_over_whether_or_not_the_page_is_open(ana: Learner) -> None:
    ana.start("exam", length="5", pace="60")
    ana.answer(right_fields)
    late = build_event(ana.html, "answer", query=ana.query, fields=right_fields(ana.question, seed=7))
    ana.later(minutes=5)
    refused = ana.page.act(late, opened("b1"))
    assert "The time for this quiz is up" in refused["error"]
    assert "1 of 5 right." in words(refused["html"])
    reopened = words(ana.page.load(opened("b1", ana.query[1:])))
    assert "Time ran out; 4 questions were not answered." in reopened
    assert len(ana.log) == 1
    assert "Go on with your quiz" not in words(ana.page.load(opened("b1")))


def test_the_clock_is_read_out_at_five_minutes_and_at_one_and_then_ends_the_exam(ana: Learner) -> None:
    ana.start("exam", length="10", pace="60")
    said = []
    left = "600"
    for _ in range(40):
        ana.later(seconds=15)
        event = {"act": "poll", "left": left, "query": ana.query}
        reply = ana.page.act(event, opened("b1"))
        said.append(reply.get("say", ""))
        if "html" in reply:
            break
        [left] = re.findall(r'data-left="(\d+)"', reply["parts"]["clock"])
    over = "Time is up. Here is how it went."
    assert [text for text in said if text] == ["5 minutes left.", "60 seconds left.", over]
    assert "0 of 10 right." in words(reply["html"])


def test_an_exam_can_go_without_a_limit(ana: Learner) -> None:
    ana.start("exam", length="5", pace="0")
    assert "Time left" not in words(ana.html)
    ana.later(days=2)
    ana.answer(right_fields)
    assert "Question 2 of 5" in words(ana.html)


# ---- challenge and check ----


def test_a_challenge_with_all_right_gives_a_badge_even_after_second_attempts(ana: Learner) -> None:
    ana.start("challenge")
    for number in range(5):
        assert ana.question.kind != "single" or ana.question.steps
        if number == 2:
            ana.answer(wrong_fields)
            ana.press("next")
        ana.answer(right_fields)
        ana.press("next")
    assert "Badge: all 5 problems of a timed challenge right." in words(ana.html)
    assert "4.67 of 5 points" in words(ana.html)
    assert "1 badge" in words(ana.page.load(opened("b1")))


def test_a_challenge_is_over_after_ten_minutes_and_then_has_no_badge(ana: Learner) -> None:
    ana.start("challenge")
    ana.answer(right_fields)
    ana.later(minutes=10)
    ana.press("next")
    assert "1 of 5 right." in words(ana.html)
    assert "You earn the badge by getting every problem right." in words(ana.html)


def test_a_check_goes_from_easy_to_hard_with_one_attempt_each(ana: Learner) -> None:
    ana.start("check")
    levels = []
    for _ in range(10):
        levels.append(ana.question.level)
        ana.answer(wrong_fields)
        assert "Try again" not in words(ana.html)
        ana.press("next")
    assert levels == ["beginner"] * 4 + ["intermediate"] * 3 + ["advanced"] * 3


# ---- what comes back ----


def test_a_confident_error_comes_back_the_next_day_and_after_a_week(ana: Learner) -> None:
    ana.start("check")
    missed = ana.question.id
    ana.answer(wrong_fields, sure="sure")
    assert "comes back tomorrow and in a week" in words(ana.html)
    with pytest.raises(Exception, match="Nothing comes back today"):
        ana.start("again")
    for days in (1, 6):
        ana.later(days=days)
        assert "What you missed (1 today)" in words(ana.page.load(opened("b1")))
        ana.start("again")
        assert ana.question.id == missed
        ana.answer(right_fields, sure="sure")
    ana.later(days=30)
    with pytest.raises(Exception, match="Nothing comes back today"):
        ana.start("again")


def test_what_comes_back_comes_when_the_learners_own_day_begins(ana: Learner) -> None:
    ana.start("practice")
    [profile] = ana.page.context.store.profiles.all()
    ana.page.context.store.preferences.change(profile.id, time_zone="Pacific/Kiritimati", day_begins_hour=0)
    ana.clock.now = datetime(2026, 3, 4, 9, 30, tzinfo=UTC)  # half an hour before midnight there
    ana.answer(wrong_fields, sure="sure")
    ana.later(minutes=20)
    assert not ana.page.exercise.operations.list_due(profile.id, now=ana.clock.now)
    ana.later(minutes=20)
    assert ana.page.exercise.operations.list_due(profile.id, now=ana.clock.now)


def test_weak_concepts_are_those_that_were_missed(ana: Learner) -> None:
    with pytest.raises(Exception, match="No concept was missed lately"):
        ana.start("weak")
    ana.start("check")
    concepts = set(ana.question.concepts)
    ana.answer(wrong_fields)
    ana.start("weak", length="5")
    assert set(ana.question.concepts) & concepts


def test_what_was_guessed_wrong_in_the_lab_is_weak_as_well(ana: Learner, now: datetime) -> None:
    store = ana.page.context.store
    operations = replace(
        ana.page.exercise.operations, subjects=Subjects(of_prediction={"percent": ("lora-rank",)})
    )
    profile = store.profiles.open_for_browser("b1", now=now).id
    guess = store.predictions.make(profile, setting={"rank": 8}, guess={"percent": 50.0}, at=now)
    store.predictions.start(guess, "run", at=now)
    store.predictions.judge(guess, {"percent": False}, at=now)
    assert operations.list_weak_concepts(profile) == ["lora-rank"]
