"""Rooms with a student, answers and joins, written to a store for its tests."""

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from typing import Any

from sqlalchemy import func, select

from classroom.activities.room import open_round
from study.base.errors import LearnerError
from study.store import Store
from study.store.class_records import ClassAnswer, ClassRoom, RecordedAnswer
from study.store.class_schema import CLASS_TABLES
from study.store.class_transaction import AnswerJob, ClassTransaction, JoinJob

VOTE = {"position": 0, "phase": "vote"}


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


def counts(store: Store) -> dict[str, int]:
    with store.database.read() as connection:
        return {
            table.name: connection.scalar(select(func.count()).select_from(table)) or 0
            for table in CLASS_TABLES
        }
