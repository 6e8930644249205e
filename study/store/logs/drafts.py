"""Drafts: unfinished texts, of which the newest one counts."""

from datetime import datetime

from sqlalchemy import select

from study.base.errors import LearnerError
from study.store import schema as t
from study.store.database import StoreLog, cache_reads, put_row

DRAFT_LIMIT = 20_000  # characters; more than anyone explains, far below what would slow a page


class Drafts(StoreLog):
    """Unfinished texts of each profile, by key."""

    def save(self, profile_id: str, key: str, text: str, *, at: datetime) -> None:
        """Keep an unfinished text; the newest one counts."""
        if len(text) > DRAFT_LIMIT:
            raise LearnerError(
                f"This text has {len(text):,} characters.", do_next=f"Shorten it to at most {DRAFT_LIMIT:,}."
            )
        with self._database.write(profile_id) as connection:
            put_row(
                connection, t.drafts, {"profile_id": profile_id, "key": key}, {"text": text, "saved_at": at}
            )

    @cache_reads
    def read(self, profile_id: str, key: str) -> str:
        """The unfinished text under a key; empty if there is none."""
        wanted = select(t.drafts.c.text).where(t.drafts.c.profile_id == profile_id, t.drafts.c.key == key)
        with self._database.read() as connection:
            return connection.scalar(wanted) or ""
