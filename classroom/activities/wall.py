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
class Group:
    """The answers with one verdict on one concept, without names."""

    verdict: ConceptVerdict
    quotes: tuple[str, ...]
    """The sentences that carry it; a whole answer where nothing is said about the concept."""


@dataclass(frozen=True, kw_only=True)
class ConceptGroups:
    """All answers by their verdict on one concept."""

    concept: ClassConcept
    groups: tuple[Group, ...]


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


def get_text(answer: ClassAnswer) -> str:
    """The text of an answer in own words."""
    return str(answer.value["text"])


def says_enough(quote: str) -> bool:
    """Whether a quote is long enough for the wall."""
    return len(quote.split()) >= FEWEST_QUOTED_WORDS


def choose_wall_verdict(answer: ClassAnswer, concept_id: str, overruled: Overruled) -> ConceptVerdict | None:
    """The teacher's verdict, else the grader's; None for an answer that nobody has judged yet."""
    by_teacher = overruled.get((answer.id, concept_id))
    if by_teacher is not None:
        return by_teacher
    found: ConceptVerdict | None = ((answer.graded or {}).get(concept_id) or {}).get("verdict")
    return found


def group_answers(
    answers: Iterable[ClassAnswer], concepts: Iterable[ClassConcept], overruled: Overruled
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
    kept = ((group, tuple(filter(says_enough, group.quotes))) for group in found.groups)
    return replace(found, groups=tuple(replace(group, quotes=quotes) for group, quotes in kept if quotes))


def _list_quotes(
    answers: Iterable[ClassAnswer], concept_id: str, verdict: ConceptVerdict, overruled: Overruled
) -> tuple[str, ...]:
    return tuple(
        _quote(answer, concept_id)
        for answer in answers
        if choose_wall_verdict(answer, concept_id, overruled) == verdict
    )


def _quote(answer: ClassAnswer, concept_id: str) -> str:
    """Quote the sentences that the evidence touches: a part of one says something else than who wrote it."""
    text, quote = get_text(answer), ((answer.graded or {}).get(concept_id) or {}).get("quote")
    if not quote:
        return text
    start, end = quote
    begins = [found.end() for found in SENTENCE_END.finditer(text) if found.end() <= start]
    ends = [found.start() for found in SENTENCE_END.finditer(text) if found.start() >= end]
    return text[max(begins, default=0) : min(ends, default=len(text))].strip()
