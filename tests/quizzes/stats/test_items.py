"""Item statistics: facility, discrimination and dead options, once there are ten answers."""

from datetime import UTC, datetime

import pytest

from quizzes.bank.bank import load_bank
from quizzes.stats.item_analysis import ANSWERS_NEEDED, compute_item_statistics
from quizzes.stats.progress import compute_statistics
from study.content.concepts import ConceptMap
from study.store import Store
from study.store.logs.quizzes import QuizAnswer

WRONG = {"item": ("slip", "mix-up", "never-chosen")}


def answer(question: str, option: str) -> QuizAnswer:
    return QuizAnswer(
        question_id=question,
        option=option,
        correct=option == "right",
        answered_at=datetime(2026, 3, 4, tzinfo=UTC),
        duration_ms=1000,
    )


def sessions(*options: str, rest: str = "same") -> list[list[QuizAnswer]]:
    """One learner for each option; the rest of their quiz goes as the item does, or the other way round."""
    found = []
    for option in options:
        others_right = (option == "right") is (rest == "same")
        found.append([answer("item", option), answer("other", "right" if others_right else "slip")])
    return found


def test_nothing_is_said_before_ten_answers() -> None:
    assert compute_item_statistics(sessions(*["right"] * (ANSWERS_NEEDED - 1)), WRONG) == []


def test_facility_is_the_share_right_and_an_option_nobody_takes_is_dead() -> None:
    found = compute_item_statistics(sessions(*["right"] * 6, *["slip"] * 3, "mix-up"), WRONG)
    item = next(each for each in found if each.question_id == "item")
    assert item.facility.value == pytest.approx(0.6)
    assert item.dead == ("never-chosen",)
    assert item.advice == ("dead options: never-chosen",)


@pytest.mark.parametrize(("rest", "expected"), [("same", 1.0), ("opposite", -1.0)])
def test_discrimination_is_the_correlation_with_the_rest_of_the_quiz(rest: str, expected: float) -> None:
    found = compute_item_statistics(sessions(*["right"] * 5, *["slip"] * 5, rest=rest), WRONG)
    item = next(each for each in found if each.question_id == "item")
    assert item.discrimination == pytest.approx(expected)
    assert any("says little" in advice for advice in item.advice) is (expected < 0)


def test_what_never_varies_has_no_discrimination_and_is_called_easy() -> None:
    [item, _] = compute_item_statistics(sessions(*["right"] * 12), WRONG)
    assert item.discrimination is None
    assert "easy: nearly everyone gets it right" in item.advice


def test_a_family_is_one_item_whatever_its_seeds(
    store: Store, ana: str, now: datetime, concepts: ConceptMap
) -> None:
    bank = load_bank(concepts)
    family = next(iter(bank.families))
    for seed in range(ANSWERS_NEEDED):
        question = f"{family}@{seed}"
        record = store.quizzes.start(ana, seed=seed, question_ids=(question,), choice={}, started_at=now)
        store.quizzes.append(record.id, answer(question, "right"))
    [item] = compute_statistics(store, bank)
    assert item.question_id == family
    assert item.facility.trials == ANSWERS_NEEDED
