"""Grading an explanation: which of a prompt's concepts it states, on what words, and how surely.

Each passage is weighed against each concept by itself. What has nothing to say of a concept is left out; the
rest is weighed once more together, in an order of its own. So the order of unrelated sentences, their number
and their case cannot change a verdict, and an answer without its evidence states less.

    score(concepts, texts) -> for each text, for each concept, four likelihoods: worker/, or a test's own
    grade(prompt, answer, score, limits) -> Grading
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from quizzes.explain.feedback import reason_for
from quizzes.explain.grade import Verdict
from quizzes.explain.guards import no_claim
from quizzes.explain.passages import READ_CHARACTERS, Passage, passages
from quizzes.explain.prompts import Prompt, PromptConcept


@dataclass(frozen=True)
class Scores:
    """How likely each verdict is, in the order of the network's outputs; they add up to one."""

    missing: float
    partial: float
    covered: float
    contradicted: float


Scorer = Callable[[Sequence[str], Sequence[str]], Sequence[Sequence[Scores]]]
"""Texts of a prompt's concepts, and of an answer's passages, to a row of scores for each passage."""

NOTHING_SAID = Scores(1.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """From which likelihood on a verdict is given; below all of them it is `unsure`."""

    relevant: float
    """A passage says something of a concept unless it is missing with more than 1 - this."""

    covered: float
    contradicted: float
    missing: float
    partial: float


@dataclass(frozen=True, kw_only=True)
class Span:
    """Part of the answer as it was typed: `answer[start:end]`."""

    start: int
    end: int


@dataclass(frozen=True, kw_only=True)
class ConceptGrade:
    """What the answer says of one concept."""

    concept_id: str
    verdict: Verdict
    evidence: tuple[Span, ...]
    """The passages that the verdict rests on; empty when nothing was said."""

    confidence: float
    """The likelihood of the verdict; of the likeliest one for `unsure`."""

    reason: str


@dataclass(frozen=True, kw_only=True)
class Grading:
    """All concepts of a prompt, in its order."""

    concepts: tuple[ConceptGrade, ...]
    cut: bool = False
    """Whether the answer was longer than what is read."""

    @property
    def verdicts(self) -> Mapping[str, Verdict]:
        """Verdict by concept id."""
        return {concept.concept_id: concept.verdict for concept in self.concepts}


def concept_text(concept: PromptConcept) -> str:
    """What the network reads of a concept."""
    if concept.definition.startswith(concept.label):
        return concept.definition
    return f"{concept.label}. {concept.definition}"


@dataclass(frozen=True, kw_only=True)
class Weighed:
    """What bears on one concept: the passages that say something of it, and how likely each verdict is."""

    passages: tuple[Passage, ...]
    scores: Scores


def grade(prompt: Prompt, answer: str, score: Scorer, limits: Limits) -> Grading:
    """Verdict, evidence, confidence and reason for each concept of the prompt."""
    weighed = weigh(prompt, answer, score, relevant=limits.relevant)
    grades = [
        _graded(concept, of_it, limits) for concept, of_it in zip(prompt.concepts, weighed, strict=True)
    ]
    return Grading(concepts=tuple(grades), cut=len(answer) > READ_CHARACTERS)


def weigh(prompt: Prompt, answer: str, score: Scorer, *, relevant: float) -> list[Weighed]:
    """Every passage against every concept; then, for each concept, those that bear on it together."""
    texts = [concept_text(concept) for concept in prompt.concepts]
    said = _claims(prompt, answer)
    rows = score(texts, [passage.text for passage in said])
    found = [_relevant(said, [row[at] for row in rows], relevant) for at in range(len(texts))]
    several = sorted({_joined(passages_) for passages_, _ in found if len(passages_) > 1})
    together = dict(zip(several, score(texts, several), strict=True))
    return [
        Weighed(passages=chosen, scores=together[_joined(chosen)][at] if len(chosen) > 1 else alone)
        for at, (chosen, alone) in enumerate(found)
    ]


def _claims(prompt: Prompt, answer: str) -> list[Passage]:
    given = (prompt.text, prompt.hint)
    return [passage for passage in passages(answer) if no_claim(passage.text, given=given) is None]


def _relevant(
    said: Sequence[Passage], scores: Sequence[Scores], relevant: float
) -> tuple[tuple[Passage, ...], Scores]:
    """Passages with something to say, in an order independent of where they stand; the first one's scores."""
    found = [both for both in zip(said, scores, strict=True) if 1 - both[1].missing >= relevant]
    found.sort(key=_words_first)
    return tuple(passage for passage, _ in found), found[0][1] if found else NOTHING_SAID


def _words_first(entry: tuple[Passage, Scores]) -> str:
    return entry[0].text.lower()


def _joined(found: Sequence[Passage]) -> str:
    return " ".join(passage.text if passage.text[-1] in ".!?" else f"{passage.text}." for passage in found)


def _graded(concept: PromptConcept, weighed: Weighed, limits: Limits) -> ConceptGrade:
    verdict, confidence = decide(weighed.scores, limits)
    spans = sorted((passage.start, passage.end) for passage in weighed.passages)
    return ConceptGrade(
        concept_id=concept.id,
        verdict=verdict,
        evidence=() if verdict == "missing" else tuple(Span(start=start, end=end) for start, end in spans),
        confidence=round(confidence, 3),
        reason=reason_for(verdict, concept),
    )


def decide(scores: Scores, limits: Limits) -> tuple[Verdict, float]:
    """The verdict that the likelihoods allow, and its likelihood."""
    if scores.contradicted >= limits.contradicted:
        return "contradicted", scores.contradicted
    if scores.covered >= limits.covered:
        return "covered", scores.covered
    if scores.missing >= limits.missing:
        return "missing", scores.missing
    if scores.partial >= limits.partial:
        return "partial", scores.partial
    return "unsure", max(scores.missing, scores.partial, scores.covered, scores.contradicted)
