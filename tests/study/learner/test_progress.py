"""What the log says about a learner: mastery by a stated rule, streaks, and recall of cards seen before."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from study.base.days import StudyDays
from study.learner.progress import (
    MASTERY_WINDOW,
    AnswerOutcome,
    Mastery,
    compute_typical_seconds,
    count_recalled,
    count_streak_days,
    derive_mastery,
    find_most_frequent,
    find_weakest,
)
from study.store.logs.cards import CardReview
from study.store.logs.quizzes import QuizAnswer

NOW = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)
IN_UTC = StudyDays(zone=UTC)


def review(rating: int, *, minutes: int = 0, new: bool = False, repeat: bool = True) -> CardReview:
    return CardReview(
        id=minutes + 1,
        card_id="card",
        rating=rating,
        reviewed_at=NOW + timedelta(minutes=minutes),
        duration_ms=1000,
        new=new,
        repeat=repeat,
    )


def answer(*, correct: bool, minutes: int) -> QuizAnswer:
    return QuizAnswer(
        question_id="question",
        option="right" if correct else "slip",
        correct=correct,
        answered_at=NOW + timedelta(minutes=minutes),
        duration_ms=1000,
    )


def mastery(reviews: list[CardReview], answers: list[QuizAnswer]) -> Mastery:
    others = [
        (("rank",), AnswerOutcome(at=answer.answered_at, right=answer.correct, kind="question"))
        for answer in answers
    ]
    return derive_mastery(reviews, of_card={"card": ("rank",)}, others=others)["rank"]


def test_newer_answers_count_more() -> None:
    improving = mastery([], [answer(correct=n > 1, minutes=n) for n in range(4)])
    fading = mastery([], [answer(correct=n < 2, minutes=n) for n in range(4)])
    assert improving.share == pytest.approx((1 + 0.8) / (1 + 0.8 + 0.64 + 0.512))
    assert fading.share == pytest.approx(1 - (1 + 0.8) / (1 + 0.8 + 0.64 + 0.512))


def test_hard_counts_as_remembered_and_again_does_not() -> None:
    assert mastery([review(2, minutes=n) for n in range(3)], []).share == 1
    assert mastery([review(1, minutes=n) for n in range(3)], []).share == 0


def test_a_new_card_known_at_first_sight_is_met_and_counts_for_nothing_else() -> None:
    found = mastery([review(3, minutes=n, new=True, repeat=False) for n in range(4)], [])
    assert (found.share, found.answers, found.level) == (None, 0, "Attempted")
    forgotten = mastery([review(1, new=True, repeat=False)], [])
    assert (forgotten.answers, forgotten.misses) == (1, 1)


def test_a_card_known_again_minutes_later_is_still_being_learnt() -> None:
    found = mastery([review(3, new=True, repeat=False), review(3, minutes=10, repeat=False)], [])
    assert (found.answers, found.kinds_right) == (0, 0)
    assert mastery([review(1, minutes=10, repeat=False)], []).misses == 1


def test_the_most_frequent_concept_is_that_of_most_exercises() -> None:
    assert find_most_frequent([("a", "b"), ("b",), ("c",)]) == "b"
    assert find_most_frequent([("a",), ("b",)]) == "a"
    assert find_most_frequent([]) == ""


def test_too_few_answers_give_no_number() -> None:
    assert mastery([review(3)], [answer(correct=False, minutes=1)]).percent is None


@given(st.lists(st.booleans(), min_size=3, max_size=30))
def test_mastery_is_a_share_of_the_last_ten_answers_only(results: list[bool]) -> None:
    answers = [answer(correct=correct, minutes=n) for n, correct in enumerate(results)]
    known = mastery([], answers)
    assert known.share is not None
    assert 0 <= known.share <= 1
    assert known == mastery([], answers[-MASTERY_WINDOW:]) or known.answers > MASTERY_WINDOW
    assert known.share == mastery([], answers[-MASTERY_WINDOW:]).share


def test_the_weakest_concepts_are_those_with_misses_lowest_first() -> None:
    known = {
        name: Mastery(share=share, answers=5, misses=misses, last_seen=NOW)
        for name, share, misses in [("good", 0.9, 1), ("bad", 0.2, 4), ("perfect", 1.0, 0)]
    }
    assert [concept for concept, _ in find_weakest(known)] == ["bad", "good"]


def test_a_streak_counts_days_in_a_row_and_today_may_still_come() -> None:
    days = [NOW - timedelta(days=back) for back in (1, 2, 3, 5)]
    assert count_streak_days(days, today=date(2026, 3, 4), days=IN_UTC) == 3
    assert count_streak_days([*days, NOW], today=date(2026, 3, 4), days=IN_UTC) == 4
    assert count_streak_days(days, today=date(2026, 3, 6), days=IN_UTC) == 0
    assert count_streak_days([], today=date(2026, 3, 4), days=IN_UTC) == 0


def test_a_first_look_at_a_card_is_no_test_of_memory() -> None:
    assert count_recalled([review(1, new=True), review(3), review(1), review(2)]) == (2, 3)


def test_the_pace_is_a_guess_until_it_is_known() -> None:
    assert compute_typical_seconds([1000] * 4, until_known=20) == 20
    assert compute_typical_seconds([1000, 2000, 3000, 4000, 90_000], until_known=20) == 3
