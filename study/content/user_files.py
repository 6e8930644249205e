"""The learner's own decks and questions: files in the data folder, read again whenever one changes."""

import hashlib
import os
import re
import secrets
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from study.base.settings import EXCHANGED_FOLDERS


class HasConcepts(Protocol):
    """The decks, or the bank of questions."""

    @property
    def concepts_of(self) -> Mapping[str, tuple[str, ...]]:
        """The concepts of each card or question, by its id."""


class HasId(Protocol):
    @property
    def id(self) -> str: ...


T = TypeVar("T")
Item = TypeVar("Item", bound=HasId)
W = TypeVar("W", bound=HasConcepts)

FolderState = tuple[tuple[str, int, int], ...]
"""The files of a folder: name, time of change in nanoseconds, size in bytes."""

IMPORTED = ".imported.json"  # written by imports; a file written by hand is never overwritten by cards

_SAFE = re.compile(rf"(?:{'|'.join(EXCHANGED_FOLDERS)})/[\w][\w .+-]{{0,150}}")


class LiveMapping(Mapping[str, T]):
    """A mapping that calls its source on every access, for pages that hold it for their whole life."""

    def __init__(self, source: Callable[[], Mapping[str, T]]) -> None:
        self._source = source

    def __getitem__(self, key: str) -> T:
        return self._source()[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._source())

    def __len__(self) -> int:
        return len(self._source())


@dataclass(frozen=True, kw_only=True)
class OwnFilesCheck:
    """What is wrong with the learner's own files of one kind."""

    problems: tuple[str, ...] = ()
    damaged: tuple[Path, ...] = ()
    """Those that have problems and nothing that can be used."""


@dataclass(frozen=True, kw_only=True)
class Collection(OwnFilesCheck, Generic[W]):
    """The app's and the learner's decks or questions, and what is wrong with the learner's files."""

    whole: W
    by_hand: Mapping[str, str]
    """What is in files that the learner wrote by hand, with the file's name; imports don't change it."""


class OwnItems(Generic[Item]):
    """The cards or questions of the learner's files, while these are read one after the other."""

    def __init__(self, kind: str, *, taken: Container[str]) -> None:
        self._kind = kind
        self._taken = taken
        self._problems: list[str] = []
        self._damaged: list[Path] = []
        self._by_hand: dict[str, str] = {}
        self.by_id: dict[str, Item] = {}

    def add(self, path: Path, found: Sequence[Item], problems: Sequence[str]) -> None:
        """Take in what can be used of a file, and what is wrong with the rest; an id counts once."""
        if problems and not found:
            self._damaged.append(path)
        self._problems += problems
        for item in found:
            if item.id in self.by_id or item.id in self._taken:
                self._problems.append(
                    f"{path.name}: {self._kind} {item.id} is already there under the same id"
                )
                continue
            self.by_id[item.id] = item
            if not path.name.endswith(IMPORTED):
                self._by_hand[item.id] = path.name

    def collect(self, whole: W) -> Collection[W]:
        """Return the app's and the learner's items together with what is wrong with the files."""
        problems, damaged = tuple(self._problems), tuple(self._damaged)
        return Collection(whole=whole, problems=problems, damaged=damaged, by_hand=self._by_hand)


class LiveContent(Generic[W]):
    """Decks or questions as the files are now; pages keep one instance from start to end.

    The command line, another window and a text editor all change these files while the app runs.
    """

    def __init__(self, app: W, read: Callable[[], Collection[W]], folder: Path) -> None:
        self.app = app
        """The app's own, which were read once."""

        self._read = read
        self._folder = folder
        self._known: tuple[FolderState, Collection[W]] | None = None

    @property
    def collection(self) -> Collection[W]:
        """All current ones, with the problems of the learner's files.

        They are read again when a file was added, changed or removed.
        """
        state, known = _read_state(self._folder), self._known
        if known is None or known[0] != state:
            known = self._known = state, self._read()  # in one step: other threads read both
        return known[1]

    @property
    def concepts_of(self) -> Mapping[str, tuple[str, ...]]:
        """The concepts of each, looked up at each access."""
        return LiveMapping(lambda: self.collection.whole.concepts_of)


def current(name: str) -> Any:
    """Make a property of live decks or questions: what they have under this name as the files are now."""
    return property(lambda live: getattr(live.collection.whole, name))


def list_own_files(folder: Path, *, endings: Container[str]) -> list[Path]:
    """List the readable files of a folder; imported files come after those written by hand."""
    files = [path for path in folder.glob("*") if path.is_file() and not path.name.startswith(".")]
    usable = [path for path in files if path.suffix.lower().removeprefix(".") in endings]
    return sorted(usable, key=lambda path: (path.name.endswith(IMPORTED), path.name))


def read_own_files(home: Path) -> dict[str, str]:
    """Read all own files as texts; bytes that aren't text become surrogates, so that they survive JSON."""
    folders = (sorted((home / folder).glob("*")) for folder in EXCHANGED_FOLDERS)
    paths = [path for listed in folders for path in listed if path.is_file()]
    named = ((f"{path.parent.name}/{path.name}", path) for path in paths)
    return {name: as_text(path.read_bytes()) for name, path in named if is_safe(name)}


def read_own_file(home: Path, name: str) -> str | None:
    """Read one own file; None if it doesn't exist."""
    try:
        return as_text((home / name).read_bytes())
    except FileNotFoundError:
        return None


def write_own_file(home: Path, name: str, text: str | None) -> None:
    """Replace a file atomically, or remove it (None); concurrent readers see the old or the new file.

    Raises ValueError when the name isn't safe.
    """
    if not is_safe(name):
        raise ValueError(f"not a name for a file of your own: {name!r}")
    path = home / name
    if text is None:
        path.unlink(missing_ok=True)
        return
    replace_file(path, as_bytes(text))


def replace_file(path: Path, content: bytes) -> None:
    """Write a file atomically, in a folder that is made if it is missing."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")  # another thread may write it as well
    try:
        with beside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())  # a power cut leaves the old text or the new one, not an empty file
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def is_safe(name: str) -> bool:
    """Return whether a name stays inside the two folders and isn't hidden."""
    return _SAFE.fullmatch(name) is not None and ".." not in name


def compute_digest(text: str | None) -> str:
    """Return a SHA-256 that shows whether a file is unchanged since an import; empty for a missing file."""
    return "" if text is None else hashlib.sha256(as_bytes(text)).hexdigest()


def as_text(content: bytes) -> str:
    """Decode bytes to a text that encodes to the same bytes."""
    return content.decode("utf-8", "surrogateescape")


def as_bytes(text: str) -> bytes:
    """Encode what `as_text` returned."""
    return text.encode("utf-8", "surrogateescape")


def derive_key(path: Path) -> str:
    """Return the deck or topic of a file: `lora.imported.json` and `lora.yaml` both belong to `lora`."""
    return path.name.partition(".")[0]


def build_slug(text: str, *, limit: int = 60) -> str:
    """Return a readable id: `What is rank?` becomes `what-is-rank`."""
    words = re.sub(r"[^\w]+", "-", text.lower().replace("_", "-")).strip("-")
    return words[:limit].strip("-")


def number_ids(wanted: Iterable[tuple[str, str]], *, otherwise: str) -> list[str]:
    """Return an id for each (id, words): its own, or a free one made of the words, or of `otherwise`."""
    taken: set[str] = set()
    used: dict[str, int] = {}  # id -> how many entries wanted it
    ids = []
    for given, words in wanted:
        named = free = given or build_slug(words, limit=80) or otherwise
        while free in taken and not given:
            used[named] = used.get(named, 1) + 1
            free = f"{named}-{used[named]}"
        taken.add(free)
        ids.append(free)
    return ids


def find_key_of_title(title: str, titles: Mapping[str, str], *, otherwise: str = "") -> str:
    """Return the deck or topic that has a title; `otherwise`, or a new one that is named after the title."""
    named = otherwise or build_slug(title) or "imported"
    return next((key for key, known in titles.items() if known == title), named)


def _read_state(folder: Path) -> FolderState:
    try:
        entries = [entry for entry in os.scandir(folder) if not entry.name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):
        return ()
    return tuple(sorted((entry.name, *_read_change(entry)) for entry in entries))


def _read_change(entry: "os.DirEntry[str]") -> tuple[int, int]:
    try:
        stat = entry.stat()
    except OSError:  # a link that leads nowhere, or a file that has just gone
        return 0, 0
    return stat.st_mtime_ns, stat.st_size
