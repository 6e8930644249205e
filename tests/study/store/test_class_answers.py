"""Answers of a class in the store: each is kept once, a correction takes its place, closed rounds refuse."""

import threading
from datetime import datetime, timedelta

import pytest

from study.base.errors import LearnerError
from study.store import Store
from study.store.class_records import ClassRoom
from study.store.class_transaction import ClassTransaction
from tests.study.store.class_builders import VOTE, answer, change, counts, do, fill, job, join, send


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
    record = store.classes.read_record(room.code)
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
    record = store.classes.read_record(room.code)
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
    record = store.classes.read_record(room.code)
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


def test_a_refused_write_leaves_its_neighbours_stored(store: Store, room: ClassRoom, now: datetime) -> None:
    student = fill(store, room, now)

    def refused(transaction: ClassTransaction) -> None:
        transaction.rename("room", student, "Changed")
        raise LearnerError("No.", do_next="Stop.")

    results = store.classes.transact([refused, job(answer(student, now))])
    assert isinstance(results[0], LearnerError)
    record = store.classes.read_record("123456")
    assert record is not None
    assert (record.students[0].name, len(record.answers)) == ("Amber Fox", 1)


def test_any_other_failure_stores_nothing_of_the_batch(store: Store, room: ClassRoom, now: datetime) -> None:
    student = fill(store, room, now)

    def broken(_: ClassTransaction) -> None:
        raise RuntimeError("disk")

    with pytest.raises(RuntimeError, match="disk"):
        store.classes.transact([job(answer(student, now)), broken])
    assert counts(store)["class_answers"] == 0


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
    record = store.classes.read_record("123456")
    assert record is not None
    assert {a.id: a.claim for a in record.answers} == {"a1": "cell-1", "b1": "cell-2"}
