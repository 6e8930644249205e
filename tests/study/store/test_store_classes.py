"""Classes in the store: an answer is stored once, closed rounds refuse, a class goes as a whole."""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Any

import pytest
from sqlalchemy import func, insert, select
from sqlalchemy.exc import IntegrityError

from classroom.activities.room import open_round
from study.base.errors import LearnerError
from study.base.settings import Settings
from study.store import Store, open_store
from study.store.class_records import ClassAnswer, ClassRecord, ClassRoom, RecordedAnswer
from study.store.class_schema import CLASS_TABLES, class_rooms
from study.store.class_transaction import AnswerJob, ClassTransaction, JoinJob

VOTE = {"position": 0, "phase": "vote"}


@pytest.fixture
def room(now: datetime) -> ClassRoom:
    return ClassRoom(
        id="room",
        code="123456",
        plan_id="opener",
        title="Opener",
        options={"names": "drawn"},
        opened_at=now,
        names_until=now + timedelta(days=30),
    )


def do(store: Store, *jobs: Callable[[ClassTransaction], Any]) -> list[Any]:
    results = store.classes.transact(jobs)
    for result in results:
        if isinstance(result, LearnerError):
            raise result
    return results


def fill(store: Store, room: ClassRoom, now: datetime) -> str:
    """A room in its first vote with one student; returns the student's id."""
    [_, _, student] = do(
        store,
        lambda t: t.open_room(room, [{"kind": "talk"}]),
        lambda t: t.append(room.id, "step", VOTE, after=0, at=now),
        join(room.id, f"device-{room.id}", "Amber Fox", now),
    )
    return str(student.id)


def answer(student: str, now: datetime, *, answer_id: str = "a1", option: str = "right") -> ClassAnswer:
    return ClassAnswer(
        id=answer_id,
        student_id=student,
        position=0,
        round=1,
        value={"option": option},
        confidence="sure",
        at=now,
    )


def job(given: ClassAnswer, *claims: str, room_id: str = "room") -> AnswerJob:
    return AnswerJob(room_id=room_id, answer=given, open_at=open_round, claims=claims)


def change(given: ClassAnswer, earlier: str, *claims: str) -> AnswerJob:
    return replace(job(given, *claims), replaces=earlier)


def join(room_id: str, device: str, name: str, now: datetime) -> JoinJob:
    return JoinJob(room_id=room_id, device=device, names=(name,), at=now)


def send(store: Store, given: ClassAnswer, room_id: str = "room") -> RecordedAnswer:
    [recorded] = do(store, job(given, room_id=room_id))
    assert isinstance(recorded, RecordedAnswer)
    return recorded


def add_key(room: ClassRoom, now: datetime, transaction: ClassTransaction) -> None:
    transaction.add_key(room.id, f"hash-{room.id}", at=now)


def keep_progress(room: ClassRoom, transaction: ClassTransaction) -> None:
    transaction.keep_progress(room.id, 0, {"step": 1})


def counts(store: Store) -> dict[str, int]:
    with store.database.read() as connection:
        return {
            table.name: connection.scalar(select(func.count()).select_from(table)) or 0
            for table in CLASS_TABLES
        }


def test_an_answer_sent_again_is_stored_once(store: Store, room: ClassRoom, now: datetime) -> None:
    student = fill(store, room, now)
    assert send(store, answer(student, now)).outcome == "stored"
    again = send(store, answer(student, now + timedelta(seconds=5), option="slip"))
    assert (again.outcome, again.answer) == ("repeated", answer(student, now))
    other = send(store, answer(student, now, answer_id="a2", option="slip"))
    assert (other.outcome, other.answer) == ("answered", answer(student, now))
    assert counts(store)["class_answers"] == 1


def test_a_correction_takes_the_place_of_the_answer_that_it_names(
    store: Store, room: ClassRoom, now: datetime
) -> None:
    student = fill(store, room, now)
    first, second = answer(student, now), answer(student, now, answer_id="a2", option="slip")
    third = answer(student, now, answer_id="a3", option="other")
    outcomes = [
        do(store, each)[0].outcome
        for each in (
            job(first),
            change(second, "a1"),
            change(second, "a1"),  # sent again
            job(first),  # sent again, after it was corrected
            change(third, "a1"),  # from a tab that has not seen the correction
            change(third, "a2"),
        )
    ]
    assert outcomes == ["stored", "stored", "repeated", "answered", "answered", "stored"]
    record = store.classes.record(room.code)
    assert record is not None
    assert record.answers == (third,)
    do(store, lambda t: t.append(room.id, "step", {"position": 0, "phase": "advice"}, after=None, at=now))
    [late] = do(store, change(first, "a3"))
    assert (late.outcome, late.answer) == ("late", third)


def test_a_first_answer_and_its_correction_in_one_commit_are_one_answer(
    store: Store, room: ClassRoom, now: datetime
) -> None:
    student = fill(store, room, now)
    first, second = answer(student, now), answer(student, now, answer_id="a2", option="slip")
    assert [each.outcome for each in do(store, job(first), change(second, "a1"))] == ["stored", "stored"]
    record = store.classes.record(room.code)
    assert record is not None
    assert record.answers == (second,)


def test_a_correction_gives_its_claim_back_and_takes_its_grade_away(
    store: Store, room: ClassRoom, now: datetime
) -> None:
    student = fill(store, room, now)
    [other] = do(store, join(room.id, "device-other", "Brave Crane", now))
    do(store, job(answer(student, now), "0/0/0"))
    do(store, lambda t: t.grade(room.id, "a1", {"frozen": {"verdict": "covered", "quote": None}}))
    moved, taken = answer(student, now, answer_id="a2"), answer(other.id, now, answer_id="b1")
    outcomes = do(store, change(moved, "a1", "0/1/0"), job(taken, "0/0/0"))
    assert [(each.outcome, each.answer.claim) for each in outcomes] == [
        ("stored", "0/1/0"),
        ("stored", "0/0/0"),
    ]
    [again] = do(store, change(answer(student, now, answer_id="a3"), "a2", "0/1/0"))
    assert again.answer.claim == "0/1/0"  # only the guess has changed
    do(store, lambda t: t.grade(room.id, "a1", {"frozen": {"verdict": "missing", "quote": None}}))
    record = store.classes.record(room.code)
    assert record is not None
    assert {each.id: each.graded for each in record.answers} == {"a3": None, "b1": None}


def test_another_students_answer_id_is_refused(store: Store, room: ClassRoom, now: datetime) -> None:
    student = fill(store, room, now)
    [second] = do(store, join("room", "device-2", "Calm Owl", now))
    send(store, answer(student, now))
    with pytest.raises(LearnerError, match="id is taken"):
        send(store, answer(second.id, now))


def test_an_answer_after_closing_is_late_and_not_stored(store: Store, room: ClassRoom, now: datetime) -> None:
    student = fill(store, room, now)
    do(store, lambda t: t.append("room", "step", {"position": 0, "phase": "advice"}, after=1, at=now))
    assert send(store, answer(student, now)).outcome == "late"
    do(store, lambda t: t.append("room", "step", VOTE, after=2, at=now))
    do(store, lambda t: t.append("room", "lock", {"on": True}, after=3, at=now))
    assert send(store, answer(student, now)).outcome == "stored"
    do(store, lambda t: t.append("room", "end", {}, after=4, at=now))
    assert send(store, answer(student, now, answer_id="a3")).outcome == "answered"


def test_two_presses_on_next_make_one_step(store: Store, room: ClassRoom, now: datetime) -> None:
    fill(store, room, now)
    press = [lambda t: t.append("room", "step", VOTE, after=1, at=now)] * 2
    first, second = store.classes.transact(press)
    assert first.number == 2
    assert isinstance(second, LearnerError)
    record = store.classes.record("123456")
    assert record is not None
    assert [event.number for event in record.events] == [1, 2]


def test_a_refused_write_leaves_its_neighbours_stored(store: Store, room: ClassRoom, now: datetime) -> None:
    student = fill(store, room, now)

    def refused(transaction: ClassTransaction) -> None:
        transaction.rename("room", student, "Changed")
        raise LearnerError("No.", do_next="Stop.")

    results = store.classes.transact([refused, job(answer(student, now))])
    assert isinstance(results[0], LearnerError)
    record = store.classes.record("123456")
    assert record is not None
    assert (record.students[0].name, len(record.answers)) == ("Amber Fox", 1)


def test_any_other_failure_stores_nothing_of_the_batch(store: Store, room: ClassRoom, now: datetime) -> None:
    student = fill(store, room, now)

    def broken(_: ClassTransaction) -> None:
        raise RuntimeError("disk")

    with pytest.raises(RuntimeError, match="disk"):
        store.classes.transact([job(answer(student, now)), broken])
    assert counts(store)["class_answers"] == 0


def test_the_same_device_is_the_same_student(store: Store, room: ClassRoom, now: datetime) -> None:
    student = fill(store, room, now)
    [again, other] = do(
        store,
        join("room", "device-room", "Another Name", now),
        join("room", "device-2", "Calm Owl", now),
    )
    assert (again.id, again.name) == (student, "Amber Fox")
    assert other.number == 2


def test_threads_that_join_and_answer_at_once_lose_nothing(
    store: Store, room: ClassRoom, now: datetime
) -> None:
    fill(store, room, now)

    def play(number: int) -> None:
        [student] = do(store, join("room", f"d{number}", f"Name {number}", now))
        for _ in range(3):
            send(store, answer(student.id, now, answer_id=f"answer-{number}"))

    threads = [threading.Thread(target=play, args=(number,)) for number in range(12)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (counts(store)["class_students"], counts(store)["class_answers"]) == (13, 12)


def test_a_class_is_there_after_a_restart(
    store: Store, settings: Settings, room: ClassRoom, now: datetime
) -> None:
    student = fill(store, room, now)
    send(store, answer(student, now))
    before = store.classes.record("123456")
    store.close()
    opened = open_store(settings.database_url)
    assert before is not None
    assert opened.classes.record("123456") == before
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
    assert store.classes.record("123456") is None
    with pytest.raises(LearnerError, match="deleted"):
        do(store, lambda t: t.append("room", "step", VOTE, after=1, at=now))


def test_every_table_of_a_class_points_to_its_room() -> None:
    for table in CLASS_TABLES[1:]:
        assert any(key.column.table is class_rooms for key in table.foreign_keys), table.name


def test_names_go_after_their_time_and_on_request(store: Store, room: ClassRoom, now: datetime) -> None:
    fill(store, room, now)
    assert do(store, lambda t: t.forget_names(now=now + timedelta(days=29))) == [0]
    assert do(store, lambda t: t.forget_names(now=now + timedelta(days=30))) == [1]
    record = store.classes.record("123456")
    assert record is not None
    assert record.students[0].name == ""
    other = ClassRoom(**{**vars(room), "id": "other", "code": "654321"})
    fill(store, other, now)
    assert do(store, lambda t: t.forget_names(now=now, room_id="other")) == [1]


def test_revoked_keys_are_no_longer_live(store: Store, room: ClassRoom, now: datetime) -> None:
    fill(store, room, now)
    do(store, lambda t: t.add_key("room", "hash", at=now))
    assert store.classes.live_keys() == {"hash": "room"}
    do(store, lambda t: t.revoke_keys("room", at=now))
    assert store.classes.live_keys() == {}


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


def test_a_step_between_two_answers_of_one_commit_closes_the_round_for_the_second(
    store: Store, room: ClassRoom, now: datetime
) -> None:
    student = fill(store, room, now)
    [second] = do(store, join("room", "device-2", "Calm Owl", now))
    results = do(
        store,
        job(answer(student, now)),
        lambda t: t.append("room", "step", {"position": 0, "phase": "advice"}, after=1, at=now),
        job(answer(second.id, now, answer_id="a2")),
    )
    assert [results[0].outcome, results[2].outcome] == ["stored", "late"]


def test_answers_of_one_commit_are_judged_in_their_order(
    store: Store, room: ClassRoom, now: datetime
) -> None:
    ana = fill(store, room, now)
    [ben, cleo] = do(store, *(join("room", d, d, now) for d in ("ben", "cleo")))
    results = store.classes.transact(
        [
            job(answer(ana, now), "cell-1", "cell-2"),
            job(answer(ana, now)),  # sent twice
            job(answer(ana, now, answer_id="a2", option="slip")),
            job(answer(ben.id, now)),  # with an id of hers
            job(answer(ben.id, now, answer_id="b1"), "cell-1", "cell-2"),
            job(answer(cleo.id, now, answer_id="c1"), "cell-1", "cell-2"),
        ]
    )
    told = [each.do_next if isinstance(each, LearnerError) else each.outcome for each in results]
    assert told[:3] == ["stored", "repeated", "answered"]
    assert told[3].startswith("Reload")
    assert (told[4], told[5]) == ("stored", "Choose another one.")
    record = store.classes.record("123456")
    assert record is not None
    assert {a.id: a.claim for a in record.answers} == {"a1": "cell-1", "b1": "cell-2"}


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
    known = store.classes.record("123456")
    assert known is not None

    def newer(than: ClassRecord) -> ClassRecord:
        found = store.classes.changes("room", revision=than.room.revision, events=1, activities=1)
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
    assert store.classes.changes("room", revision=0, events=0, activities=0) is None
