"""The log of five-minute reviews: what each was to hold. How far it got is read from the other logs."""

import uuid
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import insert, select

from study.store import schema as t
from study.store.database import StoreLog, cache_reads, read_row
from study.store.logs.quizzes import QuizRecord, insert_session


@dataclass(frozen=True, kw_only=True)
class ReviewRun:
    """One mixed review: so many card ratings, a short quiz, one prompt to explain."""

    id: str
    cards: int
    quiz_session_id: str
    prompt_id: str
    started_at: datetime


class ReviewRuns(StoreLog):
    """Five-minute reviews, appended, never changed."""

    def start(
        self,
        profile_id: str,
        *,
        cards: int,
        seed: int,
        question_ids: tuple[str, ...],
        prompt_id: str,
        started_at: datetime,
    ) -> ReviewRun:
        """Record a run together with its short quiz."""
        quiz = QuizRecord(
            id=uuid.uuid4().hex, seed=seed, question_ids=question_ids, choice={}, started_at=started_at
        )
        run = ReviewRun(
            id=uuid.uuid4().hex,
            cards=cards,
            quiz_session_id=quiz.id,
            prompt_id=prompt_id,
            started_at=started_at,
        )
        with self._database.write(profile_id) as connection:
            insert_session(connection, profile_id, quiz)
            connection.execute(insert(t.review_runs).values(profile_id=profile_id, **vars(run)))
        return run

    @cache_reads
    def run(self, profile_id: str, run_id: str) -> ReviewRun | None:
        """A run of this profile, or None."""
        wanted = select(t.review_runs).where(
            t.review_runs.c.id == run_id, t.review_runs.c.profile_id == profile_id
        )
        with self._database.read() as connection:
            row = connection.execute(wanted).first()
        return read_row(ReviewRun, row) if row else None

    @cache_reads
    def runs(self, profile_id: str, *, since: datetime) -> list[ReviewRun]:
        """The runs of a profile from a moment on, newest first."""
        runs = t.review_runs
        wanted = select(runs).where(runs.c.profile_id == profile_id, runs.c.started_at >= since)
        return [read_row(ReviewRun, row) for row in self._rows(wanted.order_by(runs.c.started_at.desc()))]
