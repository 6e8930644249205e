"""The method on one sheet: every line has its source, and every number is computed."""

import lora_lab.quantities  # noqa: F401 - registers what the lines compute
from study.content.concepts import load_concepts
from study.lessons.reference import read_reference
from study.text.computed_text import PLACEHOLDER, fill_numbers


def test_sections_belong_to_concepts_and_every_line_has_a_source() -> None:
    concepts = load_concepts().by_id
    for section in read_reference():
        assert section.concept in concepts
        assert all(line.source for line in section.lines), section.title


def test_the_sheet_computes_its_numbers() -> None:
    lines = [line for section in read_reference() for line in section.lines]
    assert sum(bool(PLACEHOLDER.search(line.text)) for line in lines) >= 12


def test_on_paper_each_computed_number_has_its_formula() -> None:
    for section in read_reference():
        for line in section.lines:
            named = [number for check in line.list_checks() for number in check.numbers]
            assert len(named) == len(PLACEHOLDER.findall(line.text)), line.name
            assert all(number in fill_numbers(line.text) for number in named), line.name
            assert all(check.formula for check in line.list_checks()), line.name


def test_numbers_that_share_a_formula_share_its_mention() -> None:
    lines = {line.name: line for section in read_reference() for line in section.lines}
    shared, other = lines["Scale"].list_checks()
    assert (shared.numbers, shared.formula) == (("2", "0.25"), "α / r")
    assert (other.numbers, other.formula) == (("2",), "α / √r")
    assert [check.measured for check in lines["Rank"].list_checks()] == [True, True]
