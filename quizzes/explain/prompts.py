"""The explain prompts: what to explain, the concepts a good explanation holds, and a model answer."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from study.concepts import ConceptMap, note_unknown_concepts
from study.content import ContentError, Fields, Problem, note_repeated_ids, read_mapping

PROMPTS_FILE = Path(__file__).parent / "prompts.yaml"


@dataclass(frozen=True, kw_only=True)
class PromptConcept:
    """One thing a good explanation says."""

    id: str
    label: str
    definition: str


@dataclass(frozen=True, kw_only=True)
class Prompt:
    """Something to explain in one's own words. `links` are the study concepts it is about."""

    id: str
    text: str
    hint: str
    concepts: tuple[PromptConcept, ...]
    links: tuple[str, ...]
    model_answer: str
    source: str


def load_prompts(concepts: ConceptMap, *, path: Path = PROMPTS_FILE) -> Mapping[str, Prompt]:
    """All prompts under their ids, in the order written, or every problem in them."""
    problems: list[Problem] = []
    file = read_mapping(path, kind="prompts", problems=problems)
    entries = file.children("prompts", kind="prompt") if file else []
    read = [(_read_prompt(entry, concepts), entry) for entry in entries]
    note_repeated_ids((prompt.id, fields) for prompt, fields in read)
    if problems:
        raise ContentError(problems)
    return {prompt.id: prompt for prompt, _ in read}


def _read_prompt(fields: Fields, concepts: ConceptMap) -> Prompt:
    parts = [(_read_concept(entry), entry) for entry in fields.children("concepts", kind="concept")]
    note_repeated_ids((part.id, entry) for part, entry in parts)
    prompt = Prompt(
        id=fields.text("id"),
        text=fields.text("text"),
        hint=fields.text("hint"),
        concepts=tuple(part for part, _ in parts),
        links=fields.texts("links"),
        model_answer=fields.text("model_answer"),
        source=fields.text("source"),
    )
    if len(prompt.concepts) != 4:
        fields.note(f"needs 4 concepts, got {len(prompt.concepts)}")
    note_unknown_concepts(fields, prompt.links, concepts)
    fields.close()
    return prompt


def _read_concept(fields: Fields) -> PromptConcept:
    concept = PromptConcept(
        id=fields.text("id"), label=fields.text("label"), definition=fields.text("definition")
    )
    fields.close()
    return concept
