"""The list of sources and corrections is that of the lessons as they are."""

import re
from pathlib import Path

from study.content.concepts import ConceptMap
from study.lessons.lesson_sources import READINGS, SOURCES, _read_sources, write_listing


def test_the_document_is_what_the_lessons_and_readings_say(concepts: ConceptMap) -> None:
    made = write_listing(concepts, READINGS.read_text("utf-8"))
    assert SOURCES.read_text("utf-8") == made, "run: python -m study.lessons.lesson_sources"
    assert made.count("\n## ") == len(concepts.by_id) == made.count("\n- Texts: ")


def test_a_lesson_with_one_source_is_listed_with_it(tmp_path: Path) -> None:
    lesson = tmp_path / "lora-rank.yaml"
    lesson.write_text("source: one paper\ndeep:\n  references: [another]\n")
    assert _read_sources(lesson) == (("one paper",), ("another",))


def test_every_correction_is_of_a_concept_on_the_map(concepts: ConceptMap) -> None:
    rows = re.findall(r"^\| (`[^|]+`) \|", READINGS.read_text("utf-8"), re.MULTILINE)
    named = {name for row in rows for name in re.findall(r"`([^`]+)`", row)}
    assert named <= concepts.by_id.keys()
