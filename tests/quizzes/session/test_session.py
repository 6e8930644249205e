"""A quiz as functions of its seed and its answers: repeatable for everyone, and never lost."""

from datetime import UTC, datetime

from hypothesis import given
from hypothesis import strategies as st

from quizzes.kinds.grade import LETTERS
from quizzes.session.session import (
    draw_questions,
    find_position,
    group_by_concept,
    list_missed,
    offer_choices,
)
from study.store.logs.quizzes import QuizAnswer, QuizRecord
from tests.quizzes.builders import bank, question

NOW = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)
QUESTIONS = [question(f"q{number}") for number in range(20)]
SEEDS = st.integers(0, 9999)


def record(*ids: str) -> QuizRecord:
    return QuizRecord(id="s", seed=1, question_ids=ids, choice={}, started_at=NOW)


def answer(question_id: str, *, correct: bool = True) -> QuizAnswer:
    option = "right" if correct else "slip-0"
    return QuizAnswer(question_id=question_id, option=option, correct=correct, answered_at=NOW, duration_ms=1)


@given(seed=SEEDS, length=st.integers(1, 30))
def test_a_seed_draws_the_same_questions_every_time_and_none_twice(seed: int, length: int) -> None:
    drawn = draw_questions(QUESTIONS, seed=seed, length=length)
    assert drawn == draw_questions(QUESTIONS, seed=seed, length=length)
    assert len({each.id for each in drawn}) == len(drawn) == min(length, 20)


def test_a_seed_means_the_same_in_every_process() -> None:
    assert [each.id for each in draw_questions(QUESTIONS, seed=4821, length=4)] == ["q10", "q12", "q2", "q5"]


@given(seed=SEEDS)
def test_every_option_is_offered_once_under_its_letter(seed: int) -> None:
    choices = offer_choices(QUESTIONS[0], seed=seed)
    assert [letter for letter, _ in choices] == list(LETTERS[:4])
    assert {option.id for _, option in choices} == {option.id for option in QUESTIONS[0].options}


def test_the_right_option_is_not_always_under_the_same_letter() -> None:
    right = next(option.id for option in QUESTIONS[0].options if option.correct)
    letters = {
        letter
        for seed in range(40)
        for letter, option in offer_choices(QUESTIONS[0], seed=seed)
        if option.id == right
    }
    assert letters == set(LETTERS[:4])


def test_the_position_is_the_first_question_without_an_answer() -> None:
    items = bank(*QUESTIONS)
    quiz = record("q3", "q1", "q2")
    start = find_position(items, quiz, [])
    assert (start.number, start.total, start.question) == (1, 3, QUESTIONS[3])
    middle = find_position(items, quiz, [answer("q3"), answer("q1", correct=False)])
    assert (middle.number, middle.question, middle.right) == (3, QUESTIONS[2], 1)
    end = find_position(items, quiz, [answer("q3"), answer("q1"), answer("q2")])
    assert (end.question, end.right) == (None, 3)


def test_a_question_that_left_the_bank_is_passed_over() -> None:
    found = find_position(bank(*QUESTIONS[:3]), record("gone", "q1"), [])
    assert (found.number, found.total, found.question) == (1, 1, QUESTIONS[1])


def test_scores_are_by_concept_weakest_first() -> None:
    items = bank(question("a", concepts=("rank", "alpha")), question("b", concepts=("rank",)))
    scores = group_by_concept(items, [answer("a", correct=False), answer("b")])
    assert [(score.concept, score.right, score.asked) for score in scores] == [
        ("alpha", 0, 1),
        ("rank", 1, 2),
    ]


def test_a_question_is_missed_until_it_is_answered_right() -> None:
    items = bank(*QUESTIONS)
    log = [answer("q1", correct=False), answer("q2", correct=False), answer("q1", correct=False)]
    assert [each.id for each in list_missed(items, log)] == ["q2", "q1"]
    assert [each.id for each in list_missed(items, [*log, answer("q2")])] == ["q1"]
