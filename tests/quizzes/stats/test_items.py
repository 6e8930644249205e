"""Item statistics: facility, discrimination and dead options, once there are ten answers."""

from datetime import UTC, datetime

import pytest

from quizzes.bank.bank import load_bank
from quizzes.stats.item_analysis import (
    ANSWERS_NEEDED,
    ItemStatistics,
    compute_item_statistics,
    compute_statistics,
)
from study.content.concepts import ConceptMap
from study.content.yaml_reader import Level
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


def find_items(answered: list[list[QuizAnswer]], level: Level = "beginner") -> list[ItemStatistics]:
    return compute_item_statistics(answered, WRONG, {"item": level})


@pytest.mark.parametrize(
    ("level", "right", "advice"),
    [
        ("beginner", 18, False),
        ("beginner", 13, False),  # 65 %, 43 to 82: beginner may fit
        ("beginner", 8, "marked beginner, measured intermediate"),  # 40 %, 22 to 61
        ("intermediate", 10, False),
        ("intermediate", 2, "marked intermediate, measured advanced"),
        ("intermediate", 19, "marked intermediate, measured beginner"),
        ("advanced", 10, False),  # 50 %, 30 to 70
        ("advanced", 14, "marked advanced, measured beginner"),
    ],
)
def test_a_level_is_doubted_where_the_answers_refute_it(level: Level, right: int, advice: str | bool) -> None:
    answered = sessions(*["right"] * right, *["slip"] * (20 - right))
    item = next(each for each in find_items(answered, level) if each.question_id == "item")
    assert [each for each in item.advice if each.startswith("marked")] == ([advice] if advice else [])


def test_nothing_is_said_before_ten_answers() -> None:
    assert find_items(sessions(*["right"] * (ANSWERS_NEEDED - 1))) == []


def test_facility_is_the_share_right_and_an_option_nobody_takes_is_dead() -> None:
    found = find_items(sessions(*["right"] * 6, *["slip"] * 3, "mix-up"))
    item = next(each for each in found if each.question_id == "item")
    assert item.facility.value == pytest.approx(0.6)
    assert item.dead == ("never-chosen",)
    assert item.advice == ("dead options: never-chosen",)


@pytest.mark.parametrize(("rest", "expected"), [("same", 1.0), ("opposite", -1.0)])
def test_discrimination_is_the_correlation_with_the_rest_of_the_quiz(rest: str, expected: float) -> None:
    found = find_items(sessions(*["right"] * 5, *["slip"] * 5, rest=rest))
    item = next(each for each in found if each.question_id == "item")
    assert item.discrimination == pytest.approx(expected)
    assert any("says little" in advice for advice in item.advice) is (expected < 0)


def test_what_never_varies_has_no_discrimination_and_is_called_easy() -> None:
    [item, _] = find_items(sessions(*["right"] * 12))
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
