"""Concepts that are mixed up: pairs that name two known concepts, read both ways round."""

from pathlib import Path

import pytest

from study.content.concepts import ConceptMap
from study.content.confusable import load_confusable
from study.content.yaml_reader import ContentError


def test_who_resembles_whom_goes_both_ways(concepts: ConceptMap) -> None:
    alike = load_confusable(concepts)
    assert len(alike) >= 12
    assert all(concept in alike[other] for concept, others in alike.items() for other in others)


def test_all_problems_of_the_file_are_reported(concepts: ConceptMap, tmp_path: Path) -> None:
    path = tmp_path / "pairs.yaml"
    path.write_text(
        "- {concepts: [nf4, nf4], why: same}\n- {concepts: [nf4, gone], why: x}\n- {concepts: [nf4, qlora]}\n"
    )
    with pytest.raises(ContentError) as raised:
        load_confusable(concepts, path)
    assert [problem.line for problem in raised.value.problems] == [1, 2, 3]
