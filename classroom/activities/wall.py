"""Own words of a class: what is asked, and the answers grouped by concept and verdict."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from study.base.errors import LearnerError
from study.ports.classes import VERDICTS, ClassConcept, ConceptVerdict
from study.store.class_records import ClassAnswer

LONGEST_TEXT = 600
"""Characters: a few sentences, typed on a phone."""

VERDICT_LABELS: Mapping[ConceptVerdict, str] = {
    "covered": "Covered",
    "partial": "Partly covered",
    "contradicted": "Contradicted",
    "missing": "Missing",
    "unsure": "Grader unsure",
}


SENTENCE_END = re.compile(r"(?<=[.!?])\s+|\n+")

FEWEST_QUOTED_WORDS = 3
"""A shorter quote tells a class nothing."""


@dataclass(frozen=True, kw_only=True)
class Quote:
    """What one answer says about one concept, without a name."""

    text: str
    """The sentence that carries the verdict; the whole answer where nothing is said about the concept."""

    @property
    def says_enough(self) -> bool:
        """Whether it is long enough for the wall."""
        return len(self.text.split()) >= FEWEST_QUOTED_WORDS


@dataclass(frozen=True, kw_only=True)
class Group:
    """The answers with one verdict on one concept."""

    verdict: ConceptVerdict
    quotes: tuple[Quote, ...]


@dataclass(frozen=True, kw_only=True)
class ConceptGroups:
    """All answers by their verdict on one concept."""

    concept: ClassConcept
    groups: tuple[Group, ...]


@dataclass(frozen=True, kw_only=True)
class WrittenAnswer:
    """A text with what the grader found in it: by concept a verdict and the `[start, end]` of its quote."""

    id: str
    text: str
    graded: Mapping[str, Any] | None

    @classmethod
    def from_answer(cls, answer: ClassAnswer) -> "WrittenAnswer":
        return cls(id=answer.id, text=str(answer.value["text"]), graded=answer.graded)


Overruled = Mapping[tuple[str, str], ConceptVerdict]
"""The teacher's verdicts, by answer and concept."""


def read_text(typed: Any) -> str:
    """Check a text. Raises LearnerError when it is empty or too long."""
    text = re.sub(r"[^\S\n]+", " ", str(typed if typed is not None else "")).strip()
    if not text:
        raise LearnerError("There is no text yet.", do_next="Write a sentence, then send it.")
    if len(text) > LONGEST_TEXT:
        raise LearnerError(
            f"The text has {len(text)} characters; {LONGEST_TEXT} fit.", do_next="Shorten it, then send it."
        )
    return text


def choose_wall_verdict(
    answer: WrittenAnswer, concept_id: str, overruled: Overruled
) -> ConceptVerdict | None:
    """The teacher's verdict, else the grader's; None for an answer that nobody has judged yet."""
    by_teacher = overruled.get((answer.id, concept_id))
    if by_teacher is not None:
        return by_teacher
    found: ConceptVerdict | None = ((answer.graded or {}).get(concept_id) or {}).get("verdict")
    return found


def group_answers(
    answers: Iterable[WrittenAnswer], concepts: Iterable[ClassConcept], overruled: Overruled
) -> list[ConceptGroups]:
    """Group answers by concept and verdict, in the order of VERDICTS; those not judged are left out."""
    written = list(answers)
    return [
        ConceptGroups(
            concept=concept,
            groups=tuple(
                Group(verdict=verdict, quotes=quotes)
                for verdict in VERDICTS
                if (quotes := _list_quotes(written, concept.id, verdict, overruled))
            ),
        )
        for concept in concepts
    ]


def drop_short_quotes(found: ConceptGroups) -> ConceptGroups:
    """Without quotes of a word or two, and without groups that then have none."""
    kept = ((group, tuple(quote for quote in group.quotes if quote.says_enough)) for group in found.groups)
    return replace(found, groups=tuple(replace(group, quotes=quotes) for group, quotes in kept if quotes))


def _list_quotes(
    answers: Iterable[WrittenAnswer], concept_id: str, verdict: ConceptVerdict, overruled: Overruled
) -> tuple[Quote, ...]:
    return tuple(
        Quote(text=_quote(answer, concept_id))
        for answer in answers
        if choose_wall_verdict(answer, concept_id, overruled) == verdict
    )


def _quote(answer: WrittenAnswer, concept_id: str) -> str:
    """Quote the sentences that the evidence touches: a part of one says something else than who wrote it."""
    quote = ((answer.graded or {}).get(concept_id) or {}).get("quote")
    if not quote:
        return answer.text
    start, end = quote
    begins = [found.end() for found in SENTENCE_END.finditer(answer.text) if found.end() <= start]
    ends = [found.start() for found in SENTENCE_END.finditer(answer.text) if found.start() >= end]
    return answer.text[max(begins, default=0) : min(ends, default=len(answer.text))].strip()
