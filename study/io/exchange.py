"""What goes in and out, whatever its format: files, what an import would do, and who reads and writes."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import PurePosixPath
from typing import Protocol

from study.store.merge import Verdict
from study.store.rows import Tables

VERDICTS: tuple[Verdict, ...] = ("new", "changed", "same", "rejected")


@dataclass(frozen=True, kw_only=True)
class File:
    """A file as it comes in or goes out."""

    name: str
    content: bytes

    @property
    def ending(self) -> str:
        """`csv`, in lower case; empty where there is none."""
        return PurePosixPath(self.name.replace("\\", "/")).suffix.lower().removeprefix(".")

    @property
    def stem(self) -> str:
        """The name without folders and ending."""
        return PurePosixPath(self.name.replace("\\", "/")).stem


@dataclass(frozen=True, kw_only=True)
class Entry:
    """One thing in a file, and what becomes of it."""

    verdict: Verdict
    item: str
    why: str = ""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Things of one kind: the cards of a file, or its ratings."""

    title: str
    entries: tuple[Entry, ...]

    @property
    def counts(self) -> dict[Verdict, int]:
        """How many are new, changed, same and rejected."""
        found = Counter(entry.verdict for entry in self.entries)
        return {verdict: found[verdict] for verdict in VERDICTS}

    @property
    def reasons(self) -> list[tuple[str, int]]:
        """Why some are rejected, the most frequent reason first."""
        return Counter(entry.why for entry in self.entries if entry.verdict == "rejected").most_common()


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What an import would do, before it does anything."""

    groups: tuple[Group, ...] = ()
    notes: tuple[str, ...] = ()
    """What was mapped, and what could not be, in sentences."""

    files: Mapping[str, str] = field(default_factory=dict)
    """Files of the data folder with the text they would have."""

    tables: Tables = field(default_factory=dict)
    """Rows for the profile's logs."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """What an import would do or has done, as a learner reads it."""

    groups: tuple[Group, ...]
    notes: tuple[str, ...]

    @property
    def counts(self) -> dict[Verdict, int]:
        """Everything together."""
        return {verdict: sum(group.counts[verdict] for group in self.groups) for verdict in VERDICTS}

    @property
    def does_something(self) -> bool:
        """Whether there is anything to apply."""
        return bool(self.counts["new"] or self.counts["changed"])


@dataclass(frozen=True, kw_only=True)
class Format:
    """One format that can be downloaded."""

    name: str
    label: str
    hint: str


class Exchange(Protocol):
    """Reads and writes one kind of thing: cards, questions, or everything of a profile."""

    @property
    def title(self) -> str:
        """What it is called on the page."""

    @property
    def formats(self) -> Sequence[Format]:
        """What it writes."""

    @property
    def readable(self) -> str:
        """The formats it reads, as a sentence lists them."""

    def own_problems(self) -> tuple[str, ...]:
        """What is wrong with the learner's own files of this kind."""

    def reads(self, file: File) -> bool:
        """Whether a file looks like one of its own."""

    def plan(self, profile_id: str, file: File, *, now: datetime) -> Plan:
        """What importing the file would do."""

    def export(self, profile_id: str, name: str, *, now: datetime) -> list[File]:
        """The files of one format."""


def shorten(text: str, *, limit: int = 90) -> str:
    """One line to recognize a thing by."""
    line = " ".join(text.split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def gathered(title: str, entries: Iterable[Entry]) -> tuple[Group, ...]:
    """A group, or none where there is nothing to say."""
    listed = tuple(entries)
    return (Group(title=title, entries=listed),) if listed else ()
