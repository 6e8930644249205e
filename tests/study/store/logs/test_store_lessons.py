"""What is kept of study modes and projects: appended, per profile, and gone with the profile."""

from datetime import datetime, timedelta

import pytest

from study.base.errors import LearnerError
from study.learner.study_modes import STUDY_MODES, find_last_mode, find_next_mode, list_states
from study.store import Store
from study.store.logs.lessons import Mark, ModeMark
from study.store.logs.projects import TEXT_LIMIT


def test_marks_are_kept_in_order_for_each_concept(store: Store, ana: str, now: datetime) -> None:
    store.lessons.mark(ana, "nf4", "learn", "opened", at=now)
    store.lessons.mark(ana, "qlora", "why", "opened", at=now)
    store.lessons.mark(ana, "nf4", "learn", "done", at=now)
    marks = store.lessons.marks(ana, "nf4")
    assert [(mark.mode, mark.mark, mark.at) for mark in marks] == [
        ("learn", "opened", now),
        ("learn", "done", now),
    ]
    assert len(store.lessons.marks(ana)) == 3
    ben = store.profiles.add("browser-of-ben", "Ben", now=now).id
    assert store.lessons.marks(ben) == []


def test_the_last_reading_place_counts(store: Store, ana: str, now: datetime) -> None:
    assert store.lessons.place(ana, "nf4", "learn") == 0
    for place in (2, 5, 3):
        store.lessons.stop_at(ana, "nf4", "learn", place, at=now)
    assert store.lessons.place(ana, "nf4", "learn") == 3
    assert store.lessons.place(ana, "nf4", "why") == 0


def test_project_entries_are_appended_and_never_too_long(store: Store, ana: str, now: datetime) -> None:
    store.projects.write(ana, "forgetting", "hypothesis", "It forgets.", at=now)
    store.projects.write(ana, "forgetting", "hypothesis", "It does not.", at=now + timedelta(minutes=1))
    entries = store.projects.entries(ana)["forgetting"]
    assert [entry.text for entry in entries] == ["It forgets.", "It does not."]
    with pytest.raises(LearnerError, match="Shorten it to at most 4,000"):
        store.projects.write(ana, "forgetting", "conclusion", "x" * (TEXT_LIMIT + 1), at=now)
    store.projects.write(ana, "forgetting", "conclusion", "x" * TEXT_LIMIT, at=now)


def test_a_deleted_profile_takes_its_marks_places_and_projects_with_it(
    store: Store, ana: str, now: datetime
) -> None:
    store.lessons.mark(ana, "nf4", "learn", "opened", at=now)
    store.lessons.stop_at(ana, "nf4", "learn", 2, at=now)
    store.projects.write(ana, "forgetting", "hypothesis", "It forgets.", at=now)
    store.profiles.erase(ana)
    assert store.lessons.marks(ana) == []
    assert store.lessons.place(ana, "nf4", "learn") == 0
    assert store.projects.entries(ana) == {}


def test_a_row_of_modes_is_derived_from_marks_and_what_is_proven(now: datetime) -> None:
    given: tuple[tuple[str, Mark], ...] = (
        ("learn", "opened"),
        ("learn", "done"),
        ("try", "done"),
        ("deep", "opened"),
    )
    marks = [ModeMark(concept_id="nf4", mode=mode, mark=mark, at=now) for mode, mark in given]
    row = list_states(marks, minutes=dict.fromkeys(STUDY_MODES, 3), shown_done=["challenge"])
    assert {state.mode: state.status for state in row if state.status != "new"} == {
        "learn": "read",
        "deep": "opened",
        "challenge": "done",
        "try": "done",
    }
    assert [state.mode for state in row] == list(STUDY_MODES)
    assert find_last_mode(marks) == "deep"
    following = find_next_mode(row, "why")
    assert following is not None
    assert following.mode == "deep"
    assert find_next_mode(row, "project") is None
