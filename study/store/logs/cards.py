"""The log of card reviews, and the cards that a missed question asked for."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from sqlalchemy import Connection, exists, func, insert, select

from study.base.errors import StaleError
from study.store import schema as t
from study.store.database import StoreLog, cache_reads, read_row, select_live
from study.store.logs.card_operations import CardOperation, CardOperationLog, order_by_time, record_operation
from study.store.read_cache import Amend

FORGOTTEN = 1  # the rating Again
DURATIONS = 50  # of the last ratings, for the pace
REPEATED = "review"  # the phase of a card that had been learnt

_select_live = partial(select_live, t.review_undos.c.review_id)


def build_rated_elsewhere_error() -> StaleError:
    """Return the error of an event on a card that was rated or undone since it was shown."""
    return StaleError(
        "That card has already been rated in another window.",
        do_next="Nothing was changed; here is the next one.",
    )


@dataclass(frozen=True, kw_only=True)
class CardReview:
    """One rating of one card. `new` means: the learner had not seen the card before."""

    id: int
    card_id: str
    rating: int
    reviewed_at: datetime
    duration_ms: int
    new: bool
    repeat: bool = False
    """Whether the card had been learnt: what a daily limit of reviews counts."""


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


class CardLog(StoreLog):
    """Card reviews, appended, never changed; `CardOperationLog.undo` takes one back."""

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
        row: dict[str, Any] = {
            "card_id": card_id,
            "rating": rating,
            "reviewed_at": reviewed_at,
            "duration_ms": duration_ms,
            "before": before,
            "after": after,
        }
        made = _Rating(**row)
        amend = made.amend()
        with self._database.write(profile_id, amend=amend) as connection:
            if _find_last_live_id(connection, profile_id, card_id) != expected_review_id:
                raise build_rated_elsewhere_error()
            if _was_rated_after(connection, profile_id, reviewed_at):  # the clock was put back
                amend.clear()
            made.review_id = connection.execute(
                insert(t.card_reviews).values(profile_id=profile_id, **row).returning(t.card_reviews.c.id)
            ).scalar_one()
            made.verb_id = record_operation(
                connection, profile_id, "rate", card_id, value=None, at=reviewed_at, review_id=made.review_id
            )
            return made.review_id

    @cache_reads
    def latest(self, profile_id: str) -> dict[str, LatestReview]:
        """The last review of each card that has one: all that the scheduler needs."""
        log = t.card_reviews.c
        newest = (
            _select_live(profile_id, func.max(log.id).label("id"), func.count().label("reviews"))
            .group_by(log.card_id)
            .subquery()
        )
        wanted = select(log.id, log.card_id, log.reviewed_at, log.after, newest.c.reviews).join(
            newest, newest.c.id == log.id
        )
        return {row.card_id: read_row(LatestReview, row) for row in self._read_rows(wanted)}

    @cache_reads
    def lapses(self, profile_id: str) -> dict[str, list[int]]:
        """For each card that was forgotten after it was learnt, the operations by which it was, in order.

        A rating that came with an import has no verb here and counts as verb 0.
        """
        log = t.card_reviews.c
        wanted = (
            _select_live(profile_id, log.card_id, func.coalesce(t.card_verbs.c.id, 0).label("verb_id"))
            .outerjoin(t.card_verbs, t.card_verbs.c.review_id == log.id)
            .where(log.rating == FORGOTTEN, log.before["phase"].as_string() == REPEATED)
        )
        found: dict[str, list[int]] = {}
        for row in self._read_rows(wanted.order_by(log.reviewed_at, log.id)):
            found.setdefault(row.card_id, []).append(row.verb_id)
        return found

    def count_repeats_since(self, profile_id: str, *, since: datetime) -> int:
        """How many learnt cards were repeated since a moment: what a daily limit of reviews counts."""
        return len({review.card_id for review in self.history(profile_id, since=since) if review.repeat})

    @cache_reads
    def history(self, profile_id: str, *, since: datetime | None = None) -> list[CardReview]:
        """All reviews that were not undone, oldest first."""
        log = t.card_reviews.c
        new = log.before.is_(None).label("new")
        phase = log.before["phase"].as_string().label("phase")
        wanted = _select_live(
            profile_id, log.id, log.card_id, log.rating, log.reviewed_at, log.duration_ms, new, phase
        )
        if since is not None:
            wanted = wanted.where(log.reviewed_at >= since)
        rows = self._read_rows(wanted.order_by(log.reviewed_at, log.id))
        return [read_row(CardReview, row, repeat=row.phase == REPEATED) for row in rows]

    @cache_reads
    def count(self, profile_id: str) -> int:
        """How many reviews were not undone."""
        with self._database.read() as connection:
            return connection.scalar(_select_live(profile_id, func.count(t.card_reviews.c.id))) or 0

    @cache_reads
    def read_last_durations_ms(self, profile_id: str, *, limit: int = DURATIONS) -> list[int]:
        """How long the last ratings took, newest first."""
        log = t.card_reviews.c
        newest_first = (log.reviewed_at.desc(), log.id.desc())
        wanted = _select_live(profile_id, log.duration_ms).order_by(*newest_first).limit(limit)
        return [row.duration_ms for row in self._read_rows(wanted)]

    def request(self, profile_id: str, card_ids: Iterable[str], *, because: str, at: datetime) -> None:
        """Make cards due because a question about the same concepts was missed."""
        rows = [
            {"profile_id": profile_id, "card_id": card_id, "because": because, "requested_at": at}
            for card_id in card_ids
        ]
        if rows:
            with self._database.write(profile_id) as connection:
                connection.execute(insert(t.card_requests), rows)

    @cache_reads
    def requests(self, profile_id: str) -> dict[str, CardRequest]:
        """The newest request of each card that has one."""
        rows = self._read_rows(
            select(t.card_requests)
            .where(t.card_requests.c.profile_id == profile_id)
            .order_by(t.card_requests.c.requested_at, t.card_requests.c.id)
        )
        return {row.card_id: read_row(CardRequest, row) for row in rows}


@dataclass(kw_only=True)
class _Rating:
    """One rating, and what it changes in what was read before it, so that nothing is read again."""

    card_id: str
    rating: int
    reviewed_at: datetime
    duration_ms: int
    before: dict[str, Any] | None
    after: dict[str, Any]
    review_id: int = 0
    verb_id: int = 0

    def amend(self) -> dict[str, Amend]:
        """By reading method; they are called when the rating is committed and has its ids."""
        return {
            CardLog.latest.__qualname__: lambda _, found: found | {self.card_id: self._amend_latest(found)},
            CardLog.history.__qualname__: self._amend_history,
            CardLog.count.__qualname__: lambda _, found: found + 1,
            CardLog.read_last_durations_ms.__qualname__: self._amend_durations,
            CardLog.lapses.__qualname__: self._amend_lapses,
            CardOperationLog.last.__qualname__: self._amend_last_operation,
            CardOperationLog.just_undone.__qualname__: self._amend_just_undone,
            CardOperationLog._read_live.__qualname__: self._amend_live_operations,
        }

    def _amend_latest(self, found: dict[str, LatestReview]) -> LatestReview:
        earlier = found.get(self.card_id)
        reviews = earlier.reviews + 1 if earlier else 1
        return LatestReview(
            id=self.review_id, reviewed_at=self.reviewed_at, after=self.after, reviews=reviews
        )

    def _amend_history(self, asked: tuple[Any, ...], found: list[CardReview]) -> list[CardReview]:
        since = asked[0] if asked else None
        if since is not None and self.reviewed_at < since:
            return found
        review = CardReview(
            id=self.review_id,
            card_id=self.card_id,
            rating=self.rating,
            reviewed_at=self.reviewed_at,
            duration_ms=self.duration_ms,
            new=self.before is None,
            repeat=self._is_repeat,
        )
        return [*found, review]

    def _amend_durations(self, asked: tuple[Any, ...], found: list[int]) -> list[int]:
        limit = asked[0] if asked else DURATIONS
        return [self.duration_ms, *found][:limit]

    def _amend_lapses(self, _: tuple[Any, ...], found: dict[str, list[int]]) -> dict[str, list[int]]:
        if self.rating != FORGOTTEN or not self._is_repeat:
            return found
        return found | {self.card_id: [*found.get(self.card_id, []), self.verb_id]}

    def _amend_live_operations(
        self, asked: tuple[Any, ...], found: list[CardOperation]
    ) -> list[CardOperation]:
        names, since = asked
        counts = "rate" in names and (since is None or self.reviewed_at >= since)
        return sorted([*found, self._build_operation()], key=order_by_time) if counts else found

    def _amend_last_operation(self, _: tuple[Any, ...], found: CardOperation | None) -> CardOperation | None:
        return max(found or self._build_operation(), self._build_operation(), key=order_by_time)

    def _amend_just_undone(self, _: tuple[Any, ...], found: CardOperation | None) -> CardOperation | None:
        return found if found and order_by_time(found) > order_by_time(self._build_operation()) else None

    def _build_operation(self) -> CardOperation:
        return CardOperation(
            id=self.verb_id,
            name="rate",
            subject=self.card_id,
            review_id=self.review_id,
            value=None,
            at=self.reviewed_at,
        )

    @property
    def _is_repeat(self) -> bool:
        return self.before is not None and self.before.get("phase") == REPEATED


def _was_rated_after(connection: Connection, profile_id: str, moment: datetime) -> bool:
    log = t.card_reviews.c
    later = exists().where(log.profile_id == profile_id, log.reviewed_at > moment)
    return bool(connection.scalar(select(later)))


def _find_last_live_id(connection: Connection, profile_id: str, card_id: str) -> int:
    newest = _select_live(profile_id, func.max(t.card_reviews.c.id)).where(
        t.card_reviews.c.card_id == card_id
    )
    return connection.scalar(newest) or 0
