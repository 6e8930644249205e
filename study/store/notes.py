"""The two things that are overwritten rather than logged: drafts of unfinished texts, and preferences."""

from dataclasses import dataclass, fields, replace
from datetime import datetime
from typing import Any

from sqlalchemy import Connection, Table, delete, insert, select

from study.errors import LearnerError
from study.store import schema as t
from study.store.database import Database
from study.store.profiles import lock

RETENTION_LOW, RETENTION_HIGH = 0.7, 0.97  # beyond it FSRS plans reviews by the day, or forgets for months
DRAFT_LIMIT = 20_000  # characters; more than anyone explains, far below what would slow a page


@dataclass(frozen=True, kw_only=True)
class Preferences:
    """What a learner chose in the settings."""

    shortcuts: bool = True
    new_cards_a_day: int = 10
    tour_seen: bool = False
    desired_retention: float = 0.9
    """The share of due cards to aim to recall."""

    def __post_init__(self) -> None:
        if not 0 <= self.new_cards_a_day <= 200:
            raise LearnerError(
                f"{self.new_cards_a_day} new cards a day is out of range.",
                do_next="Choose 0 to 200; 10 is a good pace.",
            )
        if not RETENTION_LOW <= self.desired_retention <= RETENTION_HIGH:
            raise LearnerError(
                f"A desired retention of {self.desired_retention:.0%} is out of range.",
                do_next=f"Choose {RETENTION_LOW:.0%} to {RETENTION_HIGH:.0%}; 90% is the usual aim.",
            )


class Notes:
    """Drafts and preferences of each profile."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def save_draft(self, profile_id: str, key: str, text: str, *, at: datetime) -> None:
        """Keep an unfinished text; the newest one counts."""
        if len(text) > DRAFT_LIMIT:
            raise LearnerError(
                f"This text has {len(text):,} characters.", do_next=f"Keep it under {DRAFT_LIMIT:,}."
            )
        with self._database.write() as connection:
            _put(connection, t.drafts, {"profile_id": profile_id, "key": key}, {"text": text, "saved_at": at})

    def draft(self, profile_id: str, key: str) -> str:
        """The unfinished text under a key; empty if there is none."""
        wanted = select(t.drafts.c.text).where(t.drafts.c.profile_id == profile_id, t.drafts.c.key == key)
        with self._database.read() as connection:
            return connection.scalar(wanted) or ""

    def preferences(self, profile_id: str) -> Preferences:
        """What the learner chose, with the defaults for the rest."""
        wanted = select(t.preferences).where(t.preferences.c.profile_id == profile_id)
        known = {field.name for field in fields(Preferences)}
        with self._database.read() as connection:
            chosen = {row.name: row.value for row in connection.execute(wanted) if row.name in known}
        return Preferences(**chosen)

    def prefer(self, profile_id: str, **chosen: Any) -> Preferences:
        """Change some preferences, after checking them."""
        preferences = replace(self.preferences(profile_id), **chosen)
        with self._database.write() as connection:
            lock(connection, profile_id)
            for name, value in chosen.items():
                _put(connection, t.preferences, {"profile_id": profile_id, "name": name}, {"value": value})
        return preferences


def _put(connection: Connection, table: Table, key: dict[str, Any], values: dict[str, Any]) -> None:
    # Delete and insert is the one way to overwrite that every backend understands alike.
    lock(connection, key["profile_id"])
    connection.execute(delete(table).where(*(table.c[name] == value for name, value in key.items())))
    connection.execute(insert(table).values(**key, **values))
