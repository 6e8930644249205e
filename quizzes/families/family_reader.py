"""Reads the texts of question families from YAML."""

from collections.abc import Mapping
from pathlib import Path

from quizzes.families.drawn import KINDS
from quizzes.families.family import DrawNumbers, QuestionFamily, SlipText
from quizzes.families.template import FamilyTemplate, parse_template
from quizzes.kinds.numbers import is_known_unit
from study.content.concepts import ConceptMap, note_unknown_concepts
from study.content.yaml_reader import LEVELS, Fields, Problem, read_list


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
        read.append(_read_family(fields, family_id, draws[family_id]))
        note_unknown_concepts(fields, read[-1].concepts, concepts)
    problems += (
        Problem(file=path.name, line=1, item=f"family {family_id}", text="has no texts")
        for family_id in sorted(draws.keys() - {family.id for family in read})
    )
    return tuple(read)


def _read_family(fields: Fields, family_id: str, draw_numbers: DrawNumbers) -> QuestionFamily:
    family = QuestionFamily(
        id=family_id,
        title=fields.text("title"),
        concepts=fields.texts("concepts"),
        level=fields.choice("level", LEVELS),
        kind=fields.choice("kind", KINDS),
        answer=_read_template(fields, "answer"),
        unit=fields.text("unit", default=""),
        source=fields.text("source", default=""),
        stem=_read_template(fields, "stem"),
        right=_read_template(fields, "right"),
        slips=_read_slips(fields),
        steps=tuple(_parse(fields, "steps", step) for step in fields.texts("steps")),
        hint=_read_template(fields, "hint"),
        keep=_read_template(fields, "keep"),
        phrases=_read_phrases(fields),
        draw_numbers=draw_numbers,
        build_problem=fields.build_problem,
    )
    if family.answer.names != {"answer"}:
        fields.note("`answer` must have the placeholder {answer} and no other")
    if not is_known_unit(family.unit):
        fields.note(f"unknown unit {family.unit!r}")
    fields.close()
    return family


def _read_slips(fields: Fields) -> dict[str, SlipText]:
    slips = fields.needed_child("slips", kind="slips")
    read = {}
    for slip_id in slips.names:
        slip = slips.needed_child(slip_id, kind=f"slip {slip_id}")
        read[slip_id] = SlipText(
            misconception=slip.text("misconception"), feedback=_read_template(slip, "feedback")
        )
        slip.close()
    return read


def _read_phrases(fields: Fields) -> dict[str, dict[str, FamilyTemplate]]:
    phrases = fields.child("phrases", kind="phrases")
    if phrases is None:
        return {}
    read = {}
    for name in phrases.names:
        texts = phrases.needed_child(name, kind=f"phrase {name}")
        read[name] = {value: _read_template(texts, value) for value in texts.names}
    return read


def _read_template(fields: Fields, name: str) -> FamilyTemplate:
    return _parse(fields, name, fields.text(name))


def _parse(fields: Fields, name: str, text: str) -> FamilyTemplate:
    try:
        return parse_template(text)
    except ValueError as error:
        fields.note(f"`{name}`: {error}")
        return FamilyTemplate()
