"""The log of quiz sessions and of the answers given in them."""

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, get_args

from sqlalchemy import Connection, Row, insert, select
from sqlalchemy.exc import IntegrityError

from study.base.errors import StaleError
from study.store import schema as t
from study.store.database import StoreLog, cache_reads, read_row, select_owner

Confidence = Literal["guess", "think", "sure"]
CONFIDENCES: tuple[Confidence, ...] = get_args(Confidence)


@dataclass(frozen=True, kw_only=True)
class QuizAnswer:
    """One attempt at one question: what was said, whether all of it was right, when, and after how long."""

    question_id: str
    option: str
    """The chosen option's id; empty for a kind that is answered otherwise."""

    correct: bool
    answered_at: datetime
    duration_ms: int
    response: Mapping[str, Any] | None = None
    """The whole answer, as its kind writes it; None in answers from before there were kinds."""

    points: float | None = None
    """From 0 to 1, penalty taken off; None in the same old answers."""

    confidence: Confidence | None = None
    attempt: int = 1
    hints: int = 0

    @property
    def given(self) -> Mapping[str, Any]:
        """The whole answer, of old answers too."""
        return {"option": self.option} if self.response is None else self.response

    @property
    def score(self) -> float:
        """The points, of old answers too."""
        return float(self.correct) if self.points is None else self.points


REVIEW_OF = "review_of"
"""In the choice of a five-minute review's quiz: the concept it is limited to."""


@dataclass(frozen=True, kw_only=True)
class QuizRecord:
    """One quiz: the questions in the order asked. The seed also decides the order of the options.

    `choice` is what they were drawn from, such as `{"topic": "lora", "length": 10}`; a five-minute review has
    none.
    """

    id: str
    seed: int
    question_ids: tuple[str, ...]
    choice: Mapping[str, Any]
    started_at: datetime


def build_answered_elsewhere_error() -> StaleError:
    """Return the error of an attempt that was made since its question was shown."""
    return StaleError(
        "That question has already been answered in another window.",
        do_next="Your first answer counts; go on from here.",
    )


class QuizLog(StoreLog):
    """Quiz sessions and answers, appended, never changed."""

    def start(
        self,
        profile_id: str,
        *,
        seed: int,
        question_ids: tuple[str, ...],
        choice: Mapping[str, Any],
        started_at: datetime,
    ) -> QuizRecord:
        record = QuizRecord(
            id=uuid.uuid4().hex, seed=seed, question_ids=question_ids, choice=choice, started_at=started_at
        )
        with self._database.write(profile_id) as connection:
            insert_session(connection, profile_id, record)
        return record

    @cache_reads
    def session(self, profile_id: str, session_id: str) -> QuizRecord | None:
        """A session of this profile, or None: another profile's session is not shown."""
        wanted = select(t.quiz_sessions).where(
            t.quiz_sessions.c.id == session_id, t.quiz_sessions.c.profile_id == profile_id
        )
        with self._database.read() as connection:
            row = connection.execute(wanted).first()
        return _read_record(row) if row else None

    @cache_reads
    def latest(self, profile_id: str, *, limit: int = 10) -> list[QuizRecord]:
        wanted = (
            select(t.quiz_sessions)
            .where(t.quiz_sessions.c.profile_id == profile_id)
            .order_by(t.quiz_sessions.c.started_at.desc())
            .limit(limit)
        )
        return [_read_record(row) for row in self._read_rows(wanted)]

    @cache_reads
    def in_mode(self, profile_id: str, mode: str) -> list[QuizRecord]:
        """All quizzes of a mode, oldest first."""
        wanted = (
            select(t.quiz_sessions)
            .where(t.quiz_sessions.c.profile_id == profile_id)
            .where(t.quiz_sessions.c.choice["mode"].as_string() == mode)
            .order_by(t.quiz_sessions.c.started_at)
        )
        return [_read_record(row) for row in self._read_rows(wanted)]

    def append(self, session_id: str, answer: QuizAnswer) -> None:
        """Append an attempt; each attempt at a question is made once in a session."""
        values = {"session_id": session_id, **vars(answer)}
        into = insert(t.answer_retries)
        if answer.attempt == 1:
            del values["attempt"]
            into = insert(t.answers)
        try:
            with self._database.write(select_owner(t.quiz_sessions, session_id)) as connection:
                connection.execute(into.values(values))
        except IntegrityError as error:
            raise build_answered_elsewhere_error() from error

    def answers(self, session_id: str) -> list[QuizAnswer]:
        """All attempts of a session: first ones in the order given, then second ones."""
        wanted = [
            select(log).where(log.c.session_id == session_id).order_by(log.c.id)
            for log in (t.answers, t.answer_retries)
        ]
        with self._database.read() as connection:
            return [_read_answer(row) for statement in wanted for row in connection.execute(statement)]

    @cache_reads
    def history(self, profile_id: str) -> list[QuizAnswer]:
        """First attempts of a profile, oldest first: a second one, after feedback, tells less."""
        wanted = (
            select(t.answers)
            .join(t.quiz_sessions, t.quiz_sessions.c.id == t.answers.c.session_id)
            .where(t.quiz_sessions.c.profile_id == profile_id)
            .order_by(t.answers.c.answered_at, t.answers.c.id)
        )
        return [_read_answer(row) for row in self._read_rows(wanted)]

    def read_answered_sessions(
        self, profile_id: str | None = None
    ) -> list[tuple[QuizRecord, list[QuizAnswer]]]:
        """Return every session that has an answer, with its answers, oldest first: of one profile or all."""
        sessions = select(t.quiz_sessions).order_by(t.quiz_sessions.c.started_at)
        answers = select(t.answers).order_by(t.answers.c.id)
        if profile_id is not None:
            sessions = sessions.where(t.quiz_sessions.c.profile_id == profile_id)
            own = select(t.quiz_sessions.c.id).where(t.quiz_sessions.c.profile_id == profile_id)
            answers = answers.where(t.answers.c.session_id.in_(own))
        found: dict[str, list[QuizAnswer]] = {}
        with self._database.read() as connection:
            for row in connection.execute(answers):
                found.setdefault(row.session_id, []).append(_read_answer(row))
            records = [_read_record(row) for row in connection.execute(sessions)]
        return [(record, found[record.id]) for record in records if record.id in found]

    def show_hint(self, session_id: str, question_id: str, *, at: datetime) -> None:
        """Record that a hint was shown; asking for it again changes nothing."""
        wanted = select(t.hints_shown.c.id).where(
            t.hints_shown.c.session_id == session_id, t.hints_shown.c.question_id == question_id
        )
        row = {"session_id": session_id, "question_id": question_id, "shown_at": at}
        with self._database.write(select_owner(t.quiz_sessions, session_id)) as connection:
            if connection.scalar(wanted) is None:
                connection.execute(insert(t.hints_shown).values(row))

    def hinted(self, session_id: str) -> set[str]:
        """The questions of a session whose hint was shown."""
        wanted = select(t.hints_shown.c.question_id).where(t.hints_shown.c.session_id == session_id)
        return {row.question_id for row in self._read_rows(wanted)}


def insert_session(connection: Connection, profile_id: str, record: QuizRecord) -> None:
    """Record a session inside a transaction that records more than it."""
    connection.execute(insert(t.quiz_sessions).values(profile_id=profile_id, **vars(record)))


def _read_record(row: Row[Any]) -> QuizRecord:
    return read_row(QuizRecord, row, question_ids=tuple(row.question_ids))


def _read_answer(row: Row[Any]) -> QuizAnswer:
    return read_row(QuizAnswer, row, attempt=getattr(row, "attempt", 1), hints=row.hints or 0)
