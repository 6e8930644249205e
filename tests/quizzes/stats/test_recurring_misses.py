"""What recurs in the latest misses, over questions that share a misconception."""

from datetime import UTC, datetime

from quizzes.bank.bank import load_bank
from quizzes.stats.recurring_misses import LATEST, latest_misses
from study.content.concepts import load_concepts
from study.store.logs.quizzes import QuizAnswer

BANK = load_bank(load_concepts())


def missed(question: str, option: str = "", text: str = "") -> QuizAnswer:
    return QuizAnswer(
        question_id=question,
        option=option,
        correct=False,
        answered_at=datetime(2026, 3, 4, tzinfo=UTC),
        duration_ms=1000,
        response={"text": text} if text else None,
    )


def test_two_questions_with_one_misconception_recur() -> None:
    found = latest_misses(
        [missed("q-alpha-rank-change", "alpha-is-the-scale"), missed("n-scaling-32-64", text="32")], BANK
    )
    [recurring] = found.recurring
    assert (found.total, recurring.count, recurring.misconception.id) == (2, 2, "alpha-is-the-scale")


def test_a_single_miss_does_not_recur() -> None:
    found = latest_misses([missed("q-alpha-rank-change", "alpha-is-the-scale")], BANK)
    assert (found.total, found.recurring) == (1, ())


def test_only_the_latest_misses_count() -> None:
    old = [missed("q-alpha-rank-change", "alpha-is-the-scale")] * 2
    new = [missed("q-linear-size", "sum-for-product")] * LATEST
    found = latest_misses([*old, *new], BANK)
    assert [each.misconception.id for each in found.recurring] == ["sum-for-product"]
    assert found.total == LATEST


def test_questions_that_are_gone_and_unknown_numbers_are_passed_over() -> None:
    answers = [missed("q-gone", "alpha-is-the-scale"), missed("n-scaling-32-64", text="77")]
    assert latest_misses(answers, BANK).total == 0
