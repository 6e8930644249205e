"""The sources of each concept's texts, and the corrections of each review: `docs/lesson-sources.md`.

python -m study.lessons.lesson_sources      rewrites the file; a test compares it with lessons and reviews
"""

import re
from pathlib import Path

from study.content.concepts import ConceptMap, load_concepts
from study.content.yaml_reader import ContentError, Problem, read_mapping
from study.lessons.lesson import LESSONS_DIR, read_sources

DOCS = Path(__file__).parents[2] / "docs"
SOURCES = DOCS / "lesson-sources.md"
READINGS = DOCS / "lesson-review.md"

_HEAD = """# Sources and corrections, concept by concept

Written by `python -m study.lessons.lesson_sources` from `study/lessons/` and
[the readings](lesson-review.md), which say how the lessons were read.
Numbers in them are computed where they are shown.
"""
_ROW = re.compile(
    r"^\| (?P<concepts>`[^|]+`) \| (?P<mode>[^|]+) \| (?P<wrong>[^|]+) \| (?P<now>[^|]+) \|$", re.MULTILINE
)


def write_listing(concepts: ConceptMap, readings: str) -> str:
    """Return the whole document: every concept on the map, its sources and its corrections."""
    corrected = _list_corrections(readings)
    parts = [_HEAD]
    for concept in concepts.by_id.values():
        texts, derivation = _read_sources(LESSONS_DIR / f"{concept.id}.yaml")
        parts.append(f"## {concept.name} (`{concept.id}`)\n")
        parts.append(f"- Texts: {'; '.join(texts)}")
        parts.append(f"- Derivation: {'; '.join(derivation)}")
        parts += corrected.get(concept.id, ["- Read again; nothing was corrected"])
        parts.append("")
    return "\n".join(parts)


def _read_sources(path: Path) -> tuple[tuple[str, ...], tuple[str, ...]]:
    problems: list[Problem] = []
    fields = read_mapping(path, kind="lesson", problems=problems)
    if fields is None or problems:
        raise ContentError(problems)
    return read_sources(fields), fields.read_child("deep", kind="deep").texts("references")


def _list_corrections(readings: str) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for row in _ROW.finditer(readings):
        line = f"- {row['mode'].capitalize()}, before: {row['wrong']}. Now: {row['now']}"
        for concept in re.findall(r"`([^`]+)`", row["concepts"]):
            found.setdefault(concept, []).append(line)
    return found


if __name__ == "__main__":
    SOURCES.write_text(write_listing(load_concepts(), READINGS.read_text("utf-8")), "utf-8")
