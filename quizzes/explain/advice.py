"""Feedback next to a verdict: what is missing, a correction of the usual mistake, or one question."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from quizzes.grader.feedback import explain_verdict
from quizzes.grader.prompts import Prompt, PromptConcept
from study.content.concepts import ConceptMap, note_unknown_concepts
from study.content.declared import read_declared
from study.content.yaml_reader import ContentError, Problem, read_mapping
from study.ports.classes import ConceptVerdict

ADVICE_FILE = Path(__file__).parent / "advice.yaml"


@dataclass(frozen=True, kw_only=True)
class Advice:
    """The feedback texts for one concept of one prompt."""

    about: str
    """The id of the study concept that the texts are about."""

    missing: str
    contradicted: str
    clarify: str


Advices = Mapping[tuple[str, str], Advice]
"""Advice by prompt id and concept id."""


def load_advice(prompts: Mapping[str, Prompt], concepts: ConceptMap) -> Advices:
    """Read the advice for every concept of every prompt. Raises ContentError with every problem."""
    problems: list[Problem] = []
    file = read_mapping(ADVICE_FILE, kind="advice", problems=problems)
    entries = file.children("advice", kind="advice") if file else []
    read: dict[tuple[str, str], Advice] = {}
    for entry in entries:
        key = entry.text("prompt"), entry.text("concept")
        read[key] = read_declared(entry, Advice)
        note_unknown_concepts(entry, (read[key].about,), concepts)
    wanted = {(prompt.id, concept.id) for prompt in prompts.values() for concept in prompt.concepts}
    if file:
        for prompt_id, concept_id in sorted(wanted.symmetric_difference(read)):
            file.note(f"{prompt_id}/{concept_id} must stand here once, as in the prompts")
    if problems:
        raise ContentError(problems)
    return read


def choose_sentence(advice: Advice | None, verdict: ConceptVerdict, concept: PromptConcept) -> str:
    """Return one sentence: what is missing, why a statement is wrong, or a question."""
    texts = {
        "missing": advice and advice.missing,
        "contradicted": advice and advice.contradicted,
        "unsure": advice and advice.clarify,
    }
    return texts.get(verdict) or explain_verdict(verdict, concept)
