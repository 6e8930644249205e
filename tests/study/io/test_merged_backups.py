"""A backup that comes to a profile with rows of its own, or whose rows contradict each other."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from flashcards.scheduling.scheduler import DEFAULT_PARAMETERS
from study.io.exchange import ImportReport
from study.store import Store
from study.store import schema as t
from study.store.logs.fits import ParameterFit
from study.store.logs.own_prompts import OwnPrompt
from study.store.logs.preferences import Preferences, check_preference
from study.store.logs.quizzes import QuizAnswer
from tests.study.io.test_backup import backup_of, rate, restore

MONDAY = datetime(2026, 3, 2, 10, 0, tzinfo=UTC)
WEDNESDAY = MONDAY + timedelta(days=2)


@pytest.fixture
def ben(other: Store) -> str:
    """The learner of the other machine."""
    return other.profiles.add("browser", "Ben", now=MONDAY).id


def reasons_of(report: ImportReport) -> list[str]:
    return [reason for group in report.groups for reason, _ in group.reasons]


def restore_rows(store: Store, profile_id: str, home: Path, **tables: list[dict[str, Any]]) -> ImportReport:
    document = json.loads(backup_of(store, profile_id, home))
    document["tables"] = tables
    return restore(store, profile_id, home, json.dumps(document).encode())


def own_prompt(text: str, id: str = "") -> OwnPrompt:
    return OwnPrompt(id=id, text=text, hint="", concepts=("a: b",))


# ---- the newer one counts


def test_what_an_older_machine_wrote_does_not_replace_what_is_newer_here(
    store: Store,
    ana: str,
    other: Store,
    ben: str,
    tmp_path: Path,
) -> None:
    prompt = store.own_prompts.save(ana, own_prompt("first"), at=MONDAY)
    restore(other, ben, tmp_path / "there", backup_of(store, ana, tmp_path))
    other.own_prompts.save(ben, own_prompt("of Monday", prompt), at=MONDAY)
    store.own_prompts.save(ana, own_prompt("of Wednesday", prompt), at=WEDNESDAY)
    for at, there, who in ((MONDAY, other, ben), (WEDNESDAY, store, ana)):
        there.drafts.save(who, "explain:x", f"draft of {at:%A}", at=at)
        there.lessons.stop_at(who, "nf4", "learn", at.day, at=at)
        there.card_operations.append(who, "suspend" if there is other else "resume", "card", at=at)
        there.fits.append(who, fit_of(at))
        there.projects.write(who, "rank", "hypothesis", f"{at:%A}", at=at)

    report = restore(store, ana, tmp_path, backup_of(other, ben, tmp_path))

    assert reasons_of(report) == ["what you have here is newer"] * 2
    assert [found.text for found in store.own_prompts.all(ana)] == ["of Wednesday"]
    assert store.drafts.read(ana, "explain:x") == "draft of Wednesday"
    assert store.lessons.place(ana, "nf4", "learn") == WEDNESDAY.day
    assert [verb.name for verb in store.card_operations.live(ana, ["suspend", "resume"])] == [
        "suspend",
        "resume",
    ]
    newest = store.fits.newest(ana)
    assert newest is not None
    assert newest.fitted_at == WEDNESDAY
    assert [entry.text for entry in store.projects.entries(ana)["rank"]] == ["Monday", "Wednesday"]


def fit_of(at: datetime) -> ParameterFit:
    measures = {"log_loss": 0.3, "rmse_bins": 0.1, "auc": None}
    return ParameterFit(
        fitted_at=at,
        reviews=600,
        held_out=100,
        parameters=tuple(DEFAULT_PARAMETERS),
        before=measures,
        after=measures,
        kept=True,
    )


def test_what_a_newer_machine_wrote_replaces_what_is_older_here(
    store: Store,
    ana: str,
    other: Store,
    ben: str,
    tmp_path: Path,
) -> None:
    store.drafts.save(ana, "explain:x", "older", at=MONDAY)
    other.drafts.save(ben, "explain:x", "newer", at=WEDNESDAY)
    restore(store, ana, tmp_path, backup_of(other, ben, tmp_path))
    assert store.drafts.read(ana, "explain:x") == "newer"


def test_undo_takes_back_what_was_done_last_and_not_what_came_with_a_backup(
    store: Store,
    ana: str,
    other: Store,
    ben: str,
    tmp_path: Path,
) -> None:
    rate(other, ben, "older", MONDAY)
    rate(store, ana, "newer", WEDNESDAY)
    restore(store, ana, tmp_path, backup_of(other, ben, tmp_path))
    last = store.card_operations.last(ana)
    assert last is not None
    assert last.subject == "newer"
    assert store.card_operations.undo(ana, expected_id=last.id, undone_at=WEDNESDAY).subject == "newer"
    undone = store.card_operations.just_undone(ana)
    assert undone is not None
    assert undone.subject == "newer"
    assert [review.card_id for review in store.cards.history(ana)] == ["older"]


# ---- rows that contradict each other


def test_a_setting_that_is_there_twice_is_taken_once(store: Store, ana: str, tmp_path: Path) -> None:
    twice = [{"name": "new_cards_a_day", "value": value} for value in (5, 6)]
    report = restore_rows(store, ana, tmp_path, preferences=twice)
    assert reasons_of(report) == ["another one has its name"]
    assert store.preferences.read(ana).new_cards_a_day == 5


def test_two_answers_to_one_question_of_a_new_quiz_are_one(
    store: Store,
    ana: str,
    other: Store,
    ben: str,
    tmp_path: Path,
) -> None:
    quiz = store.quizzes.start(ana, seed=1, question_ids=("q",), choice={}, started_at=MONDAY)
    answer = QuizAnswer(question_id="q", option="a", correct=True, answered_at=MONDAY, duration_ms=1)
    store.quizzes.append(quiz.id, answer)
    document = json.loads(backup_of(store, ana, tmp_path))
    [given] = document["tables"]["answers"]
    document["tables"]["answers"].append({**given, "id": 99, "duration_ms": 2})
    report = restore(other, ben, tmp_path, json.dumps(document).encode())
    assert reasons_of(report) == ["another one is in its place"]
    assert len(other.quizzes.history(ben)) == 1


def test_two_quizzes_of_one_number_are_one(
    store: Store,
    ana: str,
    other: Store,
    ben: str,
    tmp_path: Path,
) -> None:
    store.quizzes.start(ana, seed=1, question_ids=("q",), choice={}, started_at=MONDAY)
    document = json.loads(backup_of(store, ana, tmp_path))
    [given] = document["tables"]["quiz_sessions"]
    document["tables"]["quiz_sessions"].append({**given, "seed": 2})
    report = restore(other, ben, tmp_path, json.dumps(document).encode())
    assert reasons_of(report) == ["another one has its number"]
    assert [quiz.seed for quiz in other.quizzes.latest(ben)] == [1]


# ---- values that pages or a database can't read


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("new_cards_a_day", 2.5),
        ("reviews_a_day", True),
        ("day_begins_hour", 4.0),
        ("shortcuts", "yes"),
        ("shortcuts", 1),
        ("time_zone", []),
        ("card_order", None),
        ("desired_retention", True),
    ],
)
def test_a_setting_of_the_wrong_form_is_left_out(
    store: Store, ana: str, tmp_path: Path, name: str, value: object
) -> None:
    assert check_preference(name, value)
    report = restore_rows(store, ana, tmp_path, preferences=[{"name": name, "value": value}])
    assert report.counts["rejected"] == 1
    assert store.preferences.read(ana) == Preferences()


def test_a_setting_that_an_older_version_took_breaks_no_page(store: Store, ana: str) -> None:
    with store.database.write(ana) as connection:
        values = {"profile_id": ana, "name": "new_cards_a_day", "value": 2.5}
        connection.execute(t.preferences.insert().values(**values))
    assert store.preferences.read(ana) == Preferences()
    assert store.preferences.change(ana, new_cards_a_day=3).new_cards_a_day == 3


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        ("task_attempts", "response", [1]),
        ("task_attempts", "response", "x"),
        ("task_attempts", "seed", 2**31),
        ("reading_places", "place", -(2**31)),
        ("reading_places", "place", 2**40),
    ],
)
def test_a_value_that_pages_or_postgresql_can_not_take_is_left_out(
    store: Store, ana: str, tmp_path: Path, table: str, column: str, value: object
) -> None:
    rows: dict[str, dict[str, Any]] = {
        "task_attempts": {"id": 1, "task_id": "x", "seed": 0, "response": {}, "correct": True},
        "reading_places": {"concept_id": "nf4", "mode": "learn", "place": 1},
    }
    row = {**rows[table], "at": MONDAY.isoformat()}
    report = restore_rows(store, ana, tmp_path, **{table: [{**row, column: value}]})
    assert reasons_of(report) == [f"{column} can't be {value!r}"]
    assert restore_rows(store, ana, tmp_path, **{table: [row]}).counts["new"] == 1
