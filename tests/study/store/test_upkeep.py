"""What the app does by itself every hour, and what its owner is told when that fails."""

import time
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import insert

from study.base.errors import StorageError
from study.base.owner_log import FILE, OwnerLog
from study.store import Store
from study.store import schema as t
from study.store.snapshots import Snapshots
from study.store.upkeep import GUESTS_KEPT, do_due_upkeep

MONTH = GUESTS_KEPT + timedelta(minutes=1)


def names(store: Store) -> list[str]:
    return [profile.name for profile in store.profiles.all()]


def test_guests_who_never_did_anything_go_after_a_month(store: Store, now: datetime, ana: str) -> None:
    idle = [store.profiles.open_for_browser(f"idle-{number}", now=now) for number in range(250)]
    store.preferences.change(idle[0].id, time_zone="Asia/Tokyo")  # which the app writes by itself
    do_due_upkeep(store.profiles, None, now=now + timedelta(days=29))
    assert len(names(store)) == 251
    do_due_upkeep(store.profiles, None, now=now + MONTH)
    assert names(store) == ["Ana"]
    again = store.profiles.open_for_browser("idle-0", now=now + MONTH)
    assert again.id != idle[0].id
    assert store.preferences.read(again.id).time_zone != "Asia/Tokyo"


def test_a_guest_who_did_anything_or_came_lately_stays(store: Store, now: datetime) -> None:
    def prefer(guest: str) -> None:
        store.preferences.change(guest, shortcuts=False)

    def draft(guest: str) -> None:
        store.drafts.save(guest, "explain:x", "half a thought", at=now)

    def explain(guest: str) -> None:
        store.explains.submit(guest, "p", "A thought.", at=now)

    def join_lately(guest: str) -> None:
        store.profiles.switch("their phone", guest, now=now + timedelta(days=20))

    deeds: list[Callable[[str], None]] = [prefer, draft, explain, join_lately]
    for number, deed in enumerate(deeds):
        deed(store.profiles.open_for_browser(f"b{number}", now=now).id)
    young = store.profiles.open_for_browser("young", now=now + timedelta(days=20))
    store.profiles.open_for_browser("idle", now=now)
    before = set(names(store))
    do_due_upkeep(store.profiles, None, now=now + MONTH)
    assert len(before - set(names(store))) == 1
    assert len(names(store)) == 5
    assert young.name in names(store)


def test_a_guest_who_acts_while_others_are_removed_stays(
    store: Store, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    guests = [store.profiles.open_for_browser(f"b{number}", now=now) for number in range(2)]
    write = store.database.write

    def act_first() -> object:
        monkeypatch.setattr(store.database, "write", write)
        store.explains.submit(guests[1].id, "p", "Just now.", at=now)
        return write()

    monkeypatch.setattr(store.database, "write", act_first)
    assert store.profiles.remove_idle_guests(before=now + MONTH) == 1
    assert [profile.id for profile in store.profiles.all()] == [guests[1].id]


def test_a_guest_is_named_without_reading_the_others(store: Store, now: datetime) -> None:
    def insert_guests(count: int, first: int) -> None:
        rows = [
            {"id": f"{number:032}", "name": f"Guest learner {number}", "named": False, "created_at": now}
            for number in range(first, first + count)
        ]
        with store.database.write() as connection:
            connection.execute(insert(t.profiles), rows)

    def seconds(name: str) -> float:
        begun = time.perf_counter()
        for number in range(10):
            store.profiles.open_for_browser(f"{name}-{number}", now=now)
        return time.perf_counter() - begun

    assert store.profiles.open_for_browser("first", now=now).name == "Guest learner"
    seconds("warm")
    insert_guests(10, 0)
    few = min(seconds(f"few-{turn}") for turn in range(5))
    insert_guests(30_000, 100)
    assert min(seconds(f"many-{turn}") for turn in range(5)) < 5 * few
    assert store.profiles.open_for_browser("many-0-0", now=now).name.startswith("Guest learner ")


def test_a_failed_backup_is_noted_and_told_until_one_succeeds(
    store: Store, tmp_path: Path, now: datetime, monkeypatch: pytest.MonkeyPatch
) -> None:
    snapshots = Snapshots(tmp_path / "study.sqlite3", tmp_path)
    log = OwnerLog(tmp_path)
    with monkeypatch.context() as broken:
        for error, said in (
            (StorageError("full"), "The disk is full"),
            (OSError(5, "I/O error"), "I/O error"),
        ):

            def fail(reason: str, *, now: datetime, error: Exception = error) -> None:
                raise error

            broken.setattr(snapshots, "make_if_due", fail)
            do_due_upkeep(store.profiles, snapshots, now=now)
            assert said in snapshots.problem
    assert "The daily backup was not made" in (tmp_path / FILE).read_text("utf-8")
    monkeypatch.setattr(snapshots, "make_if_due", lambda reason, *, now: None)
    do_due_upkeep(store.profiles, snapshots, now=now)
    assert snapshots.problem == ""
    log.close()


def test_removing_guests_ends_when_the_app_closes(store: Store, now: datetime) -> None:
    for number in range(50):
        store.profiles.open_for_browser(f"idle-{number}", now=now)
    asked = iter([False, True])
    assert store.profiles.remove_idle_guests(before=now + MONTH, stop=lambda: next(asked)) == 20
    assert len(names(store)) == 30
