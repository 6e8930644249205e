"""The method on one sheet: short lines, each with its source, read from `content/reference.yaml`."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

from study.content.declared import read_declared, read_declared_list
from study.content.evidence import read_evidence
from study.content.yaml_reader import Fields
from study.text.computed_text import fill_numbers, find_problems

FILE = Path(__file__).parents[1] / "content" / "reference.yaml"


@dataclass(frozen=True, kw_only=True)
class ReferenceLine:
    """One fact: its name, and a text whose numbers are computed where they stand."""

    name: str
    text: str
    source: str


def _read_line(fields: Fields) -> ReferenceLine:
    text = fields.text("text")
    for problem in find_problems(text):
        fields.note(problem)
    evidence = read_evidence(fields, printed=fill_numbers(text))
    return read_declared(fields, ReferenceLine, text=text, source=evidence.source)


def _read_lines(fields: Fields, name: str) -> tuple[ReferenceLine, ...]:
    return tuple(_read_line(each) for each in fields.children(name, kind="line"))


@dataclass(frozen=True, kw_only=True)
class ReferenceSection:
    """The facts of one concept."""

    title: str
    concept: str
    lines: Annotated[tuple[ReferenceLine, ...], _read_lines]


@cache
def read_reference() -> tuple[ReferenceSection, ...]:
    """Read all sections. Raises ContentError with every problem in the file."""
    return read_declared_list(FILE, ReferenceSection, kind="section")
