"""What can be written of a live class, in one transaction."""

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from itertools import groupby
from typing import Any

from sqlalchemy import Connection, delete, func, insert, select, update

from study.base.errors import LearnerError
from study.store import class_schema as t
from study.store.class_records import ClassAnswer, ClassEvent, ClassRoom, ClassStudent, RecordedAnswer
from study.store.database import read_row

LEADS_ON = ("step", "withdraw", "end")
"""Kinds of events after which a class is elsewhere."""

_ANSWER_COLUMNS = ("id", "student_id", "position", "round", "confidence", "claim", "at", "revision")


@dataclass(frozen=True, kw_only=True)
class JoinJob:
    """Return a device's student; the first of `names` that is free is the name of a new one."""

    room_id: str
    device: str
    names: tuple[str, ...]
    at: datetime

    def __call__(self, transaction: "ClassTransaction") -> ClassStudent:
        """Do it alone; `transact` does many at once."""
        return transaction.join_all([self])[0]


@dataclass(frozen=True, kw_only=True)
class AnswerJob:
    """Store an answer. The first of `claims` that nobody else has is this student's."""

    room_id: str
    answer: ClassAnswer
    open_at: Callable[[Any], tuple[int, int]]
    """Gives the (position, round) that a room's last step opens."""

    claims: tuple[str, ...] = ()
    replaces: str = ""
    """The id of the student's earlier answer to the round, which this one corrects."""

    def __call__(self, transaction: "ClassTransaction") -> RecordedAnswer:
        """Do it alone; `transact` does many at once.

        Raises LearnerError when the id or all that it claims is taken.
        """
        [recorded] = transaction.answer_all([self])
        if isinstance(recorded, LearnerError):
            raise recorded
        return recorded


class ClassTransaction:
    """What can be written. Each method raises LearnerError when it changes nothing."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._steps: dict[str, Any] = {}
        self._revisions: dict[str, int] = {}
        self._taken: dict[tuple[str, int], set[str]] = {}

    def forget_job(self) -> None:
        """Forget what an undone job did."""
        self._steps.clear()
        self._revisions.clear()
        self._taken.clear()

    def _raise_revision(self, room_id: str) -> int:
        """Raise the revision of a room, once per transaction, and return it."""
        if room_id not in self._revisions:
            rooms = t.class_rooms
            counted = (
                update(rooms)
                .where(rooms.c.id == room_id)
                .values(revision=rooms.c.revision + 1)
                .returning(rooms.c.revision)
            )
            self._revisions[room_id] = self._connection.scalar(counted) or 0
        return self._revisions[room_id]

    def read_codes(self) -> set[str]:
        """Return the codes that are in use; nobody takes another one until this transaction ends."""
        return set(self._connection.scalars(select(t.class_rooms.c.code)))

    def open_room(self, room: ClassRoom, activities: Sequence[Mapping[str, Any]]) -> None:
        """Add a room with its activities. The caller draws a code that is free."""
        values = vars(room) | {"options": dict(room.options)}
        self._connection.execute(insert(t.class_rooms).values(**values))
        rows = [
            {"room_id": room.id, "position": position, "spec": dict(spec)}
            for position, spec in enumerate(activities)
        ]
        self._connection.execute(insert(t.class_activities), rows)

    def set_options(self, room_id: str, options: Mapping[str, Any]) -> None:
        rooms = t.class_rooms
        self._raise_revision(room_id)
        self._connection.execute(update(rooms).where(rooms.c.id == room_id).values(options=dict(options)))

    def check_last(self, room_id: str, after: int | None) -> int:
        """Return the number of a room's last event.

        Raises LearnerError when the class was led on since the event that the teacher saw last, or when
        the room is deleted. An event of another kind, such as a measured value, refuses no step.
        """
        events, rooms = t.class_events.c, t.class_rooms.c
        if self._connection.scalar(select(rooms.id).where(rooms.id == room_id)) is None:
            raise LearnerError("This class is deleted.", do_next="Start another one at /class.")
        last = self._connection.scalar(select(func.max(events.number)).where(events.room_id == room_id)) or 0
        led_on = select(func.max(events.number)).where(events.room_id == room_id, events.kind.in_(LEADS_ON))
        if after is not None and (self._connection.scalar(led_on) or 0) > after:
            raise LearnerError(
                "The class has moved on.", do_next="Look at where it is now, then choose again."
            )
        return last

    def append(
        self, room_id: str, kind: str, value: Mapping[str, Any], *, after: int | None, at: datetime
    ) -> ClassEvent:
        """Append an event after the one that the teacher saw last, so that two clicks on Next make one step.

        None appends it wherever the room is. Raises LearnerError when the room has moved on, or is deleted.
        """
        last = self.check_last(room_id, after)
        self._steps.pop(room_id, None)
        self._raise_revision(room_id)
        event = ClassEvent(number=last + 1, kind=kind, value=dict(value), at=at)
        self._connection.execute(insert(t.class_events).values(room_id=room_id, **vars(event)))
        return event

    def join_all(self, jobs: "Sequence[JoinJob]") -> list[ClassStudent]:
        """Return the student of each device; the statements are few, however many join."""
        students = t.class_students.c
        results: list[ClassStudent] = []
        for room_id, of_room in groupby(jobs, key=lambda job: job.room_id):
            joining = list(of_room)
            wanted = select(t.class_students).where(
                students.room_id == room_id, students.device.in_([job.device for job in joining])
            )
            rows_here = self._connection.execute(wanted)
            known = {row.device: read_row(ClassStudent, row, name=row.name or "") for row in rows_here}
            fresh = [job for job in joining if job.device not in known]
            drawn = [name for job in fresh for name in job.names]
            named = select(students.name).where(students.room_id == room_id, students.name.in_(drawn))
            taken = set(self._connection.scalars(named)) if fresh else set()
            counted = select(func.max(students.number)).where(students.room_id == room_id)
            last = (self._connection.scalar(counted) or 0) if fresh else 0
            rows = []
            for job in fresh:
                if job.device in known:  # twice in one transaction
                    continue
                name = next((each for each in job.names if each not in taken), job.names[0])
                taken.add(name)
                last += 1
                student = ClassStudent(
                    id=uuid.uuid4().hex, device=job.device, number=last, name=name, joined_at=job.at
                )
                known[job.device] = student
                rows.append({**vars(student), "room_id": room_id, "revision": self._raise_revision(room_id)})
            if rows:
                self._connection.execute(insert(t.class_students), rows)
            results += [known[job.device] for job in joining]
        return results

    def rename(self, room_id: str, student_id: str, name: str) -> None:
        """Raises LearnerError when someone else in the room has that name, perhaps since a moment ago."""
        students = t.class_students
        others = select(students.c.name).where(
            students.c.room_id == room_id, students.c.id != student_id, students.c.name.is_not(None)
        )
        if name.lower() in {other.lower() for other in self._connection.scalars(others)}:
            raise LearnerError("Someone in this class has that name.", do_next="Choose another one.")
        changed = {"name": name, "revision": self._raise_revision(room_id)}
        self._connection.execute(update(students).where(students.c.id == student_id).values(**changed))

    def add_activity(self, room_id: str, spec: Mapping[str, Any]) -> int:
        """Add an activity behind those of the plan and return its position."""
        activities = t.class_activities.c
        last = self._connection.scalar(
            select(func.max(activities.position)).where(activities.room_id == room_id)
        )
        position = 0 if last is None else last + 1
        self._raise_revision(room_id)
        row = {"room_id": room_id, "position": position, "spec": dict(spec)}
        self._connection.execute(insert(t.class_activities).values(**row))
        return position

    def answer_all(self, jobs: "Sequence[AnswerJob]") -> "list[RecordedAnswer | LearnerError]":
        """Store each answer unless it is stored already or its round is closed.

        A correction replaces the answer that it names, and no other: sent again, or overtaken by
        another correction, it changes nothing.

        Whether a round is open is read in the same transaction: a vote that the teacher closed a moment ago
        is late, whatever this process remembers. The statements are few, however many answer.
        """
        answers = t.class_answers.c
        given = [job.answer for job in jobs]
        wanted = select(t.class_answers).where(
            answers.id.in_([answer.id for answer in given])
            | (
                answers.student_id.in_({answer.student_id for answer in given})
                & answers.position.in_({answer.position for answer in given})
                & answers.round.in_({answer.round for answer in given})
            )
        )
        stored = [read_row(ClassAnswer, row) for row in self._connection.execute(wanted)]
        by_id = {answer.id: answer for answer in stored}
        by_round = {_identify_round(answer): answer for answer in stored}
        results: list[RecordedAnswer | LearnerError] = []
        fresh: dict[str, dict[str, Any]] = {}
        for job in jobs:
            made = self._judge(job, by_id, by_round)
            if isinstance(made, RecordedAnswer) and made.outcome == "stored" and made.answer is not None:
                answer = replace(made.answer, revision=self._raise_revision(job.room_id))
                made = RecordedAnswer(outcome="stored", answer=answer)
                earlier = by_round.get(_identify_round(answer))
                by_id[answer.id] = by_round[_identify_round(answer)] = answer
                row: dict[str, Any] = {name: getattr(answer, name) for name in _ANSWER_COLUMNS}
                row |= {"room_id": job.room_id, "value": dict(answer.value)}
                if earlier is not None:
                    del by_id[earlier.id]
                if earlier is None or fresh.pop(earlier.id, {}):
                    fresh[answer.id] = row
                else:
                    changed = update(t.class_answers).where(answers.id == earlier.id)
                    self._connection.execute(changed.values(**row, graded=None))
            results.append(made)
        if fresh:
            self._connection.execute(insert(t.class_answers), list(fresh.values()))
        return results

    def _judge(
        self,
        job: "AnswerJob",
        by_id: Mapping[str, ClassAnswer],
        by_round: Mapping[tuple[str, int, int], ClassAnswer],
    ) -> "RecordedAnswer | LearnerError":
        """The outcome of an answer, given those that are stored."""
        answer = job.answer
        same_id = by_id.get(answer.id)
        if same_id is not None:
            if same_id.student_id != answer.student_id:
                return LearnerError("That answer's id is taken.", do_next="Reload the page and answer again.")
            return RecordedAnswer(outcome="repeated", answer=same_id)
        earlier = by_round.get(_identify_round(answer))
        if earlier is not None and earlier.id != job.replaces:
            return RecordedAnswer(outcome="answered", answer=earlier)
        if job.open_at(self._read_step(job.room_id)) != (answer.position, answer.round):
            return RecordedAnswer(outcome="late", answer=earlier)
        if job.claims:
            taken = self._read_claims(job.room_id, answer.position)
            own = earlier.claim if earlier is not None else None
            free = (each for each in job.claims if each not in taken)
            claim = own if own in job.claims else next(free, None)
            if claim is None:
                return LearnerError("Someone else has just taken that cell.", do_next="Choose another one.")
            taken.discard(own or "")
            taken.add(claim)
            answer = replace(answer, claim=claim)
        return RecordedAnswer(outcome="stored", answer=answer)

    def _read_claims(self, room_id: str, position: int) -> set[str]:
        """Read what is taken in an activity, with what this transaction gives away; read once."""
        key = (room_id, position)
        if key not in self._taken:
            answers = t.class_answers.c
            wanted = select(answers.claim).where(answers.room_id == room_id, answers.position == position)
            self._taken[key] = {claim for claim in self._connection.scalars(wanted) if claim}
        return self._taken[key]

    def grade(self, room_id: str, answer_id: str, graded: Mapping[str, Any]) -> None:
        answers = t.class_answers
        changed = {"graded": dict(graded), "revision": self._raise_revision(room_id)}
        self._connection.execute(update(answers).where(answers.c.id == answer_id).values(**changed))

    def keep_progress(self, room_id: str, position: int, value: Mapping[str, Any]) -> None:
        """Keep how far the training of an activity is, for other processes."""
        progress = t.class_progress
        row = {"room_id": room_id, "position": position}
        changed = {"value": dict(value), "revision": self._raise_revision(room_id)}
        where = (progress.c.room_id == room_id) & (progress.c.position == position)
        if not self._connection.execute(update(progress).where(where).values(**changed)).rowcount:
            self._connection.execute(insert(progress).values(**row, **changed))

    def _read_step(self, room_id: str) -> Any:
        """Read the value of a room's last step, or of its end, once for all answers of this transaction."""
        if room_id not in self._steps:
            events = t.class_events.c
            self._steps[room_id] = self._connection.scalar(
                select(events.value)
                .where(events.room_id == room_id, events.kind.in_(("step", "end")))
                .order_by(events.number.desc())
                .limit(1)
            )
        return self._steps[room_id]

    def add_key(self, room_id: str, key_hash: str, *, at: datetime) -> None:
        """Let the holder of a key in."""
        self._connection.execute(insert(t.class_keys).values(room_id=room_id, hash=key_hash, made_at=at))

    def revoke_keys(self, room_id: str, *, at: datetime) -> None:
        keys = t.class_keys.c
        self._connection.execute(
            update(t.class_keys)
            .where(keys.room_id == room_id, keys.revoked_at.is_(None))
            .values(revoked_at=at)
        )

    def delete_room(self, room_id: str) -> None:
        """Delete a class as a whole: nothing of it is left."""
        for table in reversed(t.CLASS_TABLES):
            column = table.c.id if table is t.class_rooms else table.c.room_id
            self._connection.execute(delete(table).where(column == room_id))

    def forget_names(self, *, now: datetime, room_id: str = "") -> int:
        """Delete the names of students in one room, or in all rooms whose time is over; return how many."""
        rooms, students = t.class_rooms.c, t.class_students.c
        which = rooms.id == room_id if room_id else rooms.names_until <= now
        named = students.room_id.in_(select(rooms.id).where(which)) & students.name.is_not(None)
        forgotten = 0
        for each in sorted(self._connection.scalars(select(students.room_id).where(named).distinct())):
            changed = update(t.class_students).where(students.room_id == each, students.name.is_not(None))
            found = self._connection.execute(changed.values(name=None, revision=self._raise_revision(each)))
            forgotten += found.rowcount
        return forgotten


def _identify_round(answer: ClassAnswer) -> tuple[str, int, int]:
    """Identify what only one answer is stored for."""
    return answer.student_id, answer.position, answer.round
