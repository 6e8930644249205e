"""The log of five-minute reviews: what each was to hold. How far it got is read from the other logs."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Row, insert, select

from study.store import schema as t
from study.store.database import StoreLog, cache_reads, read_row
from study.store.logs.quizzes import REVIEW_OF, QuizRecord, insert_session

REVIEWS = select(t.review_runs, t.quiz_sessions.c.choice).join(t.quiz_sessions)


@dataclass(frozen=True, kw_only=True)
class FiveMinuteReview:
    """One mixed review: so many card ratings, a short quiz, one prompt to explain."""

    id: str
    cards: int
    quiz_session_id: str
    prompt_id: str
    started_at: datetime
    concept: str = ""
    """The one concept it is about; empty for a review of everything."""


class FiveMinuteReviews(StoreLog):
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
        concept: str = "",
    ) -> FiveMinuteReview:
        """Record a review together with its short quiz, which keeps the concept."""
        choice = {REVIEW_OF: concept} if concept else {}
        quiz = QuizRecord(
            id=uuid.uuid4().hex, seed=seed, question_ids=question_ids, choice=choice, started_at=started_at
        )
        review = FiveMinuteReview(
            id=uuid.uuid4().hex,
            cards=cards,
            quiz_session_id=quiz.id,
            prompt_id=prompt_id,
            started_at=started_at,
            concept=concept,
        )
        written = {name: value for name, value in vars(review).items() if name != "concept"}
        with self._database.write(profile_id) as connection:
            insert_session(connection, profile_id, quiz)
            connection.execute(insert(t.review_runs).values(profile_id=profile_id, **written))
        return review

    @cache_reads
    def find(self, profile_id: str, review_id: str) -> FiveMinuteReview | None:
        wanted = REVIEWS.where(t.review_runs.c.id == review_id, t.review_runs.c.profile_id == profile_id)
        with self._database.read() as connection:
            row = connection.execute(wanted).first()
        return _read_review(row) if row else None

    @cache_reads
    def list_since(self, profile_id: str, since: datetime) -> list[FiveMinuteReview]:
        """List the reviews of a profile from a moment on, newest first."""
        reviews = t.review_runs
        wanted = REVIEWS.where(reviews.c.profile_id == profile_id, reviews.c.started_at >= since)
        return [_read_review(row) for row in self._read_rows(wanted.order_by(reviews.c.started_at.desc()))]


def _read_review(row: Row[Any]) -> FiveMinuteReview:
    return read_row(FiveMinuteReview, row, concept=row.choice.get(REVIEW_OF, ""))
