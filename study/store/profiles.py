"""Who studies: a profile is a name and no password; a browser remembers which profile it last chose."""

import uuid
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, count
from typing import Any

from sqlalchemy import Connection, Select, Table, delete, exists, func, insert, select, update
from sqlalchemy.exc import IntegrityError

from study.errors import LearnerError
from study.store import schema as t
from study.store.database import Database

GUEST_NAME = "Guest learner"
NAME_LIMIT = 40


@dataclass(frozen=True, kw_only=True)
class Profile:
    """One learner on this machine. Not `named` means: made silently on a first visit."""

    id: str
    name: str
    named: bool


class Profiles:
    """Profiles and the browsers that use them."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def of_browser(self, browser_id: str, *, now: datetime) -> Profile:
        """The profile this browser last chose; a silently made guest on the first visit."""
        with self._database.read() as connection:
            found = _chosen_by(connection, browser_id)
        if found is not None:
            return found
        try:
            with self._database.write() as connection:
                return _chosen_by(connection, browser_id) or _welcome(connection, browser_id, now)
        except IntegrityError:  # two first requests of one browser on a database that locks rows, not files
            with self._database.read() as connection:
                won = _chosen_by(connection, browser_id)
            if won is None:
                raise
            return won

    def all(self) -> list[Profile]:
        """Every profile, by name."""
        with self._database.read() as connection:
            rows = connection.execute(
                select(t.profiles).order_by(func.lower(t.profiles.c.name), t.profiles.c.created_at)
            )
            return [Profile(id=row.id, name=row.name, named=row.named) for row in rows]

    def add(self, browser_id: str, name: str, *, now: datetime) -> Profile:
        """Make a profile and use it in this browser from now on."""
        with self._database.write() as connection:
            profile = _insert(connection, _free_name(connection, name), named=True, now=now)
            _choose(connection, browser_id, profile.id, now)
        return profile

    def rename(self, profile_id: str, name: str) -> None:
        """Give a profile a name."""
        with self._database.write() as connection:
            chosen = _free_name(connection, name, own_id=profile_id)
            connection.execute(
                update(t.profiles).where(t.profiles.c.id == profile_id).values(name=chosen, named=True)
            )

    def switch(self, browser_id: str, profile_id: str, *, now: datetime) -> None:
        """Use another profile in this browser. A guest who never did anything is not kept."""
        with self._database.write() as connection:
            if _by_id(connection, profile_id) is None:
                raise LearnerError("That profile is not there any more.", do_next="Choose another one.")
            left = _chosen_by(connection, browser_id)
            _choose(connection, browser_id, profile_id, now)
            if (
                left is not None
                and left.id != profile_id
                and not left.named
                and not _did_anything(connection, left.id)
            ):
                _erase(connection, left.id)

    def erase(self, profile_id: str) -> None:
        """Delete a profile and everything it ever did. The one place where log entries go."""
        with self._database.write() as connection:
            _erase(connection, profile_id)


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


def lock(connection: Connection, profile_id: str) -> None:
    """Let one write of a profile wait for another; SQLite does that for the whole file already."""
    connection.execute(select(t.profiles.c.id).where(t.profiles.c.id == profile_id).with_for_update())


def _by_id(connection: Connection, profile_id: str) -> Profile | None:
    row = connection.execute(select(t.profiles).where(t.profiles.c.id == profile_id)).first()
    return Profile(id=row.id, name=row.name, named=row.named) if row else None


def _chosen_by(connection: Connection, browser_id: str) -> Profile | None:
    chosen = connection.scalar(select(t.browsers.c.profile_id).where(t.browsers.c.id == browser_id))
    return _by_id(connection, chosen) if chosen else None


def _welcome(connection: Connection, browser_id: str, now: datetime) -> Profile:
    taken = set(connection.scalars(select(func.lower(t.profiles.c.name))))
    names = chain([GUEST_NAME], (f"{GUEST_NAME} {number}" for number in count(2)))
    name = next(name for name in names if name.lower() not in taken)
    profile = _insert(connection, name, named=False, now=now)
    _choose(connection, browser_id, profile.id, now)
    return profile


def _insert(connection: Connection, name: str, *, named: bool, now: datetime) -> Profile:
    profile = Profile(id=uuid.uuid4().hex, name=name, named=named)
    connection.execute(insert(t.profiles).values(id=profile.id, name=name, named=named, created_at=now))
    return profile


def _choose(connection: Connection, browser_id: str, profile_id: str, now: datetime) -> None:
    connection.execute(delete(t.browsers).where(t.browsers.c.id == browser_id))
    connection.execute(insert(t.browsers).values(id=browser_id, profile_id=profile_id, chosen_at=now))


def _free_name(connection: Connection, name: str, *, own_id: str = "") -> str:
    cleaned = clean_name(name)
    same = select(t.profiles.c.id).where(
        func.lower(t.profiles.c.name) == cleaned.lower(), t.profiles.c.id != own_id
    )
    if connection.scalar(same):
        raise LearnerError(
            f"There is a profile called {cleaned} already.", do_next="Switch to it, or choose another name."
        )
    return cleaned


def _did_anything(connection: Connection, profile_id: str) -> bool:
    logs = (
        t.card_verbs,
        t.card_reviews,
        t.quiz_sessions,
        t.explain_attempts,
        t.own_prompts,
        t.drafts,
        t.preferences,
        t.predictions,
    )
    return any(connection.scalar(select(exists().where(log.c.profile_id == profile_id))) for log in logs)


def _erase(connection: Connection, profile_id: str) -> None:
    def ids(table: Table) -> Select[Any]:
        return select(table.c.id).where(table.c.profile_id == profile_id)

    connection.execute(delete(t.verb_undos).where(t.verb_undos.c.verb_id.in_(ids(t.card_verbs))))
    connection.execute(delete(t.review_undos).where(t.review_undos.c.review_id.in_(ids(t.card_reviews))))
    for log in (t.answers, t.answer_retries, t.hints_shown):
        connection.execute(delete(log).where(log.c.session_id.in_(ids(t.quiz_sessions))))
    explained = ids(t.explain_attempts)
    verdicts = select(t.explain_verdicts.c.id).where(t.explain_verdicts.c.attempt_id.in_(explained))
    undos = t.explain_verdict_undos
    connection.execute(delete(undos).where(undos.c.verdict_id.in_(verdicts)))
    for part in (t.explain_verdicts, t.explain_replies):
        connection.execute(delete(part).where(part.c.attempt_id.in_(explained)))
    connection.execute(delete(t.import_undos).where(t.import_undos.c.import_id.in_(ids(t.imports))))
    for part in (t.prediction_runs, t.prediction_verdicts):
        connection.execute(delete(part).where(part.c.prediction_id.in_(ids(t.predictions))))
    for table in (
        t.parameter_fits,
        t.predictions,
        t.review_runs,
        t.card_verbs,
        t.card_reviews,
        t.card_requests,
        t.quiz_sessions,
        t.explain_attempts,
        t.own_prompts,
        t.drafts,
        t.preferences,
        t.imports,
        t.browsers,
    ):
        connection.execute(delete(table).where(table.c.profile_id == profile_id))
    connection.execute(delete(t.profiles).where(t.profiles.c.id == profile_id))
