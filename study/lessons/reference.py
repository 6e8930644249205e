"""The method on one sheet: short lines, each with its source, read from `content/reference.yaml`."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated

from study.content.declared import read_declared, read_declared_list
from study.content.evidence import read_evidence
from study.content.yaml_reader import Fields
from study.text.computed_text import PLACEHOLDER, fill_numbers, find_problems, parse_computed

FILE = Path(__file__).parents[1] / "content" / "reference.yaml"


@dataclass(frozen=True, kw_only=True)
class PrintedCheck:
    """How numbers of a line come about: on paper nobody can point at one."""

    numbers: tuple[str, ...]
    """As the line prints them; they share the formula."""

    formula: str
    measured: bool


@dataclass(frozen=True, kw_only=True)
class ReferenceLine:
    """One fact: its name, and a text whose numbers are computed where they stand."""

    name: str
    text: str
    source: str

    def list_checks(self) -> list[PrintedCheck]:
        """List the formulas behind the line's numbers, each once, in the order of the text."""
        found: dict[tuple[str, bool], list[str]] = {}
        for match in PLACEHOLDER.finditer(self.text):
            computed = parse_computed(match)
            key = computed.quantity.formula, computed.quantity.measured
            found.setdefault(key, []).append(computed.shown)
        return [
            PrintedCheck(numbers=tuple(numbers), formula=formula, measured=measured)
            for (formula, measured), numbers in found.items()
        ]


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
