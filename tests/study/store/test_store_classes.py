"""Classes in the store: their steps, devices, names and keys, after a restart, and gone as a whole."""

from datetime import datetime, timedelta
from functools import partial

import pytest
from sqlalchemy import insert
from sqlalchemy.exc import IntegrityError

from study.base.errors import LearnerError
from study.base.settings import Settings
from study.store import Store, open_store
from study.store.class_records import ClassRecord, ClassRoom
from study.store.class_schema import CLASS_TABLES, class_rooms
from study.store.class_transaction import ClassTransaction, JoinJob
from tests.study.store.class_builders import VOTE, answer, counts, do, fill, job, join, send


def add_key(room: ClassRoom, now: datetime, transaction: ClassTransaction) -> None:
    transaction.add_key(room.id, f"hash-{room.id}", at=now)


def keep_progress(room: ClassRoom, transaction: ClassTransaction) -> None:
    transaction.keep_progress(room.id, 0, {"step": 1})


def test_two_presses_on_next_make_one_step(store: Store, room: ClassRoom, now: datetime) -> None:
    fill(store, room, now)
    press = [lambda t: t.append("room", "step", VOTE, after=1, at=now)] * 2
    first, second = store.classes.transact(press)
    assert first.number == 2
    assert isinstance(second, LearnerError)
    record = store.classes.read_record("123456")
    assert record is not None
    assert [event.number for event in record.events] == [1, 2]


def test_the_same_device_is_the_same_student(store: Store, room: ClassRoom, now: datetime) -> None:
    student = fill(store, room, now)
    [again, other] = do(
        store,
        join("room", "device-room", "Another Name", now),
        join("room", "device-2", "Calm Owl", now),
    )
    assert (again.id, again.name) == (student, "Amber Fox")
    assert other.number == 2


def test_a_class_is_there_after_a_restart(
    store: Store, settings: Settings, room: ClassRoom, now: datetime
) -> None:
    student = fill(store, room, now)
    send(store, answer(student, now))
    before = store.classes.read_record("123456")
    store.close()
    opened = open_store(settings.database_url)
    assert before is not None
    assert opened.classes.read_record("123456") == before
    assert [found.code for found in opened.classes.rooms()] == ["123456"]
    opened.close()


def test_a_deleted_class_leaves_nothing_and_its_neighbour_stays(
    store: Store, room: ClassRoom, now: datetime
) -> None:
    other = ClassRoom(**{**vars(room), "id": "other", "code": "654321"})
    for each in (room, other):
        student = fill(store, each, now)
        send(store, answer(student, now, answer_id=f"of-{each.id}"), each.id)
        do(store, partial(add_key, each, now), partial(keep_progress, each))
    assert set(counts(store).values()) == {2}
    do(store, lambda t: t.delete_room("room"))
    assert set(counts(store).values()) == {1}
    assert store.classes.read_record("123456") is None
    with pytest.raises(LearnerError, match="deleted"):
        do(store, lambda t: t.append("room", "step", VOTE, after=1, at=now))


def test_every_table_of_a_class_points_to_its_room() -> None:
    for table in CLASS_TABLES[1:]:
        assert any(key.column.table is class_rooms for key in table.foreign_keys), table.name


def test_names_go_after_their_time_and_on_request(store: Store, room: ClassRoom, now: datetime) -> None:
    fill(store, room, now)
    assert do(store, lambda t: t.forget_names(now=now + timedelta(days=29))) == [0]
    assert do(store, lambda t: t.forget_names(now=now + timedelta(days=30))) == [1]
    record = store.classes.read_record("123456")
    assert record is not None
    assert record.students[0].name == ""
    other = ClassRoom(**{**vars(room), "id": "other", "code": "654321"})
    fill(store, other, now)
    assert do(store, lambda t: t.forget_names(now=now, room_id="other")) == [1]


def test_revoked_keys_are_no_longer_live(store: Store, room: ClassRoom, now: datetime) -> None:
    fill(store, room, now)
    do(store, lambda t: t.add_key("room", "hash", at=now))
    assert store.classes.live_keys() == {"hash"}
    do(store, lambda t: t.revoke_keys("room", at=now))
    assert store.classes.live_keys() == set()


def test_deleting_a_profile_leaves_classes_alone(
    store: Store, room: ClassRoom, ana: str, now: datetime
) -> None:
    fill(store, room, now)
    store.profiles.erase(ana)
    assert counts(store)["class_students"] == 1


def test_a_room_needs_a_code_of_its_own(store: Store, room: ClassRoom, now: datetime) -> None:
    fill(store, room, now)
    with store.database.write() as connection, pytest.raises(IntegrityError):
        connection.execute(insert(class_rooms).values(**{**vars(room), "id": "x"}))


def test_devices_that_join_in_one_commit_have_numbers_and_names_of_their_own(
    store: Store, room: ClassRoom, now: datetime
) -> None:
    fill(store, room, now)

    def join(device: str, *names: str) -> JoinJob:
        return JoinJob(room_id="room", device=device, names=names, at=now)

    first, again, second, known = store.classes.transact(
        [
            join("d1", "Amber Fox", "Calm Owl"),  # the first name is taken
            join("d1", "Brave Seal"),
            join("d2", "Calm Owl", "Brave Seal"),
            join("device-room", "Brave Seal"),
        ]
    )
    assert first == again
    assert [(s.number, s.name) for s in (first, second, known)] == [
        (2, "Calm Owl"), (3, "Brave Seal"), (1, "Amber Fox"),
    ]  # fmt: skip


def test_another_process_reads_what_is_newer_than_what_it_knows(
    store: Store, room: ClassRoom, now: datetime
) -> None:
    student = fill(store, room, now)
    known = store.classes.read_record("123456")
    assert known is not None

    def newer(than: ClassRecord) -> ClassRecord:
        found = store.classes.read_changes("room", revision=than.room.revision, events=1, activities=1)
        assert found is not None
        return found

    nothing = newer(known)
    assert (nothing.room, nothing.students, nothing.answers) == (known.room, (), ())

    def refused(transaction: ClassTransaction) -> None:
        transaction.rename("room", student, "Changed")
        raise LearnerError("No.", do_next="Stop.")

    store.classes.transact([refused, job(answer(student, now))])
    found = newer(known)
    assert [each.id for each in found.answers] == ["a1"]
    assert (found.students, found.events, found.activities) == ((), (), ())
    do(store, lambda t: t.grade("room", "a1", {"rank": {"verdict": "covered"}}))
    do(store, partial(keep_progress, room), lambda t: t.forget_names(now=now, room_id="room"))
    later = newer(found)
    assert later.answers[0].graded is not None
    assert (later.students[0].name, dict(later.progress)) == ("", {0: {"step": 1}})
    assert newer(later).answers == ()
    do(store, lambda t: t.delete_room("room"))
    assert store.classes.read_changes("room", revision=0, events=0, activities=0) is None
