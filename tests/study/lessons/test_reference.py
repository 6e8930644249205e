"""The method on one sheet: every line has its source, and every number is computed."""

from study.content.concepts import load_concepts
from study.lessons.reference import read_reference
from study.text.computed_text import PLACEHOLDER


def test_sections_belong_to_concepts_and_every_line_has_a_source() -> None:
    concepts = load_concepts().by_id
    for section in read_reference():
        assert section.concept in concepts
        assert all(line.source for line in section.lines), section.title


def test_the_sheet_computes_its_numbers() -> None:
    lines = [line for section in read_reference() for line in section.lines]
    assert sum(bool(PLACEHOLDER.search(line.text)) for line in lines) >= 12
