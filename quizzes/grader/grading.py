"""Grading of an explanation: which of a prompt's concepts it entails, with evidence and confidence.

Each passage is scored against each concept on its own. Passages that say nothing about a concept are dropped;
the rest is scored once more as one text, in a canonical order. Therefore the order, number and case of
unrelated sentences can't change a verdict, and an answer without its evidence states less. A passage in a
concept's own words states that concept and no other; the network isn't asked.

    score(concepts, texts) -> four likelihoods per text and concept: from worker/, or from a test
    grade_answer(prompt, answer, score, limits) -> Grading
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from quizzes.grader.feedback import explain_verdict
from quizzes.grader.guards import find_no_claim, is_list, list_words
from quizzes.grader.passages import Passage, Span, blank_markup, close_sentence, is_cut, split_passages
from quizzes.grader.prompts import Prompt, PromptConcept
from quizzes.grader.rejections import find_rejection
from quizzes.grader.words import (
    LEAST_LIKELY,
    MOST_WORDS,
    Part,
    find_best_part,
    list_clause_runs,
    list_windows,
)
from study.ports.classes import ConceptVerdict


@dataclass(frozen=True)
class Scores:
    """The likelihood of each verdict, in the order of the network's outputs; they sum to one."""

    missing: float
    partial: float
    covered: float
    contradicted: float

    def speaks(self, relevant: float) -> bool:
        """Return whether the text says anything about the concept."""
        return 1 - self.missing >= relevant

    def swap(self) -> "Scores":
        """Swap covered and contradicted, for a statement that the answer rejects."""
        return replace(self, covered=self.contradicted, contradicted=self.covered)


Scorer = Callable[[Sequence[str], Sequence[str]], Sequence[Sequence[Scores]]]
"""Maps a prompt's concept texts and an answer's passages to one row of scores per passage."""

NOTHING_SAID = Scores(1.0, 0.0, 0.0, 0.0)
SAID = Scores(0.0, 0.0, 1.0, 0.0)
FEWEST_OWN_WORDS = 4
"""A concept of fewer words may stand in an answer by chance."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The thresholds: the least likelihood for each verdict; below all of them the verdict is `unsure`."""

    relevant: float
    """A passage is relevant to a concept unless `missing` is likelier than 1 - this."""

    covered: float
    doubt: float
    """`covered` is withheld when `contradicted` is likelier than this."""

    contradicted: float
    missing: float
    partial: float


@dataclass(frozen=True, kw_only=True)
class ConceptGrade:
    concept_id: str
    verdict: ConceptVerdict
    evidence: tuple[Span, ...]
    """The passages that support the verdict; empty when nothing was said."""

    confidence: float
    """The likelihood of the verdict; for `unsure`, of the likeliest verdict."""

    reason: str
    words: tuple[Span, ...] = ()
    """The words that carry the verdict, inside the evidence; all of it where the grader can't tell.
    Empty for `missing` and `unsure`, and if they were not looked for.
    """


@dataclass(frozen=True, kw_only=True)
class Grading:
    """The grades of all concepts of a prompt, in its order."""

    concepts: tuple[ConceptGrade, ...]
    cut: bool = False
    """Whether a part of the answer was not read."""

    @property
    def verdicts(self) -> Mapping[str, ConceptVerdict]:
        """The verdict by concept id."""
        return {concept.concept_id: concept.verdict for concept in self.concepts}


def format_concept(concept: PromptConcept) -> str:
    """Return the text that stands for a concept; a learner's own concept is its whole line."""
    if concept.definition.startswith(concept.label):
        return concept.definition
    return f"{concept.label}. {concept.definition}"


@dataclass(frozen=True, kw_only=True)
class ScoredConcept:
    """The passages relevant to one concept, and the likelihood of each verdict."""

    passages: tuple[Passage, ...]
    scores: Scores


def grade_answer(
    prompt: Prompt,
    answer: str,
    score: Scorer,
    limits: Limits,
    *,
    find_words: bool = False,
    added_at: int | None = None,
) -> Grading:
    """Grade an answer: verdict, evidence, confidence and reason for each concept of the prompt.

    From `added_at` on, the answer is what the learner added when asked; of a long answer, that is read first.
    `find_words` also finds the words that carry each verdict, which takes about three times as long.
    """
    weighed = weigh_passages(prompt, answer, score, relevant=limits.relevant, added_at=added_at)
    grades = [
        _grade_concept(concept, of_it, limits)
        for concept, of_it in zip(prompt.concepts, weighed, strict=True)
    ]
    return Grading(
        concepts=tuple(_with_words(prompt, answer, grades, weighed, score) if find_words else grades),
        cut=is_cut(answer),
    )


def grade_answers(prompt: Prompt, answers: Sequence[str], score: Scorer, limits: Limits) -> list[Grading]:
    """Grade several answers as `grade_answer` grades each, with the passages of all scored in one call.

    The network reads long batches at about half the time of single passages.
    """
    concepts = [format_concept(concept) for concept in prompt.concepts]
    known = _Likelihoods(concepts, score)
    known.read(
        text
        for answer in answers
        for passage in _list_claims(prompt, answer)
        for text, _ in _split_statements(passage.text)
    )
    return [grade_answer(prompt, answer, known.score, limits) for answer in answers]


def weigh_passages(
    prompt: Prompt, answer: str, score: Scorer, *, relevant: float, added_at: int | None = None
) -> list[ScoredConcept]:
    """Score every passage against every concept, then the relevant passages of each concept together."""
    texts = [format_concept(concept) for concept in prompt.concepts]
    said = _list_claims(prompt, answer, added_at)
    opinions = _score_passages(said, prompt.concepts, score)
    found = [
        [(passage, row[at]) for passage, row in zip(said, opinions, strict=True) if row[at].speaks(relevant)]
        for at in range(len(texts))
    ]
    for entries in found:
        entries.sort(key=lambda entry: entry[0].text.lower())
    several = sorted({_join_entries(entries) for entries in found if _read_together(entries)})
    together = dict(zip(several, score(texts, several), strict=True))
    return [
        ScoredConcept(
            passages=tuple(passage for passage, _ in entries),
            scores=together[_join_entries(entries)][at]
            if _read_together(entries)
            else merge_scores([scores for _, scores in entries]),
        )
        for at, entries in enumerate(found)
    ]


Entries = Sequence[tuple[Passage, Scores]]


def _read_together(entries: Entries) -> bool:
    """Return whether to score the passages as one text.

    A rejection among them would be misread, and a concept's own words need no reading.
    """
    settled = any(scores is SAID or find_rejection(passage.text) for passage, scores in entries)
    return len(entries) > 1 and not settled


def _score_passages(
    said: Sequence[Passage], concepts: Sequence[PromptConcept], score: Scorer
) -> list[list[Scores]]:
    """Score each passage; the scores of a rejected statement are swapped."""
    wordings = [_list_wordings(concept) for concept in concepts]
    repeated = [_find_repeated(passage.text, wordings) for passage in said]
    pieces = [
        [] if found else _split_statements(passage.text)
        for passage, found in zip(said, repeated, strict=True)
    ]
    texts = [format_concept(concept) for concept in concepts]
    rows = iter(score(texts, [text for parts in pieces for text, _ in parts]))
    opinions = []
    for parts, found in zip(pieces, repeated, strict=True):
        if found:
            opinions.append([SAID if is_said else NOTHING_SAID for is_said in found])
            continue
        read = [[s.swap() if rejected else s for s in next(rows)] for _, rejected in parts]
        opinions.append([merge_scores(column) for column in zip(*read, strict=True)])
    return opinions


def _list_wordings(concept: PromptConcept) -> list[str]:
    """Return a concept's sentence in words alone, with its label and without; none for a very short one."""
    lines = (format_concept(concept), concept.definition, concept.said, concept.definition.partition(":")[2])
    return [" ".join(words) for line in lines if len(words := list_words(line)) >= FEWEST_OWN_WORDS]


def _find_repeated(text: str, wordings: Sequence[Sequence[str]]) -> list[bool]:
    """Return which concepts a passage states in their own words; empty if it says anything else."""
    left = f" {' '.join(list_words(text))} "
    found = []
    for of_concept in wordings:
        before = left
        for wording in of_concept:
            left = left.replace(f" {wording} ", "  ")
        found.append(left != before)
    return [] if left.strip() else found


def _split_statements(text: str) -> list[tuple[str, bool]]:
    """Split a passage into statements, each with whether the passage rejects it."""
    rejection = find_rejection(text)
    if rejection is None:
        return [(text, False)]
    instead = [(rejection.instead, False)] if rejection.instead else []
    return [(rejection.statement, True), *instead]


def merge_scores(opinions: Sequence[Scores]) -> Scores:
    """Merge the scores of statements: the maximum of each verdict but the minimum of missing, normalized."""
    if not opinions:
        return NOTHING_SAID
    values = (
        min(one.missing for one in opinions),
        max(one.partial for one in opinions),
        max(one.covered for one in opinions),
        max(one.contradicted for one in opinions),
    )
    return Scores(*(value / sum(values) for value in values))


def _list_claims(prompt: Prompt, answer: str, added_at: int | None = None) -> list[Passage]:
    if is_list(answer):  # its passages may be one name each
        return []
    given = (prompt.text, prompt.hint)
    read = split_passages(answer, added_at=added_at)
    return [passage for passage in read if find_no_claim(passage.text, given=given) is None]


def _join_entries(entries: Entries) -> str:
    return " ".join(close_sentence(passage.text) for passage, _ in entries)


def _grade_concept(concept: PromptConcept, weighed: ScoredConcept, limits: Limits) -> ConceptGrade:
    verdict, confidence = decide_verdict(weighed.scores, limits)
    spans = sorted((passage.start, passage.end) for passage in weighed.passages)
    return ConceptGrade(
        concept_id=concept.id,
        verdict=verdict,
        evidence=() if verdict == "missing" else tuple(Span(start=start, end=end) for start, end in spans),
        confidence=round(confidence, 3),
        reason=explain_verdict(verdict, concept),
    )


def _with_words(
    prompt: Prompt,
    answer: str,
    grades: Sequence[ConceptGrade],
    weighed: Sequence[ScoredConcept],
    score: Scorer,
) -> list[ConceptGrade]:
    """Add the words that carry each verdict: parts of passages that give it alone, else whole passages."""
    text, concepts = blank_markup(answer), [format_concept(concept) for concept in prompt.concepts]
    likely = _Likelihoods(concepts, score)
    # A rejected statement read alone gives the opposite verdict, so a rejection is marked as a whole.
    dividable = [
        [passage for passage in of_it.passages if not find_rejection(passage.text)]
        if grade.verdict in MOST_WORDS
        else []
        for grade, of_it in zip(grades, weighed, strict=True)
    ]
    clauses = {
        passage: list_clause_runs(text[passage.start : passage.end]) for row in dividable for passage in row
    }
    likely.read([*(p.text for p in clauses), *(part.text for parts in clauses.values() for part in parts)])
    found = []
    for at, (grade, passages_of_it) in enumerate(zip(grades, dividable, strict=True)):
        carrying = [p for p in passages_of_it if likely.get(p.text, at, grade.verdict) >= LEAST_LIKELY]
        if grade.verdict == "contradicted":  # also where passages contradict only together
            carrying = carrying or list(passages_of_it)
        spans = tuple(_find_carrying(p, clauses[p], text, at, grade.verdict, likely) for p in carrying)
        carried = spans or (grade.evidence if grade.verdict in MOST_WORDS else ())
        found.append(replace(grade, words=carried))
    return found


def _find_carrying(
    passage: Passage,
    parts: Sequence[Part],
    text: str,
    at: int,
    verdict: ConceptVerdict,
    likely: "_Likelihoods",
) -> Span:
    """Find the words of a passage that carry a verdict; windows of it where no run of clauses does.

    Where no window carries it alone either, it is the likeliest window for a contradiction, else the passage.
    """
    whole = text[passage.start : passage.end]
    short = len(whole.split()) <= MOST_WORDS[verdict]
    best = find_best_part(((part, likely.get(part.text, at, verdict)) for part in parts), verdict=verdict)
    if best is None and not short:
        parts = list_windows(whole)
        likely.read([part.text for part in parts])
        scored = [(part, likely.get(part.text, at, verdict)) for part in parts]
        best = find_best_part(scored, verdict=verdict)
        if best is None and verdict == "contradicted":
            best = find_best_part(scored, verdict=verdict, least=0.0)
    if best is None:
        return Span(start=passage.start, end=passage.end)
    return Span(start=passage.start + best.start, end=passage.start + best.end)


class _Likelihoods:
    """The scores of texts against a prompt's concepts; each text is scored once."""

    def __init__(self, concepts: Sequence[str], score: Scorer) -> None:
        self._concepts = concepts
        self._score = score
        self._known: dict[str, Sequence[Scores]] = {}

    def read(self, texts: Iterable[str]) -> None:
        """Score the texts that are not scored yet, in one call."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        if new:
            self._known.update(zip(new, self._score(self._concepts, new), strict=True))

    def score(self, concepts: Sequence[str], texts: Sequence[str]) -> list[Sequence[Scores]]:
        """A scorer for the same concepts that scores only what is new."""
        self.read(texts)
        return [self._known[text] for text in texts]

    def get(self, text: str, at: int, verdict: ConceptVerdict) -> float:
        """Get the likelihood of a verdict on the concept with this number."""
        return float(getattr(self._known[text][at], verdict))


def decide_verdict(scores: Scores, limits: Limits) -> tuple[ConceptVerdict, float]:
    """Return the verdict that passes its threshold, and its likelihood."""
    if scores.contradicted >= limits.contradicted:
        return "contradicted", scores.contradicted
    if scores.covered >= limits.covered and scores.contradicted <= limits.doubt:
        return "covered", scores.covered
    if scores.missing >= limits.missing:
        return "missing", scores.missing
    if scores.partial >= limits.partial:
        return "partial", scores.partial
    return "unsure", max(scores.missing, scores.partial, scores.covered, scores.contradicted)
