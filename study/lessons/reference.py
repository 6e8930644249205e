"""The method on one sheet: short lines, each with its source, read from `content/reference.yaml`."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from study.content.evidence import read_evidence
from study.content.yaml_reader import Fields, read_items
from study.text.computed_text import fill_numbers, problems_of

FILE = Path(__file__).parents[1] / "content" / "reference.yaml"


@dataclass(frozen=True, kw_only=True)
class ReferenceLine:
    """One fact: its name, and a text whose numbers are computed where they stand."""

    name: str
    text: str
    source: str


@dataclass(frozen=True, kw_only=True)
class ReferenceSection:
    """The facts of one concept."""

    title: str
    concept: str
    lines: tuple[ReferenceLine, ...]


@cache
def read_reference() -> tuple[ReferenceSection, ...]:
    """Read all sections. Raises ContentError with every problem in the file."""
    return read_items(FILE, kind="section", read=_read_section)


def _read_section(fields: Fields) -> ReferenceSection:
    section = ReferenceSection(
        title=fields.text("title"),
        concept=fields.text("concept"),
        lines=tuple(_read_line(each) for each in fields.children("lines", kind="line")),
    )
    fields.close()
    return section


def _read_line(fields: Fields) -> ReferenceLine:
    text = fields.text("text")
    for problem in problems_of(text):
        fields.note(problem)
    evidence = read_evidence(fields, printed=fill_numbers(text))
    line = ReferenceLine(name=fields.text("name"), text=text, source=evidence.source)
    fields.close()
    return line
