"""Confident errors come back after a day and after a week, until they were answered right on both days."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from quizzes.session.spaced_retry import list_due, list_returning
from study.base.days import StudyDays
from study.store.logs.quizzes import Confidence, QuizAnswer

UTC_DAYS = StudyDays(zone=UTC)
NOW = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)


def answer(day: float, *, correct: bool, confidence: Confidence | None = "sure") -> QuizAnswer:
    return QuizAnswer(
        question_id="q",
        option="",
        correct=correct,
        answered_at=NOW + timedelta(days=day),
        duration_ms=1,
        confidence=confidence,
    )


def due_days(*answers: QuizAnswer) -> list[int]:
    """On which of the coming days the question is due."""
    waiting = list_returning(answers, days=UTC_DAYS)
    days = range(-1, 30)
    return [day for day in days if list_due(waiting, now=NOW + timedelta(days=day), days=UTC_DAYS)][:1]


def test_a_confident_error_comes_back_the_next_day() -> None:
    assert due_days(answer(0, correct=False)) == [1]


def test_right_on_that_day_it_comes_back_a_week_after_the_error_and_then_is_done() -> None:
    first = (answer(0, correct=False), answer(1, correct=True))
    assert due_days(*first) == [7]
    assert due_days(*first, answer(7, correct=True)) == []


def test_answered_late_the_second_day_is_still_days_apart() -> None:
    assert due_days(answer(0, correct=False), answer(9, correct=True)) == [15]


def test_being_wrong_again_begins_anew_however_sure() -> None:
    again = answer(1, correct=False, confidence="guess")
    assert due_days(answer(0, correct=False), again) == [2]


def test_right_on_the_same_day_does_not_count_yet() -> None:
    assert due_days(answer(0, correct=False), answer(0.1, correct=True)) == [1]


def test_an_error_without_confidence_and_a_confident_right_answer_do_not_come_back() -> None:
    assert due_days(answer(0, correct=False, confidence="think")) == []
    assert due_days(answer(0, correct=True)) == []


@given(
    st.lists(st.tuples(st.integers(0, 40), st.booleans(), st.sampled_from(["guess", "think", "sure", None])))
)
def test_what_waits_was_wrong_last_or_right_only_once_since(
    log: list[tuple[int, bool, Confidence | None]],
) -> None:
    answers = [answer(day, correct=correct, confidence=sure) for day, correct, sure in sorted(log, key=first)]
    for each in list_returning(answers, days=UTC_DAYS):
        wrong = [a for a in answers if not a.correct]
        assert each.missed_on == wrong[-1].answered_at.date()
        assert each.due_on > each.missed_on


def first(entry: tuple[int, bool, Confidence | None]) -> int:
    return entry[0]
