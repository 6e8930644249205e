"""The concept map: the concepts to learn, their areas and levels, and their prerequisites."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Literal, get_args
from urllib.parse import urlencode

from study.content.declared import read_declared
from study.content.yaml_reader import ContentError, Fields, Level, Problem, note_repeated_ids, read_list

CONCEPTS_FILE = Path(__file__).parent / "concepts.yaml"
CONCEPT_PAGE = "/concept"

Area = Literal[
    "foundations", "low-rank-algebra", "lora", "quantization", "qlora", "training-memory", "practice"
]
AREAS: tuple[Area, ...] = get_args(Area)
AREA_NAMES: dict[Area, str] = {
    "foundations": "Foundations",
    "low-rank-algebra": "Low-rank algebra",
    "lora": "LoRA",
    "quantization": "Quantization",
    "qlora": "QLoRA",
    "training-memory": "Training memory",
    "practice": "Practice",
}


@dataclass(frozen=True, kw_only=True)
class Concept:
    """One idea that cards, questions and prompts refer to."""

    id: str
    name: str
    area: Area
    level: Level
    prerequisites: tuple[str, ...] = ()
    summary: str
    source: str
    terms: tuple[str, ...] = ()
    """Synonyms that texts use for its name."""


@dataclass(frozen=True)
class ConceptMap:
    """All concepts by id, in the order of the file."""

    by_id: Mapping[str, Concept]

    def name(self, concept_id: str) -> str:
        """Return the name that learners read; the id itself when the concept no longer exists."""
        concept = self.by_id.get(concept_id)
        return concept.name if concept else concept_id

    def group_by_area(self) -> list[tuple[str, list[Concept]]]:
        grouped = [(AREA_NAMES[area], [c for c in self.by_id.values() if c.area == area]) for area in AREAS]
        return [(name, concepts) for name, concepts in grouped if concepts]


def build_concept_address(concept_id: str, mode: str = "") -> str:
    """Return the URL of a concept's page, in one study mode or in the last opened one."""
    return f"{CONCEPT_PAGE}?{urlencode({'id': concept_id} | ({'mode': mode} if mode else {}))}"


def load_concepts(path: Path = CONCEPTS_FILE) -> ConceptMap:
    """Read and check the concept map. Raises ContentError with every problem in it."""
    problems: list[Problem] = []
    entries = read_list(path, kind="concept", problems=problems)
    concepts = [(read_declared(fields, Concept), fields) for fields in entries]
    note_repeated_ids((concept.id, fields) for concept, fields in concepts)
    known = {concept.id: concept for concept, _ in concepts}
    for concept, fields in concepts:
        for missing in sorted(set(concept.prerequisites) - known.keys()):
            fields.note(f"unknown prerequisite {missing!r}")
    try:
        TopologicalSorter({concept.id: concept.prerequisites for concept, _ in concepts}).prepare()
    except CycleError as error:
        circle = error.args[1]
        for concept, fields in concepts:
            if concept.id in circle:
                fields.note(f"its prerequisites go in a circle: {', '.join(circle)}")
    if problems:
        raise ContentError(problems)
    return ConceptMap(known)


def note_unknown_concepts(fields: Fields, concept_ids: Iterable[str], concepts: ConceptMap) -> None:
    """Note each concept that an item names and the map lacks."""
    for missing in sorted(set(concept_ids) - concepts.by_id.keys()):
        fields.note(f"unknown concept {missing!r}")
