"""The log of live classes: rooms, what their teacher did, who joined, and what each student answered.

All writes of a moment go into one transaction (`transact`), so that two hundred answers cost a few commits.
An answer's outcome is reported after the commit, never before. Each transaction that changes a
room counts its revision up and marks the rows it changed: other processes read only those (`changes`).
"""

from collections.abc import Callable, Sequence
from itertools import groupby
from typing import Any, cast

from sqlalchemy import Connection, func, select

from study.base.errors import LearnerError
from study.store import class_schema as t
from study.store.class_records import ClassAnswer, ClassEvent, ClassRecord, ClassRoom, ClassStudent
from study.store.class_transaction import AnswerJob, ClassTransaction, JoinJob
from study.store.database import AdvisoryLock, StoreLog, read_row, wait_for_turn


class ClassLog(StoreLog):
    """Classes, in one database for all processes."""

    def transact(self, jobs: Sequence[Callable[[ClassTransaction], Any]]) -> list[Any]:
        """Do several writes in one transaction and return their results after the commit.

        A job that raises LearnerError is undone by itself, and the error is its result. Any other exception
        undoes all of them and is raised.
        """
        results: list[Any] = []
        with self._database.write() as connection:
            # In any number of processes: a vote that reads an open round is committed before the step that
            # closes it, and nothing deadlocks.
            wait_for_turn(connection, AdvisoryLock.CLASSES)
            transaction = ClassTransaction(connection)
            for kind, alike in groupby(jobs, key=type):
                if kind is AnswerJob:
                    results += transaction.answer_all(cast(list[AnswerJob], list(alike)))
                elif kind is JoinJob:
                    results += transaction.join_all(cast(list[JoinJob], list(alike)))
                else:
                    results += [_do_or_undo(connection, transaction, job) for job in alike]
        return results

    def rooms(self) -> list[ClassRoom]:
        wanted = select(t.class_rooms).order_by(t.class_rooms.c.opened_at.desc(), t.class_rooms.c.id)
        return [read_row(ClassRoom, row) for row in self._read_rows(wanted)]

    def list_ended_rooms(self) -> set[str]:
        """The ids of the classes that have ended and were not led on since."""
        events = t.class_events.c
        of_course = select(events.room_id, func.max(events.number).label("number"))
        last = of_course.where(events.kind.in_(("step", "end"))).group_by(events.room_id).subquery()
        wanted = (
            select(events.room_id)
            .join(last, (events.room_id == last.c.room_id) & (events.number == last.c.number))
            .where(events.kind == "end")
        )
        return {row.room_id for row in self._read_rows(wanted)}

    def read_record(self, code: str) -> ClassRecord | None:
        rooms = t.class_rooms
        with self._database.read() as connection:
            row = connection.execute(select(rooms).where(rooms.c.code == code)).first()
            return None if row is None else _read_record(connection, read_row(ClassRoom, row))

    def read_changes(
        self, room_id: str, *, revision: int, events: int, activities: int
    ) -> ClassRecord | None:
        """Read what is newer than a revision and so many events and activities; None: it is deleted."""
        rooms = t.class_rooms
        with self._database.read() as connection:
            row = connection.execute(select(rooms).where(rooms.c.id == room_id)).first()
            if row is None:
                return None
            room = read_row(ClassRoom, row)
            if room.revision == revision:
                return ClassRecord(room=room, activities=(), events=(), students=(), answers=(), progress={})
            return _read_record(connection, room, revision=revision, events=events, activities=activities)

    def live_keys(self) -> set[str]:
        """The hashes of the keys that are not revoked."""
        keys = t.class_keys.c
        return {row.hash for row in self._read_rows(select(keys.hash).where(keys.revoked_at.is_(None)))}


def _do_or_undo(
    connection: Connection, transaction: ClassTransaction, job: Callable[[ClassTransaction], Any]
) -> Any:
    try:
        with connection.begin_nested():
            return job(transaction)
    except LearnerError as error:
        transaction.forget_job()
        return error


def _read_record(
    connection: Connection, room: ClassRoom, *, revision: int = -1, events: int = 0, activities: int = 0
) -> ClassRecord:
    """What is newer than the given numbers."""

    def select_newer(table: Any, newer: Any, *order: Any) -> Any:
        wanted = select(table).where(table.c.room_id == room.id, newer).order_by(*order)
        return connection.execute(wanted)

    plan, log, students, answers = t.class_activities, t.class_events, t.class_students, t.class_answers
    progress = t.class_progress
    return ClassRecord(
        room=room,
        activities=tuple(
            row.spec for row in select_newer(plan, plan.c.position >= activities, plan.c.position)
        ),
        events=tuple(
            read_row(ClassEvent, row) for row in select_newer(log, log.c.number > events, log.c.number)
        ),
        students=tuple(
            read_row(ClassStudent, row, name=row.name or "")  # none once names are deleted
            for row in select_newer(students, students.c.revision > revision, students.c.number)
        ),
        answers=tuple(
            read_row(ClassAnswer, row)
            for row in select_newer(answers, answers.c.revision > revision, answers.c.at, answers.c.id)
        ),
        progress={
            row.position: row.value
            for row in select_newer(progress, progress.c.revision > revision, progress.c.position)
        },
        first_activity=activities,
    )
