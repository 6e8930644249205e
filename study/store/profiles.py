"""Learners: a profile is a name and no password; a browser remembers which profile it last chose."""

import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Select,
    Table,
    bindparam,
    delete,
    exists,
    func,
    insert,
    not_,
    or_,
    select,
    union_all,
    update,
)
from sqlalchemy.exc import IntegrityError

from study.base.errors import LearnerError
from study.store import schema as t
from study.store.class_schema import CLASS_TABLES
from study.store.database import StoreLog, note_position, put_row, read_row
from study.store.rows import match_profile

GUEST_NAME = "Guest learner"
NAME_LIMIT = 40
ERASED_AT_ONCE = 20


@dataclass(frozen=True, kw_only=True)
class Profile:
    """One learner on this machine. Not `named` means: made silently on a first visit."""

    id: str
    name: str
    named: bool


@dataclass(frozen=True, kw_only=True)
class SeenProfile(Profile):
    """A profile with how much it has answered, and when last."""

    answers: int
    answered_at: datetime | None


_CHOSEN = (  # built once: every request asks it
    select(t.profiles)
    .join(t.browsers, t.browsers.c.profile_id == t.profiles.c.id)
    .where(t.browsers.c.id == bindparam("browser_id"))
)


_ANSWER_TIMES = union_all(  # of cards, questions and explanations, as `Store.list_answer_times`
    select(t.card_reviews.c.profile_id, t.card_reviews.c.reviewed_at.label("at")).where(
        ~exists().where(t.review_undos.c.review_id == t.card_reviews.c.id)
    ),
    select(t.quiz_sessions.c.profile_id, t.answers.c.answered_at).join(
        t.answers, t.answers.c.session_id == t.quiz_sessions.c.id
    ),
    select(t.explain_attempts.c.profile_id, t.explain_attempts.c.submitted_at),
)


_WORK = (  # what is done by hand and takes some thought: no opened page, no setting, no draft
    t.card_reviews, t.answers, t.explain_attempts, t.predictions, t.task_attempts, t.project_entries
)  # fmt: skip
_HAS_WORKED = select(  # built once: each page asks it of a guest
    or_(*(exists().where(match_profile(table, bindparam("profile_id"))) for table in _WORK))
)


def _select_seen() -> Select[Any]:
    times = _ANSWER_TIMES.subquery()
    count, last = func.count(times.c.at), func.max(times.c.at)
    return (
        select(t.profiles, count.label("answers"), last.label("answered_at"))
        .join(times, times.c.profile_id == t.profiles.c.id, isouter=True)
        .group_by(t.profiles.c.id)
        .having(t.profiles.c.named | (count > 0))
        .order_by(last.desc().nulls_last(), t.profiles.c.name)
    )


_SEEN = _select_seen()  # once as well


class Profiles(StoreLog):
    """Profiles and the browsers that use them."""

    def open_for_browser(self, browser_id: str, *, now: datetime) -> Profile:
        """Open the profile this browser last chose; a silently made guest on the first visit."""
        with self._database.read() as connection:
            found = _find_chosen(connection, browser_id)
        if found is not None:
            return found
        try:
            with self._database.write() as connection:
                return _find_chosen(connection, browser_id) or _welcome_guest(connection, browser_id, now)
        except IntegrityError:  # two first requests of one browser on a database that locks rows, not files
            with self._database.read() as connection:
                won = _find_chosen(connection, browser_id)
            if won is None:
                raise
            return won

    def all(self) -> list[Profile]:
        rows = self._read_rows(
            select(t.profiles).order_by(func.lower(t.profiles.c.name), t.profiles.c.created_at)
        )
        return [read_row(Profile, row) for row in rows]

    def list_seen(self) -> list[SeenProfile]:
        """List the profiles that have a name of their own or answers, the one that answered last first."""
        return [read_row(SeenProfile, row) for row in self._read_rows(_SEEN)]

    def has_worked(self, profile_id: str) -> bool:
        """Return whether a profile has answered, guessed, solved or written anything."""
        with self._database.read() as connection:
            return bool(connection.scalar(_HAS_WORKED, {"profile_id": profile_id}))

    def find(self, profile_id: str) -> Profile | None:
        with self._database.read() as connection:
            return _find_by_id(connection, profile_id)

    def add(self, browser_id: str, name: str, *, now: datetime, shared: bool = False) -> Profile:
        """Make a profile and use it in this browser from now on; `shared` as in `rename`."""
        with self._database.write() as connection:
            chosen = clean_name(name) if shared else _free_name(connection, name)
            profile = _insert_profile(connection, chosen, named=True, now=now)
            _choose_profile(connection, browser_id, profile.id, now)
        return profile

    def rename(self, profile_id: str, name: str, *, shared: bool = False) -> None:
        """Give a profile a name. Raises LearnerError on a name that it can't have.

        On one machine a name tells learners apart and is taken once. On a `shared` server several may
        have it: a refusal would tell who else studies there.
        """
        with self._database.write() as connection:
            chosen = clean_name(name) if shared else _free_name(connection, name, own_id=profile_id)
            connection.execute(
                update(t.profiles).where(t.profiles.c.id == profile_id).values(name=chosen, named=True)
            )

    def switch(self, browser_id: str, profile_id: str, *, now: datetime) -> None:
        """Use another profile in this browser. A guest who never did anything is not kept."""
        with self._database.write() as connection:
            if _find_by_id(connection, profile_id) is None:
                raise LearnerError("That profile no longer exists.", do_next="Choose another one.")
            left = _find_chosen(connection, browser_id)
            _choose_profile(connection, browser_id, profile_id, now)
            if (
                left is not None
                and left.id != profile_id
                and not left.named
                and not any(connection.scalar(select(activity)) for activity in _list_activities(left.id))
            ):
                _erase_profile(connection, left.id)

    def remove_idle_guests(self, *, before: datetime, stop: Callable[[], bool] = bool) -> int:
        """Erase guests from before a moment who never did anything, until `stop` is true; return how many.

        A few in each transaction, so that nobody's write waits for all of them.
        """
        with self._database.read() as connection:
            idle = list(connection.scalars(_select_idle(before)))
        erased = 0
        for start in range(0, len(idle), ERASED_AT_ONCE):
            if stop():
                break
            some = t.profiles.c.id.in_(idle[start : start + ERASED_AT_ONCE])
            with self._database.write() as connection:
                # Asked again: one of them may have done something since. Locked where the database has locks
                # of rows; who is writing just now is left out.
                still = _select_idle(before).where(some).with_for_update(skip_locked=True, of=t.profiles)
                ids = list(connection.scalars(still))
                for table in (t.preferences, t.browsers):
                    connection.execute(delete(table).where(table.c.profile_id.in_(ids)))
                connection.execute(delete(t.profiles).where(t.profiles.c.id.in_(ids)))
            erased += len(ids)
        return erased

    def read_browsers(self, profile_id: str) -> list[tuple[str, datetime]]:
        """Read the ids of the browsers that use a profile, and since when; the newest first."""
        columns = t.browsers.c
        wanted = select(columns.id, columns.chosen_at).where(columns.profile_id == profile_id)
        rows = self._read_rows(wanted.order_by(columns.chosen_at.desc()))
        return [(row.id, row.chosen_at) for row in rows]

    def forget_browser(self, browser_id: str) -> None:
        """Let a browser use no profile: at its next visit it is new."""
        with self._database.write() as connection:
            connection.execute(delete(t.browsers).where(t.browsers.c.id == browser_id))

    def erase(self, profile_id: str) -> None:
        """Delete a profile and everything it ever did. The one place where log entries go."""
        with self._database.write() as connection:
            _erase_profile(connection, profile_id)


def clean_name(name: str) -> str:
    """A name as it is stored: single spaces, at most 40 characters, not empty."""
    cleaned = " ".join(name.split())
    if not cleaned:
        raise LearnerError("A profile needs a name.", do_next="Type any name you like; a nickname will do.")
    if len(cleaned) > NAME_LIMIT:
        raise LearnerError(
            f"That name has {len(cleaned)} characters.",
            do_next=f"Use at most {NAME_LIMIT}, so that it fits beside the menu.",
        )
    return cleaned


def _find_by_id(connection: Connection, profile_id: str) -> Profile | None:
    row = connection.execute(select(t.profiles).where(t.profiles.c.id == profile_id)).first()
    return read_row(Profile, row) if row else None


def _find_chosen(connection: Connection, browser_id: str) -> Profile | None:
    row = connection.execute(_CHOSEN, {"browser_id": browser_id}).first()
    if row is None:
        return None
    note_position(row.id, row.position)
    return read_row(Profile, row)


def _welcome_guest(connection: Connection, browser_id: str, now: datetime) -> Profile:
    # The other names aren't read: on a server there may be thousands, and everybody's writes wait meanwhile.
    is_first = connection.scalar(select(t.profiles.c.id).limit(1)) is None
    name = GUEST_NAME if is_first else f"{GUEST_NAME} {uuid.uuid4().hex[:4]}"
    profile = _insert_profile(connection, name, named=False, now=now)
    # Inserted without deleting first: of two first requests on a server, the second must fail and use the
    # profile of the first, not replace it.
    connection.execute(insert(t.browsers).values(id=browser_id, profile_id=profile.id, chosen_at=now))
    note_position(profile.id, 0)
    return profile


def _insert_profile(connection: Connection, name: str, *, named: bool, now: datetime) -> Profile:
    profile = Profile(id=uuid.uuid4().hex, name=name, named=named)
    connection.execute(insert(t.profiles).values(id=profile.id, name=name, named=named, created_at=now))
    return profile


def _choose_profile(connection: Connection, browser_id: str, profile_id: str, now: datetime) -> None:
    put_row(connection, t.browsers, {"id": browser_id}, {"profile_id": profile_id, "chosen_at": now})


def _free_name(connection: Connection, name: str, *, own_id: str = "") -> str:
    cleaned = clean_name(name)
    same = select(t.profiles.c.id).where(
        func.lower(t.profiles.c.name) == cleaned.lower(), t.profiles.c.id != own_id
    )
    if connection.scalar(same):
        raise LearnerError(
            f"There is already a profile called {cleaned}.", do_next="Switch to it, or choose another name."
        )
    return cleaned


def _select_by_hand(table: Table) -> list[ColumnElement[bool]]:
    """Leave out what the app itself keeps of a browser."""
    return [t.preferences.c.name != "time_zone"] if table is t.preferences else []


def _list_activities(profile_id: ColumnElement[str] | str) -> list[ColumnElement[bool]]:
    """List the conditions that a profile has a row of each kind."""
    return [
        exists().where(table.c.profile_id == profile_id, *_select_by_hand(table))
        for table in t.metadata.sorted_tables
        if "profile_id" in table.c and table is not t.browsers
    ]


def _select_idle(before: datetime) -> Select[tuple[str]]:
    """Select the guests who came before a moment, chose no browser since and have no row of any kind."""
    lately = select(t.browsers.c.profile_id).where(t.browsers.c.chosen_at >= before)
    columns = t.profiles.c
    return select(columns.id).where(
        not_(columns.named),
        columns.created_at < before,
        columns.id.not_in(lately),
        *(~activity for activity in _list_activities(columns.id)),
    )


def _erase_profile(connection: Connection, profile_id: str) -> None:
    for table in reversed(t.metadata.sorted_tables):  # what points to a row goes before it
        if table is not t.profiles and table not in CLASS_TABLES:
            connection.execute(delete(table).where(match_profile(table, profile_id)))
    connection.execute(delete(t.profiles).where(t.profiles.c.id == profile_id))
