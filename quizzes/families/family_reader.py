"""Reads the texts of question families from YAML."""

from collections.abc import Mapping
from pathlib import Path

from quizzes.families.family import DrawNumbers, QuestionFamily, SlipText
from quizzes.families.template import FamilyTemplate, parse_noted, read_template
from study.content.concepts import ConceptMap, note_unknown_concepts
from study.content.declared import read_declared
from study.content.yaml_reader import Fields, Problem, read_list


def read_file(
    path: Path, draws: Mapping[str, DrawNumbers], concepts: ConceptMap, problems: list[Problem]
) -> tuple[QuestionFamily, ...]:
    """Read the families of one file and note problems: each has a draw function, each function a family."""
    read = []
    for fields in read_list(path, kind="family", problems=problems):
        family_id = fields.text("id")
        if family_id not in draws:
            fields.note("no function draws its numbers")
            continue
        read.append(_read_family(fields, draws[family_id]))
        note_unknown_concepts(fields, read[-1].concepts, concepts)
    problems += (
        Problem(file=path.name, line=1, item=f"family {family_id}", text="has no texts")
        for family_id in sorted(draws.keys() - {family.id for family in read})
    )
    return tuple(read)


def _read_family(fields: Fields, draw_numbers: DrawNumbers) -> QuestionFamily:
    return read_declared(
        fields,
        QuestionFamily,
        slips=_read_slips(fields),
        steps=tuple(parse_noted(fields, "steps", step) for step in fields.texts("steps")),
        phrases=_read_phrases(fields),
        draw_numbers=draw_numbers,
        build_problem=fields.build_problem,
    )


def _read_slips(fields: Fields) -> dict[str, SlipText]:
    slips = fields.read_child("slips", kind="slips")
    read = {}
    for slip_id in slips.names:
        slip = slips.read_child(slip_id, kind=f"slip {slip_id}")
        read[slip_id] = read_declared(slip, SlipText)
    return read


def _read_phrases(fields: Fields) -> dict[str, dict[str, FamilyTemplate]]:
    phrases = fields.child("phrases", kind="phrases")
    if phrases is None:
        return {}
    read = {}
    for name in phrases.names:
        texts = phrases.read_child(name, kind=f"phrase {name}")
        read[name] = {value: read_template(texts, value) for value in texts.names}
    return read
