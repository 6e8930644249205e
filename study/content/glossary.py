"""The glossary: technical words without a page of their own, each with a meaning of one line."""

from dataclasses import dataclass
from functools import cache
from pathlib import Path

from study.content.declared import read_declared
from study.content.evidence import read_evidence
from study.content.yaml_reader import Fields, read_items

FILE = Path(__file__).parent / "glossary.yaml"
LONGEST_MEANING = 110


@dataclass(frozen=True, kw_only=True)
class GlossaryEntry:
    """One word, the other forms of it, and its meaning."""

    term: str
    also: tuple[str, ...] = ()
    concept: str = ""
    """The id of the concept that explains the word as one of its terms; empty for none."""

    means: str
    source: str

    @property
    def anchor(self) -> str:
        """Where the word stands on Reference."""
        return f"word-{self.term.lower().replace(' ', '-')}"


@cache
def read_glossary() -> tuple[GlossaryEntry, ...]:
    """Read all entries in the order of the alphabet. Raises ContentError with every problem in the file."""
    entries = read_items(FILE, kind="word", read=_read_entry)
    return tuple(sorted(entries, key=lambda entry: entry.term.lower()))


def _read_entry(fields: Fields) -> GlossaryEntry:
    means = fields.text("means")
    if len(means) > LONGEST_MEANING:
        fields.note(f"`means` must fit on one line of {LONGEST_MEANING} characters, got {len(means)}")
    evidence = read_evidence(fields, printed=means)
    return read_declared(fields, GlossaryEntry, means=means, source=evidence.source)
