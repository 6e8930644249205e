"""Concepts that are easily confused: pairs from `confusable.yaml`, read into a symmetric mapping."""

from collections.abc import Mapping
from pathlib import Path

from study.content.concepts import ConceptMap, note_unknown_concepts
from study.content.yaml_reader import ContentError, Problem, read_list

CONFUSABLE_FILE = Path(__file__).parent / "confusable.yaml"

Lookalikes = Mapping[str, frozenset[str]]


def load_confusable(concepts: ConceptMap, path: Path = CONFUSABLE_FILE) -> Lookalikes:
    """Read, per concept, those it is confused with. Raises ContentError with every problem in the file."""
    problems: list[Problem] = []
    found: dict[str, set[str]] = {}
    for fields in read_list(path, kind="pair", problems=problems):
        pair = fields.texts("concepts")
        fields.text("why")
        fields.close()
        note_unknown_concepts(fields, pair, concepts)
        if len(set(pair)) != 2:
            fields.note(f"a pair names two concepts, got {pair!r}")
            continue
        for concept, other in (pair, pair[::-1]):
            found.setdefault(concept, set()).add(other)
    if problems:
        raise ContentError(problems)
    return {concept: frozenset(others) for concept, others in found.items()}
