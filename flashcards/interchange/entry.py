"""A card between two formats: the fields of a deck file, and the line they were read from."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from flashcards.decks.deck import Decks
from flashcards.decks.note import ANSWER_PLACE, Note, NoteKind
from flashcards.decks.typed_answers import format_right_number
from study.content.user_files import number_ids
from study.content.yaml_reader import LEVELS
from study.io.exchange import ImportEntry
from study.text.html_import import normalize_html

OWN = "your own card"  # the source of a card that names none
PREFIX = "lora"
_KINDS_ELSEWHERE: dict[NoteKind, NoteKind] = {"numeric": "typed", "image": "basic"}
TEXTS = ("front", "back", "text", "why")


@dataclass(frozen=True, kw_only=True)
class CardEntry:
    """One entry of a deck. An empty id means that the format has none; `assign_ids` sets it."""

    deck: str
    """The deck's title."""

    front: str = ""
    back: str = ""
    why: str = ""
    text: str = ""
    """A cloze text, `{{c1::low rank}}`, instead of front and back."""

    id: str = ""
    kind: str = "basic"
    concepts: tuple[str, ...] = ()
    level: str = ""
    """Empty if the format has no level."""

    tags: tuple[str, ...] = ()
    source: str = ""
    accept: tuple[str, ...] = ()
    extra: Mapping[str, Any] = field(default_factory=dict, hash=False)
    """Fields that only our own schema has, such as `check` or `picture`; the deck reader validates them."""

    line: int = 0

    @property
    def recognized_by(self) -> str:
        """The text by which a learner recognizes the card."""
        return self.front or self.text

    def to_mapping(self) -> dict[str, Any]:
        """Convert to the mapping of a deck file, without empty fields."""
        fields: dict[str, Any] = {
            "id": self.id,
            "concepts": list(self.concepts),
            "level": self.level or LEVELS[0],
        }
        fields |= {"kind": self.kind} if self.kind != "basic" else {}
        fields |= {name: list(values) for name in ("tags", "accept") if (values := getattr(self, name))}
        fields |= {name: text for name in (*TEXTS, "source") if (text := getattr(self, name))}
        return {**fields, **self.extra}

    def normalize_text(self, name: str) -> str:
        """Normalize a text to compare as HTML, because some formats keep only HTML."""
        return normalize_html(getattr(self, name))

    def collect_content(self) -> tuple[Any, ...]:
        """Collect the content to compare."""
        return (self.kind, *map(self.normalize_text, TEXTS), tuple(sorted(self.accept)))


@dataclass(frozen=True, kw_only=True)
class CardReading:
    """The contents of a file: cards, rejected entries, notes for the learner, and review histories."""

    entries: tuple[CardEntry, ...] = ()
    rejected: tuple[ImportEntry, ...] = ()
    notes: tuple[str, ...] = ()
    histories: Mapping[str, Any] = field(default_factory=dict)
    """Card id -> its review history elsewhere (`anki_schedule.History`)."""

    suspended: tuple[str, ...] = ()
    """The cards that were suspended there."""


def to_entry(note: Note, title: str) -> CardEntry:
    """Convert a note of the app. Other programs can't compute: they get today's number, to be typed."""
    shown: dict[str, Any] = dict(note.texts)
    if note.number:
        shown = {
            name: text.replace(ANSWER_PLACE, format_right_number(note.number)) for name, text in shown.items()
        }
    if note.picture and "front" in shown:
        shown["front"] += f"\n[{note.picture.alt}]"
    return CardEntry(
        deck=title,
        id=note.id,
        kind=_KINDS_ELSEWHERE.get(note.kind, note.kind),
        concepts=note.concepts,
        level=note.level,
        tags=note.tags,
        source=note.evidence.source,
        accept=note.accept,
        **shown,
    )


def to_entries(decks: Decks) -> list[CardEntry]:
    return [to_entry(note, decks.titles[note.deck]) for note in decks.notes.values()]


def assign_ids(entries: Sequence[CardEntry]) -> list[CardEntry]:
    """Return the entries with ids; a missing id is made from the deck and the first words.

    The same words give the same id at the next import, so a corrected answer keeps its schedule.
    """
    wanted = ((entry.id, f"{entry.deck} {entry.recognized_by}") for entry in entries)
    ids = number_ids(wanted, otherwise="card")
    return [replace(entry, id=id_) for entry, id_ in zip(entries, ids, strict=True)]


def format_tags(entry: CardEntry) -> list[str]:
    """Format concepts, level, tags for Anki: `lora::rank`, `lora::level::beginner`, `lora::tag::basics`."""
    parts = [*entry.concepts, f"level::{entry.level or LEVELS[0]}", *(f"tag::{tag}" for tag in entry.tags)]
    return [f"{PREFIX}::{part}".replace(" ", "-") for part in parts]


def read_tags(tags: Sequence[str], known: Iterable[str]) -> dict[str, Any]:
    """Parse the result of `format_tags`; tags of other programs stay tags."""
    parts = [
        tag.removeprefix(f"{PREFIX}::") if tag.startswith(f"{PREFIX}::") else f"tag::{tag}" for tag in tags
    ]
    concepts = set(known)
    levels = [part.removeprefix("level::") for part in parts if part.startswith("level::")]
    level = next((level for level in levels if level in LEVELS), "")
    return {
        "concepts": tuple(part for part in parts if part in concepts),
        "level": level,
        "tags": tuple(
            dict.fromkeys(part.removeprefix("tag::") for part in parts if part.startswith("tag::"))
        ),
    }
