"""Import and export in any format: files, the plan of an import, and the protocol of readers and writers."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Protocol, TypeVar

from study.base.errors import LearnerError
from study.base.import_limits import check_size
from study.content.user_files import OwnFilesCheck
from study.store.row_verdicts import RowVerdict
from study.store.rows import Tables
from study.text.surrogates import replace_unencodable

VERDICTS: tuple[RowVerdict, ...] = ("new", "changed", "same", "rejected")


@dataclass(frozen=True, kw_only=True)
class File:
    """A file on its way in or out."""

    name: str
    content: bytes

    @property
    def extension(self) -> str:
        """The extension in lower case, such as `csv`; empty if it has none."""
        return PurePosixPath(self.name.replace("\\", "/")).suffix.lower().removeprefix(".")

    @property
    def stem(self) -> str:
        """The name without folders and extension."""
        return PurePosixPath(self.name.replace("\\", "/")).stem

    def has_key(self, *names: str) -> bool:
        """Return whether a YAML or JSON file has a key of one of these names, rather than only the word."""
        text, either = self.content.decode("utf-8-sig", "replace"), "|".join(names)
        return re.search(rf"""^({either})[ \t]*:|(["'])({either})\2\s*:""", text, re.MULTILINE) is not None


@dataclass(frozen=True, kw_only=True)
class ImportEntry:
    """One item in a file, and what the import does with it."""

    verdict: RowVerdict
    item: str
    why: str = ""
    count: int = 1
    """How many there are of it: rows have no names, so all that go the same way are one entry."""


def reject_item(item: str, why: str) -> ImportEntry:
    """Return the entry of an item that can't be imported."""
    return ImportEntry(verdict="rejected", item=item, why=why)


@dataclass(frozen=True, kw_only=True)
class ImportGroup:
    """Items of one kind: the cards of a file, or its ratings."""

    title: str
    entries: tuple[ImportEntry, ...]

    @property
    def counts(self) -> dict[RowVerdict, int]:
        """How many items are new, changed, same and rejected."""
        return {
            verdict: sum(entry.count for entry in self.entries if entry.verdict == verdict)
            for verdict in VERDICTS
        }

    @property
    def reasons(self) -> list[tuple[str, int]]:
        """Why items are rejected, the most frequent reason first."""
        found: Counter[str] = Counter()
        for entry in self.entries:
            if entry.verdict == "rejected":
                found[entry.why] += entry.count
        return found.most_common()

    def leave_out(self, why: str) -> "ImportGroup":
        """Return the same group when nothing of it is imported."""
        entries = (
            replace(entry, verdict="rejected", why=why) if entry.verdict in ("new", "changed") else entry
            for entry in self.entries
        )
        return replace(self, entries=tuple(entries))


@dataclass(frozen=True, kw_only=True)
class ImportPlan:
    """What an import would do, before it does anything."""

    groups: tuple[ImportGroup, ...] = ()
    notes: tuple[str, ...] = ()
    """Sentences on what was mapped and what could not be."""

    files: Mapping[str, str] = field(default_factory=dict)
    """Files of the data folder with the text they would have."""

    read_from: Mapping[str, str] = field(default_factory=dict)
    """The digests that these files had when the plan was made; empty for one that was not there."""

    files_group: str = ""
    """The title of the group that lists the files, where the rest can be imported without them."""

    tables: Tables = field(default_factory=dict)
    """Rows for the profile's logs."""

    def leave_out_files(self, why: str) -> "ImportPlan":
        """Return the plan for someone who may not change the files, where it makes sense without them."""
        if not self.files_group:
            return self
        groups = (group.leave_out(why) if group.title == self.files_group else group for group in self.groups)
        return replace(self, files={}, groups=tuple(groups))


@dataclass(frozen=True, kw_only=True)
class ImportReport:
    """What an import would do or has done, as a learner reads it."""

    groups: tuple[ImportGroup, ...]
    notes: tuple[str, ...]
    import_id: int = 0
    """Of the record by which it can be undone; 0 for one that has not been applied."""

    @property
    def counts(self) -> dict[RowVerdict, int]:
        """The counts of all groups together."""
        return {verdict: sum(group.counts[verdict] for group in self.groups) for verdict in VERDICTS}

    @property
    def does_something(self) -> bool:
        """Whether the import would change anything."""
        return bool(self.counts["new"] or self.counts["changed"])


@dataclass(frozen=True, kw_only=True)
class Format:
    name: str
    label: str
    hint: str


class Exchange(Protocol):
    """A reader and writer of one kind of data: cards, questions, or everything of a profile."""

    @property
    def title(self) -> str:
        """Its title on the page."""

    @property
    def formats(self) -> Sequence[Format]:
        """The formats that it writes."""

    @property
    def readable(self) -> str:
        """The formats that it reads, as words for a list in a sentence."""

    def check_own_files(self) -> OwnFilesCheck:
        """Return what is wrong with the learner's own files of this kind."""

    def reads(self, file: File) -> bool:
        """Return whether this exchange recognizes the file."""

    def plan(self, profile_id: str, file: File, *, now: datetime) -> ImportPlan:
        """Plan the import of a file (a dry run)."""

    def export(self, profile_id: str, name: str, *, now: datetime) -> list[File]:
        """Return the files of one format."""


def choose_exchange(file: File, exchanges: Sequence[Exchange]) -> Exchange:
    """Return the first exchange that reads a file. Raises LearnerError when none does."""
    for exchange in exchanges:
        if exchange.reads(file):
            return exchange
    listed = "; ".join(exchange.readable for exchange in exchanges)
    raise LearnerError(
        f"{file.name} is not a kind of file that can be imported.", do_next=f"Choose one that can: {listed}."
    )


def shorten(text: str, *, limit: int = 90) -> str:
    """Return one line that identifies an item."""
    line = " ".join(replace_unencodable(text).split())
    return line if len(line) <= limit else line[: limit - 1].rstrip() + "…"


def gather_group(title: str, entries: Iterable[ImportEntry]) -> tuple[ImportGroup, ...]:
    """Return one group, or none when it has no entries."""
    listed = tuple(entries)
    return (ImportGroup(title=title, entries=listed),) if listed else ()


class Reading(Protocol):
    """The contents of a file, and what of it can't be used."""

    @property
    def rejected(self) -> Sequence[ImportEntry]:
        """The entries that can't be used."""


R = TypeVar("R", bound=Reading)


def read_user_file(path: Path, read: Callable[[File], R], nothing: R, problems: list[str]) -> R:
    """Read one of the learner's own files; `nothing` if that fails. Adds what is wrong to `problems`."""
    try:
        check_size(path.name, path.stat().st_size)
        reading = read(File(name=path.name, content=path.read_bytes()))
    except (LearnerError, OSError) as error:
        problems.append(str(error))
        return nothing
    problems.extend(entry.why for entry in reading.rejected)
    return reading
