"""Grading an explanation: which of a prompt's concepts it states, on what words, and how surely.

Each passage is weighed against each concept by itself. What has nothing to say of a concept is left out; the
rest is weighed once more together, in an order of its own. So the order of unrelated sentences, their number
and their case cannot change a verdict, and an answer without its evidence states less.

    score(concepts, texts) -> for each text, for each concept, four likelihoods: worker/, or a test's own
    grade(prompt, answer, score, limits) -> Grading
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace

from quizzes.grader.feedback import reason_for
from quizzes.grader.guards import no_claim
from quizzes.grader.passages import READ_CHARACTERS, Passage, passages
from quizzes.grader.prompts import Prompt, PromptConcept
from quizzes.grader.rejections import rejection_in
from quizzes.grader.verdicts import Verdict


@dataclass(frozen=True)
class Scores:
    """How likely each verdict is, in the order of the network's outputs; they add up to one."""

    missing: float
    partial: float
    covered: float
    contradicted: float

    def speaks(self, relevant: float) -> bool:
        """Whether something is said at all."""
        return 1 - self.missing >= relevant

    def turned(self) -> "Scores":
        """Of a statement that is rejected: what it covers is contradicted, and the other way round."""
        return replace(self, covered=self.contradicted, contradicted=self.covered)


Scorer = Callable[[Sequence[str], Sequence[str]], Sequence[Sequence[Scores]]]
"""Texts of a prompt's concepts, and of an answer's passages, to a row of scores for each passage."""

NOTHING_SAID = Scores(1.0, 0.0, 0.0, 0.0)


@dataclass(frozen=True, kw_only=True)
class Limits:
    """From which likelihood on a verdict is given; below all of them it is `unsure`."""

    relevant: float
    """A passage says something of a concept unless it is missing with more than 1 - this."""

    covered: float
    doubt: float
    """Covered is not given when contradicted is likelier than this."""

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
    opinions = _opinions(said, texts, score)
    found = [
        [(passage, row[at]) for passage, row in zip(said, opinions, strict=True) if row[at].speaks(relevant)]
        for at in range(len(texts))
    ]
    for entries in found:
        entries.sort(key=_words_first)
    several = sorted({_joined(entries) for entries in found if _read_together(entries)})
    together = dict(zip(several, score(texts, several), strict=True))
    return [
        Weighed(
            passages=tuple(passage for passage, _ in entries),
            scores=together[_joined(entries)][at]
            if _read_together(entries)
            else strongest([scores for _, scores in entries]),
        )
        for at, entries in enumerate(found)
    ]


Entries = Sequence[tuple[Passage, Scores]]


def _read_together(entries: Entries) -> bool:
    """Several plain statements are read as one text; a rejection among them would be misread."""
    return len(entries) > 1 and not any(rejection_in(passage.text) for passage, _ in entries)


def _opinions(said: Sequence[Passage], concepts: Sequence[str], score: Scorer) -> list[list[Scores]]:
    """For each passage its scores; of a rejected statement they are turned round."""
    pieces = [_pieces(passage.text) for passage in said]
    rows = iter(score(concepts, [text for parts in pieces for text, _ in parts]))
    opinions = []
    for parts in pieces:
        read = [[s.turned() if rejected else s for s in next(rows)] for _, rejected in parts]
        opinions.append([strongest(column) for column in zip(*read, strict=True)])
    return opinions


def _pieces(text: str) -> list[tuple[str, bool]]:
    """What a passage says, and whether it says so to reject it."""
    rejection = rejection_in(text)
    if rejection is None:
        return [(text, False)]
    instead = [(rejection.instead, False)] if rejection.instead else []
    return [(rejection.statement, True), *instead]


def strongest(opinions: Sequence[Scores]) -> Scores:
    """Of several statements each verdict at its likeliest; missing only where all miss it."""
    if not opinions:
        return NOTHING_SAID
    values = (
        min(one.missing for one in opinions),
        max(one.partial for one in opinions),
        max(one.covered for one in opinions),
        max(one.contradicted for one in opinions),
    )
    return Scores(*(value / sum(values) for value in values))


def _claims(prompt: Prompt, answer: str) -> list[Passage]:
    given = (prompt.text, prompt.hint)
    return [passage for passage in passages(answer) if no_claim(passage.text, given=given) is None]


def _words_first(entry: tuple[Passage, Scores]) -> str:
    return entry[0].text.lower()


def _joined(entries: Entries) -> str:
    return " ".join(
        passage.text if passage.text[-1] in ".!?" else f"{passage.text}." for passage, _ in entries
    )


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
    if scores.covered >= limits.covered and scores.contradicted <= limits.doubt:
        return "covered", scores.covered
    if scores.missing >= limits.missing:
        return "missing", scores.missing
    if scores.partial >= limits.partial:
        return "partial", scores.partial
    return "unsure", max(scores.missing, scores.partial, scores.covered, scores.contradicted)
