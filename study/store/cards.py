"""The log of card reviews, and the cards that a missed question asked for."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, exists, func, insert, select

from study.base.errors import StaleError
from study.store import schema as t
from study.store.card_operations import record
from study.store.database import Database
from study.store.profiles import lock

FORGOTTEN = 1  # the rating Again


@dataclass(frozen=True, kw_only=True)
class CardReview:
    """One rating of one card. `new` means: the learner had not seen the card before."""

    id: int
    card_id: str
    rating: int
    reviewed_at: datetime
    duration_ms: int
    new: bool


@dataclass(frozen=True, kw_only=True)
class LatestReview:
    """The last rating of one card, and what the scheduler knew after it."""

    id: int
    reviewed_at: datetime
    after: dict[str, Any]
    reviews: int
    """How often the card was rated until then, this time included."""


@dataclass(frozen=True, kw_only=True)
class CardRequest:
    """A card that a missed question made due."""

    card_id: str
    because: str
    requested_at: datetime


class CardLog:
    """Card reviews, appended, never changed; `VerbLog.undo` takes one back."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def append(
        self,
        profile_id: str,
        card_id: str,
        *,
        rating: int,
        expected_review_id: int,
        reviewed_at: datetime,
        duration_ms: int,
        before: dict[str, Any] | None,
        after: dict[str, Any],
    ) -> int:
        """Append a rating, unless the card was rated or undone elsewhere since it was shown."""
        with self._database.write() as connection:
            lock(connection, profile_id)
            if _last_live_id(connection, profile_id, card_id) != expected_review_id:
                raise StaleError(
                    "That card was rated in another window already.",
                    do_next="Nothing was changed; here is the next one.",
                )
            appended = connection.execute(
                insert(t.card_reviews).values(
                    profile_id=profile_id,
                    card_id=card_id,
                    rating=rating,
                    reviewed_at=reviewed_at,
                    duration_ms=duration_ms,
                    before=before,
                    after=after,
                )
            )
            key = appended.inserted_primary_key
            assert key is not None
            review_id = int(key[0])
            record(connection, profile_id, "rate", card_id, value=None, at=reviewed_at, review_id=review_id)
            return review_id

    def latest(self, profile_id: str) -> dict[str, LatestReview]:
        """The last review of each card that has one: all that the scheduler needs."""
        log = t.card_reviews.c
        newest = (
            _live(profile_id, func.max(log.id).label("id"), func.count().label("reviews"))
            .group_by(log.card_id)
            .subquery()
        )
        wanted = select(log.id, log.card_id, log.reviewed_at, log.after, newest.c.reviews).join(
            newest, newest.c.id == log.id
        )
        with self._database.read() as connection:
            return {
                row.card_id: LatestReview(
                    id=row.id, reviewed_at=row.reviewed_at, after=row.after, reviews=row.reviews
                )
                for row in connection.execute(wanted)
            }

    def lapses(self, profile_id: str) -> dict[str, list[int]]:
        """For each card that was forgotten after it had been learnt, the verbs by which it was, in order.

        A rating that came with an import is no verb of this app and counts as verb 0.
        """
        log = t.card_reviews.c
        wanted = (
            _live(profile_id, log.card_id, func.coalesce(t.card_verbs.c.id, 0).label("verb_id"))
            .outerjoin(t.card_verbs, t.card_verbs.c.review_id == log.id)
            .where(log.rating == FORGOTTEN, log.before["phase"].as_string() == "review")
        )
        found: dict[str, list[int]] = {}
        with self._database.read() as connection:
            for row in connection.execute(wanted.order_by(log.id)):
                found.setdefault(row.card_id, []).append(row.verb_id)
        return found

    def repeats_since(self, profile_id: str, *, since: datetime) -> int:
        """How many learnt cards were repeated since a moment: what a daily limit of reviews counts."""
        log = t.card_reviews.c
        wanted = _live(profile_id, func.count(log.card_id.distinct())).where(
            log.reviewed_at >= since, log.before["phase"].as_string() == "review"
        )
        with self._database.read() as connection:
            return connection.scalar(wanted) or 0

    def history(self, profile_id: str, *, since: datetime | None = None) -> list[CardReview]:
        """All reviews that were not undone, oldest first."""
        log = t.card_reviews.c
        new = log.before.is_(None).label("new")
        wanted = _live(profile_id, log.id, log.card_id, log.rating, log.reviewed_at, log.duration_ms, new)
        if since is not None:
            wanted = wanted.where(log.reviewed_at >= since)
        with self._database.read() as connection:
            return [_review(row) for row in connection.execute(wanted.order_by(log.id))]

    def count(self, profile_id: str) -> int:
        """How many reviews were not undone."""
        with self._database.read() as connection:
            return connection.scalar(_live(profile_id, func.count(t.card_reviews.c.id))) or 0

    def last_durations_ms(self, profile_id: str, *, limit: int = 50) -> list[int]:
        """How long the last ratings took, newest first."""
        log = t.card_reviews.c
        newest_first = (log.reviewed_at.desc(), log.id.desc())
        wanted = _live(profile_id, log.duration_ms).order_by(*newest_first).limit(limit)
        with self._database.read() as connection:
            return list(connection.scalars(wanted))

    def request(self, profile_id: str, card_ids: Iterable[str], *, because: str, at: datetime) -> None:
        """Make cards due because a question about the same concepts was missed."""
        rows = [
            {"profile_id": profile_id, "card_id": card_id, "because": because, "requested_at": at}
            for card_id in card_ids
        ]
        if rows:
            with self._database.write() as connection:
                connection.execute(insert(t.card_requests), rows)

    def requests(self, profile_id: str) -> dict[str, CardRequest]:
        """The newest request of each card that has one."""
        with self._database.read() as connection:
            rows = connection.execute(
                select(t.card_requests)
                .where(t.card_requests.c.profile_id == profile_id)
                .order_by(t.card_requests.c.id)
            )
            return {
                row.card_id: CardRequest(
                    card_id=row.card_id, because=row.because, requested_at=row.requested_at
                )
                for row in rows
            }


def _live(profile_id: str, *columns: ColumnElement[Any]) -> Select[Any]:
    """Columns of the reviews of a profile that were not undone."""
    undone = exists().where(t.review_undos.c.review_id == t.card_reviews.c.id)
    return select(*columns).where(t.card_reviews.c.profile_id == profile_id, ~undone)


def _last_live_id(connection: Connection, profile_id: str, card_id: str) -> int:
    newest = _live(profile_id, func.max(t.card_reviews.c.id)).where(t.card_reviews.c.card_id == card_id)
    return connection.scalar(newest) or 0


def _review(row: Row[Any]) -> CardReview:
    return CardReview(
        id=row.id,
        card_id=row.card_id,
        rating=row.rating,
        reviewed_at=row.reviewed_at,
        duration_ms=row.duration_ms,
        new=row.new,
    )
