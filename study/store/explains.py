"""The log of explanations in the learner's own words, and of the verdicts on them."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import insert, select

from study.errors import LearnerError
from study.store import schema as t
from study.store.database import Database
from study.store.profiles import lock

Judge = Literal["learner", "grader"]


@dataclass(frozen=True, kw_only=True)
class ExplainAttempt:
    """One submitted explanation with the newest verdict on each concept; None before anyone judged it."""

    id: int
    prompt_id: str
    text: str
    submitted_at: datetime
    verdicts: Mapping[str, str] | None


class ExplainLog:
    """Explanations and verdicts, appended, never changed; the newest verdict on a concept counts."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def submit(self, profile_id: str, prompt_id: str, text: str, *, at: datetime) -> int:
        """Store an explanation; its draft has done its work and goes, in the same transaction."""
        with self._database.write() as connection:
            appended = connection.execute(
                insert(t.explain_attempts).values(
                    profile_id=profile_id, prompt_id=prompt_id, text=text, submitted_at=at
                )
            )
            connection.execute(
                t.drafts.delete().where(
                    t.drafts.c.profile_id == profile_id, t.drafts.c.key == draft_key(prompt_id)
                )
            )
            key = appended.inserted_primary_key
            assert key is not None
            return int(key[0])

    def judge(
        self, profile_id: str, attempt_id: int, verdicts: Mapping[str, str], *, by: Judge, at: datetime
    ) -> None:
        """Append one verdict per concept to an attempt of this profile."""
        rows = [
            {"attempt_id": attempt_id, "concept_id": concept, "verdict": verdict, "by": by, "at": at}
            for concept, verdict in verdicts.items()
        ]
        own = select(t.explain_attempts.c.id).where(
            t.explain_attempts.c.id == attempt_id, t.explain_attempts.c.profile_id == profile_id
        )
        with self._database.write() as connection:
            lock(connection, profile_id)
            if connection.scalar(own) is None:
                raise LearnerError(
                    "That explanation is not in this profile.",
                    do_next="Switch the profile or write a new one.",
                )
            connection.execute(insert(t.explain_verdicts), rows)

    def attempts(self, profile_id: str, prompt_id: str | None = None) -> list[ExplainAttempt]:
        """The attempts of a profile, newest first, for one prompt or for all."""
        wanted = select(t.explain_attempts).where(t.explain_attempts.c.profile_id == profile_id)
        if prompt_id is not None:
            wanted = wanted.where(t.explain_attempts.c.prompt_id == prompt_id)
        with self._database.read() as connection:
            rows = connection.execute(wanted.order_by(t.explain_attempts.c.id.desc())).all()
            judged: dict[int, dict[str, str]] = {}
            verdicts = select(t.explain_verdicts).where(
                t.explain_verdicts.c.attempt_id.in_([row.id for row in rows])
            )
            for verdict in connection.execute(verdicts.order_by(t.explain_verdicts.c.id)):
                judged.setdefault(verdict.attempt_id, {})[verdict.concept_id] = verdict.verdict
        return [
            ExplainAttempt(
                id=row.id,
                prompt_id=row.prompt_id,
                text=row.text,
                submitted_at=row.submitted_at,
                verdicts=judged.get(row.id),
            )
            for row in rows
        ]


def draft_key(prompt_id: str) -> str:
    """Where the draft of an explanation is kept."""
    return f"explain:{prompt_id}"
