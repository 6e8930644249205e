"""The concept map: prerequisites exist, nothing is its own prerequisite, areas keep their order."""

from pathlib import Path

import pytest

from study.content.concepts import ConceptMap, load_concepts
from study.content.yaml_reader import ContentError


def written(tmp_path: Path, *entries: tuple[str, str]) -> Path:
    lines = [
        f"- {{id: {name}, name: {name}, area: lora, level: beginner, prerequisites: {before}, "
        f"summary: s, source: a}}"
        for name, before in entries
    ]
    path = tmp_path / "concepts.yaml"
    path.write_text("\n".join(lines))
    return path


def test_a_concept_that_does_not_exist_cannot_come_first(tmp_path: Path) -> None:
    with pytest.raises(ContentError, match=r"concepts\.yaml:2  concept b: unknown prerequisite 'z'"):
        load_concepts(written(tmp_path, ("a", "[]"), ("b", "[a, z]")))


def test_a_circle_of_prerequisites_is_found(tmp_path: Path) -> None:
    with pytest.raises(ContentError) as raised:
        load_concepts(written(tmp_path, ("a", "[c]"), ("b", "[a]"), ("c", "[b]"), ("d", "[c]")))
    assert [problem.item for problem in raised.value.problems] == ["concept a", "concept b", "concept c"]
    assert all("in a circle: a, b, c, a" in str(problem) for problem in raised.value.problems)


def test_areas_come_in_the_order_of_study(concepts: ConceptMap) -> None:
    names = [name for name, _ in concepts.group_by_area()]
    assert names[0] == "Foundations"
    assert names.index("LoRA") < names.index("QLoRA")


def test_a_concept_that_is_gone_still_has_a_name(concepts: ConceptMap) -> None:
    assert concepts.name("retired-idea") == "retired-idea"
