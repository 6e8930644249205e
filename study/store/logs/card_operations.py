"""The operations of card study: each a row that undo can take back, the last one first, whatever kind it is.

Ratings have their own log; their operation only points there. All others hold what they say in `value`. They
are in the order of their time, not of their numbers: a backup of another machine brings earlier ones later.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any, Literal, get_args

from sqlalchemy import ColumnElement, Connection, Row, insert, select

from study.base.errors import LearnerError, StaleError
from study.store import schema as t
from study.store.database import StoreLog, cache_reads, read_row, select_live

Name = Literal["rate", "bury", "unbury", "suspend", "resume", "flag", "edit", "spread", "cram"]
NAMES: tuple[Name, ...] = get_args(Name)


@dataclass(frozen=True, kw_only=True)
class CardOperation:
    """One thing done to a card. The subject of an edit is its note; a spread has none."""

    id: int
    name: Name
    subject: str
    review_id: int | None
    value: Any
    at: datetime


class CardOperationLog(StoreLog):
    """Operations, appended and undone, never changed."""

    def append(
        self,
        profile_id: str,
        name: Name,
        subject: str,
        *,
        value: Any = None,
        at: datetime,
        expected_id: int | None = None,
    ) -> int:
        """Record an operation; with `expected_id` only if that is the last one on its subject (0: none)."""
        with self._database.write(profile_id) as connection:
            if expected_id is not None:
                same = t.card_verbs.c.verb == name, t.card_verbs.c.subject == subject
                last = _find_last(connection, profile_id, *same)
                if (last.id if last else 0) != expected_id:
                    raise StaleError(
                        "Another window has changed this in the meantime.",
                        do_next="Copy what you wrote, reload the page and look at it again.",
                    )
            return record_operation(connection, profile_id, name, subject, value=value, at=at)

    def undo(self, profile_id: str, *, expected_id: int, undone_at: datetime) -> CardOperation:
        """Take back the last operation and return it, unless another window did something meanwhile."""
        with self._database.write(profile_id) as connection:
            last = _find_last(connection, profile_id)
            if last is None:
                raise LearnerError("There is nothing to undo.", do_next="Rate a card first.")
            if last.id != expected_id:
                raise StaleError(
                    "Another window has done something in the meantime.",
                    do_next="Press undo again to take that back.",
                )
            connection.execute(insert(t.verb_undos).values(verb_id=last.id, undone_at=undone_at))
            if last.review_id is not None:
                connection.execute(
                    insert(t.review_undos).values(review_id=last.review_id, undone_at=undone_at)
                )
            return last

    @cache_reads
    def last(self, profile_id: str) -> CardOperation | None:
        """The operation that undo would take back."""
        with self._database.read() as connection:
            return _find_last(connection, profile_id)

    def live(
        self, profile_id: str, names: Iterable[Name], *, since: datetime | None = None
    ) -> list[CardOperation]:
        """The operations of these names that were not undone, oldest first."""
        return self._read_live(profile_id, tuple(names), since)

    @cache_reads
    def _read_live(
        self, profile_id: str, names: tuple[Name, ...], since: datetime | None
    ) -> list[CardOperation]:
        wanted = _select_live(profile_id, *t.card_verbs.c).where(t.card_verbs.c.verb.in_(names))
        if since is not None:
            wanted = wanted.where(t.card_verbs.c.at >= since)
        return [_read_operation(row) for row in self._read_rows(wanted.order_by(*_IN_TIME))]

    @cache_reads
    def just_undone(self, profile_id: str) -> CardOperation | None:
        """The operation that was taken back last, until another one follows; its card is shown first."""
        undone = (
            select(*t.card_verbs.c)
            .join(t.verb_undos, t.verb_undos.c.verb_id == t.card_verbs.c.id)
            .where(t.card_verbs.c.profile_id == profile_id)
            .order_by(t.verb_undos.c.undone_at.desc(), t.verb_undos.c.id.desc())
            .limit(1)
        )
        with self._database.read() as connection:
            row = connection.execute(undone).first()
            if row is None:
                return None
            last = _find_last(connection, profile_id)
        taken_back = _read_operation(row)
        return taken_back if last is None or order_by_time(taken_back) > order_by_time(last) else None


_select_live = partial(select_live, t.verb_undos.c.verb_id)
_IN_TIME = (t.card_verbs.c.at, t.card_verbs.c.id)


def order_by_time(operation: CardOperation) -> tuple[datetime, int]:
    """Return what operations are ordered by."""
    return operation.at, operation.id


def record_operation(
    connection: Connection,
    profile_id: str,
    name: Name,
    subject: str,
    *,
    value: Any,
    at: datetime,
    review_id: int | None = None,
) -> int:
    """Record an operation inside a transaction that records more than it."""
    verb_id: int = connection.execute(
        insert(t.card_verbs)
        .values(profile_id=profile_id, verb=name, subject=subject, review_id=review_id, value=value, at=at)
        .returning(t.card_verbs.c.id)
    ).scalar_one()
    return verb_id


def _find_last(connection: Connection, profile_id: str, *wanted: ColumnElement[bool]) -> CardOperation | None:
    live = _select_live(profile_id, *t.card_verbs.c).where(*wanted)
    row = connection.execute(live.order_by(*(column.desc() for column in _IN_TIME)).limit(1)).first()
    return _read_operation(row) if row else None


def _read_operation(row: Row[Any]) -> CardOperation:
    return read_row(CardOperation, row, name=row.verb)
