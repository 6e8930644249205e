"""Rows for the reader of learners' own prompts, which knows a concept by its words alone.

To learn a comparison and not a list of topics, it sees each concept in many wordings. Some rows
replace the concept by a statement: a right one, a false one, which a right answer contradicts, or another
answer of the contrast group (its twin).
"""

import re
from collections.abc import Mapping, Sequence
from random import Random

from quizzes.grader.labelled_answers import NOISE, LabelledAnswer
from quizzes.grader.prompts import CONCEPTS, Prompt, PromptConcept
from quizzes.grader.worker.examples import Row, mistype
from quizzes.grader.worker.network import NetworkRow
from study.ports.classes import ConceptVerdict
from study.text.markup import lower_first

STATEMENT_WORDS = 20
NO_STATEMENTS = NOISE | {"other-language", "misspelt", "rejects-false"}
"""Answers of these classes can't serve as a concept's statement."""

STATEMENTS, TWINS = 0.11, 0.22
"""Share of concepts that are read as a right statement, and as a twin or another false statement."""

FOREIGN_CONCEPTS = 0.12
"""Share of concepts that are taken from a prompt about something else; an answer says nothing of them."""

ABOUT_LORA = ("explain-", "l-")
"""How the ids of prompts on LoRA begin: they share so much that none is a stranger to another."""

Key = tuple[str, int]
"""A prompt's id and the number of its concept."""


class OwnRowBuilder:
    """Builds rows from answers for a network that has no parts of its own for any concept."""

    def __init__(self, prompts: Mapping[str, Prompt], answers: Sequence[LabelledAnswer], rng: Random) -> None:
        self._prompts = prompts
        self._rng = rng
        self._ids = sorted({answer.prompt_id for answer in answers})
        self._right = list_statements(answers, "covered")
        self._false = list_statements(answers, "contradicted")
        self._twins = _list_twins(answers)

    def build_batch(self, batch: Sequence[LabelledAnswer]) -> list[Row]:
        """Build the rows of a batch; their concepts stand in an order drawn for the batch."""
        order = self._rng.sample(range(CONCEPTS), CONCEPTS)
        return [self._build_row(answer, order) for answer in batch]

    def _build_row(self, answer: LabelledAnswer, order: Sequence[int]) -> Row:
        read = [self._read_concept(answer, at) for at in order]
        row = NetworkRow(
            concepts=tuple(text for text, _ in read),
            numbers=(0,) * CONCEPTS,
            text=mistype(answer.text, self._rng),
        )
        return row, tuple(verdict for _, verdict in read)

    def _read_concept(self, answer: LabelledAnswer, at: int) -> tuple[str, ConceptVerdict]:
        """Return a text to read as the concept, and what the answer says of this text."""
        key, verdict, drawn = (answer.prompt_id, at), answer.verdicts[at], self._rng.random()
        if drawn < TWINS:
            turned = self._draw_twin(answer, at) or self._draw_false(key, verdict)
            if turned is not None:
                return turned
        if drawn < TWINS + STATEMENTS and key in self._right:
            return self._rng.choice(self._right[key]), verdict
        if self._rng.random() < FOREIGN_CONCEPTS:
            other = self._rng.choice(self._ids)
            if _name_subject(other) != _name_subject(answer.prompt_id):
                foreign = self._rng.choice(self._prompts[other].concepts)
                return phrase_concept(foreign, self._rng), "missing"
        return phrase_concept(self._prompts[answer.prompt_id].concepts[at], self._rng), verdict

    def _draw_twin(self, answer: LabelledAnswer, at: int) -> tuple[str, ConceptVerdict] | None:
        """Draw another answer of the contrast group: it says the same about the concept, or the opposite."""
        twins = [one for one in self._twins.get((answer.group, at), ()) if one.text != answer.text]
        if not twins or answer.verdicts[at] not in ("covered", "contradicted"):
            return None
        twin = self._rng.choice(twins)
        return twin.text, "covered" if twin.verdicts[at] == answer.verdicts[at] else "contradicted"

    def _draw_false(self, key: Key, verdict: ConceptVerdict) -> tuple[str, ConceptVerdict] | None:
        """Draw a false statement about the concept, if it is known what the answer says of it."""
        said: dict[ConceptVerdict, ConceptVerdict] = {"missing": "missing", "covered": "contradicted"}
        if verdict not in said or key not in self._false:
            return None
        return self._rng.choice(self._false[key]), said[verdict]


def phrase_concept(concept: PromptConcept, rng: Random) -> str:
    """Return a concept as somebody might write it down: whole, its label, its definition or its start."""
    label, rest = concept.label, concept.definition
    if rest.startswith(label):  # a line of somebody's own prompt, with or without a colon
        if rng.random() < 0.5:
            return concept.definition
        rest = rest.partition(":")[2].strip() or rest
    drawn = rng.random()
    if drawn < 0.45:
        return f"{label}: {lower_first(rest)}"
    if drawn < 0.6:
        return rest
    if drawn < 0.72:
        return label
    if drawn < 0.85:
        parts = re.split(r"(?<=[,;])\s", rest)
        start = " ".join(parts[: rng.randint(1, len(parts))]).rstrip(",; ")
        return f"{label}: {lower_first(start)}"
    return f"{label}. {rest}"


def list_statements(answers: Sequence[LabelledAnswer], verdict: ConceptVerdict) -> dict[Key, list[str]]:
    """List, by concept, short answers with this verdict on it that say nothing of the other concepts."""
    found: dict[Key, list[str]] = {}
    for answer in answers:
        at = _find_only_subject(answer)
        if at is not None and answer.verdicts[at] == verdict:
            found.setdefault((answer.prompt_id, at), []).append(answer.text)
    return found


def _list_twins(answers: Sequence[LabelledAnswer]) -> dict[tuple[str, int], list[LabelledAnswer]]:
    found: dict[tuple[str, int], list[LabelledAnswer]] = {}
    for answer in answers:
        at = _find_only_subject(answer)
        if answer.pair and at is not None and answer.verdicts[at] != "partial":
            found.setdefault((answer.group, at), []).append(answer)
    return found


def _find_only_subject(answer: LabelledAnswer) -> int | None:
    """Find the number of the one concept that a short, plain answer is about."""
    about = [at for at, verdict in enumerate(answer.verdicts) if verdict != "missing"]
    plain = answer.kind not in NO_STATEMENTS and len(answer.text.split()) <= STATEMENT_WORDS
    return about[0] if plain and len(about) == 1 else None


def _name_subject(prompt_id: str) -> str:
    """Name what a prompt is about: all prompts on LoRA are of one subject, each other one stands alone."""
    return "lora" if prompt_id.startswith(ABOUT_LORA) else prompt_id
