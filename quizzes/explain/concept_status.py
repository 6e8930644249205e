"""Status of an explanation per concept: verdicts of grader, learner and teacher, and what is new."""

import hashlib
import re
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import cast

from quizzes.explain.advice import Advice, Advices, choose_sentence
from quizzes.grader.grading import Grading, format_concept
from quizzes.grader.prompts import Prompt, PromptConcept
from study.ports.classes import ConceptVerdict
from study.store.logs.explains import ExplainAttempt, Judgement, Opinion, Span

_ENGLISH = re.compile(
    r"(?:the|a|an|of|to|in|and|is|are|it|its|be|by|not|that|this|as|for|with|on|only|than|from|"
    r"which|so|because|has|have|while|when|you|we|they|their|them|at|or|but|does|do|can|no|"
    r"each|more|less|every|into|what|all)"
)
FEW_WORDS = 4
ENGLISH_SHARE = 0.12
"""236 of 249 labelled answers in other languages have a smaller share, 57 of 74 of random letters, and 3 % of
the English ones.
"""


@dataclass(frozen=True, kw_only=True)
class HighlightedText:
    """A segment of the text and the numbers of the concepts that it is evidence for."""

    text: str
    numbers: tuple[int, ...]
    against: bool = False
    """Whether these words contradict the concepts."""


def split_segments(
    text: str, evidence: Mapping[int, Iterable[Span]], *, against: Container[int] = ()
) -> list[HighlightedText]:
    """Split the whole text into segments; `evidence` holds spans by concept number.

    A segment that contradicts a concept of `against` is marked for contradicted concepts only, so that no
    words are marked as right and as wrong.
    """
    spans = [
        (number, max(0, start), min(end, len(text)))
        for number, found in evidence.items()
        for start, end in found
    ]
    cuts = sorted({0, len(text), *(start for _, start, _ in spans), *(end for _, _, end in spans)})
    segments = []
    for start, end in pairwise(cuts):
        numbers = sorted({n for n, first, last in spans if first <= start and end <= last})
        wrong = [number for number in numbers if number in against]
        segments.append(
            HighlightedText(text=text[start:end], numbers=tuple(wrong or numbers), against=bool(wrong))
        )
    return segments


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

    asked: bool
    """Whether the grader has already asked the learner about it."""

    readable: bool
    """False where asking what was meant doesn't help."""

    history: tuple[Judgement, ...]

    @property
    def verdict(self) -> ConceptVerdict:
        """The verdict on the chip: the teacher's, else the grader's, else the learner's."""
        said = self.teacher or self.grader or self.learner
        return cast(ConceptVerdict, said.verdict if said else "missing")

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
        return self.verdict == "unsure" and self.readable and not self.asked and self.learner is None


def list_statuses(
    prompt: Prompt, attempt: ExplainAttempt, *, before: ExplainAttempt | None, advices: Advices
) -> list[ConceptStatus]:
    """Return the status of every concept of the prompt, in its order."""
    asked = {reply.concept_id for reply in attempt.replies}
    grader = {concept.id: attempt.newest(concept.id, "grader") for concept in prompt.concepts}
    readable = not is_unreadable(attempt.said, (one.verdict for one in grader.values() if one))
    return [
        ConceptStatus(
            number=number,
            concept=concept,
            advice=advices.get((prompt.id, concept.id)),
            grader=grader[concept.id],
            learner=attempt.newest(concept.id, "learner"),
            teacher=attempt.newest(concept.id, "teacher"),
            counted=attempt.counted(concept.id),
            before=before.counted(concept.id) if before else None,
            asked=concept.id in asked,
            readable=readable,
            history=attempt.of(concept.id),
        )
        for number, concept in enumerate(prompt.concepts, start=1)
    ]


def mark_evidence(attempt: ExplainAttempt, found: Iterable[ConceptStatus]) -> list[HighlightedText]:
    """Split the learner's text into segments for highlighting the words that carry the verdicts."""
    judged = [one for one in found if one.grader]
    spans = {one.number: one.grader.evidence for one in judged if one.grader}
    against = {one.number for one in judged if one.verdict == "contradicted"}
    wrong = [span for number in against for span in spans[number]]
    shown = {
        number: found if number in against else [span for span in found if not _is_cut_short(span, wrong)]
        for number, found in spans.items()
    }
    return split_segments(attempt.said, shown, against=against)


def _is_cut_short(span: Span, wrong: Iterable[Span]) -> bool:
    """Return whether contradictions take more than half of a span: what is left carries no verdict alone."""
    start, end = span
    taken = {at for first, last in wrong for at in range(max(start, first), min(end, last))}
    return 2 * len(taken) > end - start


def list_gained(found: Sequence[ConceptStatus]) -> tuple[list[str], list[str]]:
    """Return the labels of the concepts newly covered since the previous attempt, and of those lost."""
    new = [one.concept.label for one in found if one.counted == "covered" != one.before]
    lost = [one.concept.label for one in found if one.before == "covered" != one.counted]
    return new, lost


# ---- what the grader has judged, and what is still ungraded


def compute_fingerprint(concept: PromptConcept) -> str:
    """Return a hash that changes when the wording of a concept changes."""
    return hashlib.sha256(format_concept(concept).encode()).hexdigest()[:16]


def build_opinion(prompt: Prompt, concept_id: str, verdict: str, *, reason: str = "") -> Opinion:
    """Return a person's verdict on a concept of the prompt, in the concept's current wording."""
    [concept] = [one for one in prompt.concepts if one.id == concept_id]
    rubric = compute_fingerprint(concept)
    return Opinion(concept_id=concept_id, verdict=verdict, rubric=rubric, reason=reason)


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
    """Return the grader's verdicts on ungraded concepts, and those that differ from its last ones.

    Of a text that it can't read, or can't read to its end, the grader is unsure instead of calling anything
    missing, so nothing counts.
    """
    missing = list_unread(prompt, attempt)
    unreadable = is_unreadable(attempt.said, grading.verdicts.values())
    rubrics = {concept.id: compute_fingerprint(concept) for concept in prompt.concepts}
    found = []
    for graded in grading.concepts:
        unknown = unreadable or (grading.cut and graded.verdict == "missing")
        verdict = "unsure" if unknown else graded.verdict
        last = attempt.newest(graded.concept_id, "grader")
        if graded.concept_id in missing or last is None or last.verdict != verdict:
            opinion = Opinion(
                concept_id=graded.concept_id,
                verdict=verdict,
                rubric=rubrics[graded.concept_id],
                confidence=graded.confidence,
                evidence=tuple((span.start, span.end) for span in graded.words),
                replies=len(attempt.replies),
            )
            found.append(opinion)
    return found


def is_unreadable(text: str, verdicts: Iterable[str]) -> bool:
    """Return whether the grader found nothing in a text, and the text doesn't read as English."""
    found = set(verdicts)
    return bool(found) and found <= {"missing", "unsure"} and not reads_as_english(text)


def reads_as_english(text: str) -> bool:
    """Return whether the text has enough English function words; the grader was trained on English only."""
    words = re.findall(r"[^\W\d_]+", text.lower())
    if len(words) < FEW_WORDS:
        return True
    return sum(bool(_ENGLISH.fullmatch(word)) for word in words) >= ENGLISH_SHARE * len(words)
