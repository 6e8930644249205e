"""Status of an explanation per concept: verdicts of grader, learner and teacher, and what is new."""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import cast

from quizzes.explain.advice import Advice, Advices, choose_sentence
from quizzes.explain.highlights import Marked, split_segments
from quizzes.grader.grading import Grading, concept_text
from quizzes.grader.prompts import Prompt, PromptConcept
from quizzes.grader.verdicts import Verdict
from study.store.logs.explains import ExplainAttempt, Judgement, Opinion

_ENGLISH = re.compile(
    r"(?:the|a|an|of|to|in|and|is|are|it|its|be|by|not|that|this|as|for|with|on|only|than|from|"
    r"which|so|because|has|have|while|when|you|we|they|their|them|at|or|but|does|do|can|no|"
    r"each|more|less|every|into|what|all)"
)
FEW_WORDS = 6
ENGLISH_SHARE = 0.12
"""169 of 179 labelled answers in other languages have a smaller share, and 2 % of the English ones."""


@dataclass(frozen=True, kw_only=True)
class ConceptStatus:
    """The status of one concept of an explanation, as the page shows it."""

    number: int
    concept: PromptConcept
    advice: Advice | None
    grader: Judgement | None
    learner: Judgement | None
    teacher: Judgement | None
    counted: str | None
    before: str | None
    """The verdict that counted in the previous attempt."""

    tried_before: bool

    asked: bool
    """Whether the grader has already asked the learner about it."""

    history: tuple[Judgement, ...]

    @property
    def verdict(self) -> Verdict:
        """The verdict on the chip: the teacher's, else the grader's, else the learner's."""
        said = self.teacher or self.grader or self.learner
        return cast(Verdict, said.verdict if said else "missing")

    @property
    def sentence(self) -> str:
        """The feedback on the chip's verdict."""
        return choose_sentence(self.advice, self.verdict, self.concept)

    @property
    def disputed(self) -> bool:
        """Whether it counts neither way because grader and learner disagree."""
        return self.counted is None and bool(self.history)

    @property
    def asks(self) -> bool:
        """Whether the grader asks what the learner meant; it asks once."""
        return self.verdict == "unsure" and not self.asked and self.learner is None


def list_statuses(
    prompt: Prompt, attempt: ExplainAttempt, *, before: ExplainAttempt | None, advices: Advices
) -> list[ConceptStatus]:
    """Return the status of every concept of the prompt, in its order."""
    asked = {reply.concept_id for reply in attempt.replies}
    return [
        ConceptStatus(
            number=number,
            concept=concept,
            advice=advices.get((prompt.id, concept.id)),
            grader=attempt.newest(concept.id, "grader"),
            learner=attempt.newest(concept.id, "learner"),
            teacher=attempt.newest(concept.id, "teacher"),
            counted=attempt.counted(concept.id),
            before=before.counted(concept.id) if before else None,
            tried_before=before is not None,
            asked=concept.id in asked,
            history=attempt.of(concept.id),
        )
        for number, concept in enumerate(prompt.concepts, start=1)
    ]


def mark_evidence(attempt: ExplainAttempt, found: Iterable[ConceptStatus]) -> list[Marked]:
    """Split the learner's text into segments for highlighting the words that carry the verdicts."""
    judged = [one for one in found if one.grader]
    spans = {one.number: one.grader.evidence for one in judged if one.grader}
    against = {one.number for one in judged if one.verdict == "contradicted"}
    return split_segments(attempt.said, spans, against=against)


def list_gained(found: Iterable[ConceptStatus]) -> tuple[list[str], list[str]]:
    """Return the labels of the concepts newly covered since the previous attempt, and of those lost."""
    compared = [one for one in found if one.tried_before]
    new = [one.concept.label for one in compared if one.counted == "covered" != one.before]
    lost = [one.concept.label for one in compared if one.before == "covered" != one.counted]
    return new, lost


# ---- what the grader has judged, and what is still ungraded


def compute_fingerprint(concept: PromptConcept) -> str:
    """Return a hash that changes when the wording of a concept changes."""
    return hashlib.sha256(concept_text(concept).encode()).hexdigest()[:16]


def list_unread(prompt: Prompt, attempt: ExplainAttempt) -> set[str]:
    """Return the ids of the concepts whose current wording is not yet judged on the full text."""
    answered = {reply.concept_id: number for number, reply in enumerate(attempt.replies, start=1)}
    read = {
        (each.concept_id, each.rubric): each.replies or 0
        for each in attempt.judgements
        if each.by == "grader"
    }
    return {
        concept.id
        for concept in prompt.concepts
        if read.get((concept.id, compute_fingerprint(concept)), -1) < answered.get(concept.id, 0)
    }


def list_opinions(prompt: Prompt, attempt: ExplainAttempt, grading: Grading) -> list[Opinion]:
    """Return the grader's verdicts on ungraded concepts, and those that differ from its last ones."""
    missing = list_unread(prompt, attempt)
    rubrics = {concept.id: compute_fingerprint(concept) for concept in prompt.concepts}
    found = []
    for graded in grading.concepts:
        last = attempt.newest(graded.concept_id, "grader")
        if graded.concept_id in missing or last is None or last.verdict != graded.verdict:
            opinion = Opinion(
                concept_id=graded.concept_id,
                verdict=graded.verdict,
                rubric=rubrics[graded.concept_id],
                confidence=graded.confidence,
                evidence=tuple((span.start, span.end) for span in graded.words),
                replies=len(attempt.replies),
            )
            found.append(opinion)
    return found


def reads_as_english(text: str) -> bool:
    """Return whether the text has enough English function words; the grader was trained on English only."""
    words = re.findall(r"[^\W\d_]+", text.lower())
    if len(words) < FEW_WORDS:
        return True
    return sum(bool(_ENGLISH.fullmatch(word)) for word in words) >= ENGLISH_SHARE * len(words)
