"""Quizzes on a real store: started, answered once each, found again by their address."""

from datetime import datetime, timedelta

import pytest

from quizzes.session import operations as quiz_operations
from quizzes.session.operations import QuizOperations
from quizzes.session.quiz_options import QuizChoice
from study.base.errors import LearnerError, StaleError
from study.content.yaml_reader import Level
from study.store import Store
from tests.quizzes.builders import bank, question

BANK = bank(*(question(f"q{n}") for n in range(6)), question("other", topic="two", concepts=("nf4",)))


@pytest.fixture
def operations(store: Store) -> QuizOperations:
    return QuizOperations(store=store, bank=BANK)


def test_a_quiz_holds_what_was_chosen(operations: QuizOperations, ana: str, now: datetime) -> None:
    assert operations.start(ana, QuizChoice(topic="two"), now=now).question_ids == ("other",)
    assert len(operations.start(ana, QuizChoice(length=3), now=now).question_ids) == 3


@pytest.mark.parametrize(
    ("choice", "do_next"),
    [
        (QuizChoice(level="advanced"), "Choose all levels."),
        (QuizChoice(topic="one", concept="nf4"), "Choose all topics or any concept."),
        (QuizChoice(topic="one", level="advanced", concept="nf4"), "Choose all levels and all topics."),
    ],
)
def test_a_choice_without_a_question_is_told_what_to_change(
    operations: QuizOperations, ana: str, now: datetime, choice: QuizChoice, do_next: str
) -> None:
    with pytest.raises(LearnerError, match="No question matches this selection") as told:
        operations.start(ana, choice, now=now)
    assert told.value.do_next == do_next


@pytest.mark.parametrize("length", [0, 51])
def test_a_quiz_has_a_sensible_length(length: int) -> None:
    with pytest.raises(LearnerError, match="Choose 1 to 50"):
        QuizChoice(length=length)


def test_an_answer_is_stored_with_its_time(operations: QuizOperations, ana: str, now: datetime) -> None:
    record = operations.start(ana, QuizChoice(length=2), now=now)
    shown_at = now - timedelta(seconds=7)
    given = operations.answer(
        record, record.question_ids[0], {"option": "slip-1"}, shown_at=shown_at, now=now
    )
    assert (given.correct, given.duration_ms) == (False, 7000)
    assert operations.compute_position(record, now=now).tried == given


def test_a_second_answer_to_a_question_does_not_count(
    operations: QuizOperations, ana: str, now: datetime
) -> None:
    record = operations.start(ana, QuizChoice(length=2), now=now)
    operations.answer(record, record.question_ids[0], {"option": "slip-1"}, shown_at=now, now=now)
    with pytest.raises(StaleError, match="Your first answer counts"):
        operations.answer(record, record.question_ids[0], {"option": "right"}, shown_at=now, now=now)
    assert operations.compute_position(record, now=now).right == 0


@pytest.mark.parametrize("question_id", ["gone", "other"])
def test_an_answer_to_a_question_that_was_not_asked_is_refused(
    operations: QuizOperations, ana: str, now: datetime, question_id: str
) -> None:
    record = operations.start(ana, QuizChoice(topic="one"), now=now)
    with pytest.raises(LearnerError, match="does not belong"):
        operations.answer(record, question_id, {"option": "right"}, shown_at=now, now=now)


def test_the_newest_quiz_of_a_choice_is_found_again(
    operations: QuizOperations, ana: str, now: datetime
) -> None:
    choice = QuizChoice(length=2, seed=4821)
    first = operations.start(ana, choice, now=now)
    second = operations.start(ana, choice, now=now + timedelta(minutes=1))
    assert first.question_ids == second.question_ids
    assert operations.find_newest(ana, choice) == second
    assert operations.find_newest(ana, QuizChoice(length=2, seed=1)) is None


def test_a_quiz_from_before_there_were_modes_is_found_by_its_address(
    operations: QuizOperations, ana: str, now: datetime
) -> None:
    old = {"topic": "one", "level": "", "concept": "", "length": 2}
    record = operations.store.quizzes.start(
        ana, seed=5, question_ids=("q1", "q2"), choice=old, started_at=now
    )
    assert operations.find_newest(ana, QuizChoice(topic="one", length=2, seed=5)) == record


def test_only_a_quiz_that_was_begun_is_offered_to_go_on_with(
    operations: QuizOperations, ana: str, now: datetime
) -> None:
    choice = QuizChoice(length=2, seed=3)
    record = operations.start(ana, choice, now=now)
    assert operations.find_unfinished(ana, now=now) is None
    operations.answer(record, record.question_ids[0], {"option": "right"}, shown_at=now, now=now)
    found = operations.find_unfinished(ana, now=now)
    assert found is not None
    assert found[0] == choice
    operations.store.quizzes.start(ana, seed=1, question_ids=("q1",), choice={}, started_at=now)
    assert operations.find_unfinished(ana, now=now) == found  # a five-minute review hides nothing
    operations.answer(record, record.question_ids[1], {"option": "right"}, shown_at=now, now=now)
    assert operations.find_unfinished(ana, now=now) is None


def test_practice_begins_easy_until_half_of_its_concepts_were_met(
    store: Store, ana: str, now: datetime
) -> None:
    levels: list[Level] = ["advanced", "intermediate", "beginner"]
    mixed = [question(f"{level}-{n}", level=level, concepts=(level,)) for level in levels for n in range(3)]
    operations = QuizOperations(store=store, bank=bank(*mixed))
    choice = QuizChoice(length=9, seed=1)
    record = operations.start(ana, choice, now=now)
    assert [each.partition("-")[0] for each in record.question_ids] == [
        level for level in reversed(levels) for _ in range(3)
    ]
    for question_id in record.question_ids[:4]:  # of two of three concepts
        operations.answer(record, question_id, {"option": "right"}, shown_at=now, now=now)
    again = operations.choose_questions(ana, choice, now=now)
    assert {each.id for each in again} == set(record.question_ids)
    assert [each.id for each in again] != list(record.question_ids)


def test_a_badge_stays_however_many_quizzes_come_after_it(
    operations: QuizOperations, ana: str, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quiz_operations, "LOOK_BACK", 1)
    won = QuizChoice(mode="challenge", concept="rank").to_json()
    record = operations.store.quizzes.start(
        ana, seed=1, question_ids=("q1",), choice=won, started_at=now - timedelta(days=2)
    )
    operations.answer(record, "q1", {"option": "right"}, shown_at=now, now=now - timedelta(days=2))
    for seed in range(2):
        operations.start(ana, QuizChoice(length=2, seed=seed), now=now)
    assert operations.count_badges(ana, now=now) == 1
