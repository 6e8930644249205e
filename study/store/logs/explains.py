"""The log of explanations in the learner's own words, and of every judgement on them."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from sqlalchemy import Connection, insert, select
from sqlalchemy.exc import IntegrityError

from study.base.errors import LearnerError, StaleError
from study.store import schema as t
from study.store.database import StoreLog, cache_reads, read_row

Judge = Literal["learner", "grader", "teacher"]
Span = tuple[int, int]


@dataclass(frozen=True, kw_only=True)
class Opinion:
    """A verdict on one concept, before it is stored."""

    concept_id: str
    verdict: str
    rubric: str | None = None
    """Fingerprint of the concept's wording; None for one whose wording was not recorded."""

    confidence: float | None = None
    evidence: tuple[Span, ...] = ()
    """Parts of what was said: `attempt.said[start:end]`."""

    reason: str = ""
    replies: int | None = None
    """How many replies the grader read together with the text."""


@dataclass(frozen=True, kw_only=True)
class Judgement(Opinion):
    """A stored verdict: by whom, when, and whether it was taken back."""

    id: int
    by: Judge
    at: datetime
    undone: bool = False


@dataclass(frozen=True, kw_only=True)
class ConceptReply:
    """What the learner answered when asked what was meant."""

    concept_id: str
    text: str


@dataclass(frozen=True, kw_only=True)
class ExplainAttempt:
    """One submitted explanation, what was added when asked, and all judgements, oldest first."""

    id: int
    prompt_id: str
    text: str
    submitted_at: datetime
    replies: tuple[ConceptReply, ...] = ()
    judgements: tuple[Judgement, ...] = ()

    @property
    def said(self) -> str:
        """The text and all replies: what the grader reads and its evidence points into."""
        return "\n\n".join([self.text, *(reply.text for reply in self.replies)])

    def of(self, concept_id: str) -> tuple[Judgement, ...]:
        """All judgements on one concept, oldest first."""
        return tuple(each for each in self.judgements if each.concept_id == concept_id)

    def newest(self, concept_id: str, by: Judge) -> Judgement | None:
        """Somebody's last word on a concept as it is worded now, unless taken back."""
        found = self.of(concept_id)
        wording = next((each.rubric for each in reversed(found) if each.rubric), None)
        return next(
            (
                each
                for each in reversed(found)
                if each.by == by and not each.undone and each.rubric in (None, wording)
            ),
            None,
        )

    def counted(self, concept_id: str) -> str | None:
        """The verdict that counts: the teacher's, or what grader and learner do not disagree on."""
        teacher, grader, learner = (self.newest(concept_id, by) for by in ("teacher", "grader", "learner"))
        if teacher:
            return teacher.verdict
        if grader and learner and grader.verdict != "unsure":
            agree = (grader.verdict == "covered") == (learner.verdict == "covered")
            return grader.verdict if agree else None
        return next((each.verdict for each in (learner, grader) if each), None)

    @property
    def verdicts(self) -> Mapping[str, str] | None:
        """The verdict that counts on each concept that has one; None before anyone judged it."""
        if not self.judgements:
            return None
        ids = dict.fromkeys(each.concept_id for each in self.judgements)
        counted = {concept_id: self.counted(concept_id) for concept_id in ids}
        return {concept_id: verdict for concept_id, verdict in counted.items() if verdict}


@dataclass(frozen=True, kw_only=True)
class CountedVerdict:
    """The verdict that counts on one concept of one explanation."""

    prompt_id: str
    concept_id: str
    verdict: str
    at: datetime
    """When the explanation was written."""


class ExplainLog(StoreLog):
    """Explanations and judgements, appended, never changed."""

    def submit(self, profile_id: str, prompt_id: str, text: str, *, at: datetime) -> int:
        """Store an explanation; its draft has done its work and goes, in the same transaction."""
        with self._database.write(profile_id) as connection:
            attempt_id: int = connection.execute(
                insert(t.explain_attempts)
                .values(profile_id=profile_id, prompt_id=prompt_id, text=text, submitted_at=at)
                .returning(t.explain_attempts.c.id)
            ).scalar_one()
            connection.execute(
                t.drafts.delete().where(
                    t.drafts.c.profile_id == profile_id, t.drafts.c.key == draft_key(prompt_id)
                )
            )
        return attempt_id

    def record(
        self, profile_id: str, attempt_id: int, opinions: Iterable[Opinion], *, by: Judge, at: datetime
    ) -> None:
        """Append judgements to an attempt of this profile."""
        rows = [
            {
                **vars(opinion),
                "attempt_id": attempt_id,
                "by": by,
                "at": at,
                "evidence": [list(span) for span in opinion.evidence] or None,
                "reason": opinion.reason or None,
            }
            for opinion in opinions
        ]
        with self._database.write(profile_id) as connection:
            _require_owner(connection, profile_id, attempt_id)
            if rows:
                connection.execute(insert(t.explain_verdicts), rows)

    def reply(self, profile_id: str, attempt_id: int, concept_id: str, text: str, *, at: datetime) -> None:
        """Append the answer to a question back about one concept."""
        with self._database.write(profile_id) as connection:
            _require_owner(connection, profile_id, attempt_id)
            row = {"attempt_id": attempt_id, "concept_id": concept_id, "text": text, "replied_at": at}
            connection.execute(insert(t.explain_replies).values(row))

    def take_back(self, profile_id: str, attempt_id: int, verdict_id: int, *, at: datetime) -> None:
        """Undo a person's verdict; it stays in the history."""
        ours = select(t.explain_verdicts.c.id).where(
            t.explain_verdicts.c.id == verdict_id,
            t.explain_verdicts.c.attempt_id == attempt_id,
            t.explain_verdicts.c.by != "grader",
        )
        try:
            with self._database.write(profile_id) as connection:
                _require_owner(connection, profile_id, attempt_id)
                if connection.scalar(ours) is None:
                    raise LearnerError("That mark is not on this explanation.", do_next="Reload the page.")
                connection.execute(
                    insert(t.explain_verdict_undos).values(verdict_id=verdict_id, undone_at=at)
                )
        except IntegrityError as error:
            raise StaleError(
                "That mark has already been removed.", do_next="Reload the page to see how it stands."
            ) from error

    def counted(self, profile_id: str) -> list[CountedVerdict]:
        """What all explanations of a profile say about its knowledge, newest first; unsure says nothing."""
        return [
            CountedVerdict(
                prompt_id=attempt.prompt_id, concept_id=concept_id, verdict=verdict, at=attempt.submitted_at
            )
            for attempt in self.attempts(profile_id)
            for concept_id, verdict in (attempt.verdicts or {}).items()
            if verdict != "unsure"
        ]

    @cache_reads
    def attempts(self, profile_id: str, prompt_id: str | None = None) -> list[ExplainAttempt]:
        """The attempts of a profile, newest first, for one prompt or for all."""
        wanted = select(t.explain_attempts).where(t.explain_attempts.c.profile_id == profile_id)
        if prompt_id is not None:
            wanted = wanted.where(t.explain_attempts.c.prompt_id == prompt_id)
        with self._database.read() as connection:
            newest_first = (t.explain_attempts.c.submitted_at.desc(), t.explain_attempts.c.id.desc())
            rows = connection.execute(wanted.order_by(*newest_first)).all()
            ids = [row.id for row in rows]
            judged = _read_judgements(connection, ids)
            replied = _read_replies(connection, ids)
        return [
            read_row(
                ExplainAttempt,
                row,
                replies=tuple(replied.get(row.id, ())),
                judgements=tuple(judged.get(row.id, ())),
            )
            for row in rows
        ]


def draft_key(prompt_id: str) -> str:
    """Where the draft of an explanation is kept."""
    return f"explain:{prompt_id}"


def _require_owner(connection: Connection, profile_id: str, attempt_id: int) -> None:
    """Refuse an attempt of another profile."""
    own = select(t.explain_attempts.c.id).where(
        t.explain_attempts.c.id == attempt_id, t.explain_attempts.c.profile_id == profile_id
    )
    if connection.scalar(own) is None:
        raise LearnerError(
            "That explanation is not in this profile.", do_next="Switch the profile or write a new one."
        )


def _read_judgements(connection: Connection, attempt_ids: Sequence[int]) -> dict[int, list[Judgement]]:
    found: dict[int, list[Judgement]] = {}
    undos = t.explain_verdict_undos
    wanted = (
        select(t.explain_verdicts, undos.c.id.label("undo_id"))
        .outerjoin(undos, undos.c.verdict_id == t.explain_verdicts.c.id)
        .where(t.explain_verdicts.c.attempt_id.in_(attempt_ids))
        .order_by(t.explain_verdicts.c.at, t.explain_verdicts.c.id)
    )
    for row in connection.execute(wanted):
        evidence, undone = tuple((start, end) for start, end in row.evidence or ()), row.undo_id is not None
        read = read_row(Judgement, row, evidence=evidence, reason=row.reason or "", undone=undone)
        found.setdefault(row.attempt_id, []).append(read)
    return found


def _read_replies(connection: Connection, attempt_ids: Sequence[int]) -> dict[int, list[ConceptReply]]:
    wanted = select(t.explain_replies).where(t.explain_replies.c.attempt_id.in_(attempt_ids))
    found: dict[int, list[ConceptReply]] = {}
    for row in connection.execute(wanted.order_by(t.explain_replies.c.replied_at, t.explain_replies.c.id)):
        found.setdefault(row.attempt_id, []).append(read_row(ConceptReply, row))
    return found
