"""Reader of Anki packages of any generation: notes, cards and their ratings, as plain values.

`collection.anki2` and `collection.anki21` have the same tables, with note types and decks as JSON; `anki21b`
is zstd-compressed and has tables for these, with settings as protobuf.
"""

import json
import sqlite3
from collections import defaultdict
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Any

from flashcards.interchange.archive import Archive
from study.base.errors import LearnerError
from study.base.import_limits import ITEMS
from study.io.exchange import File

# Newest first: the old one may be empty.
GENERATIONS = ("collection.anki21b", "collection.anki21", "collection.anki2")
REVIEWS_AT_MOST = 500_000
STEPS_AT_MOST = 200_000_000  # of SQLite's virtual machine; a real collection of 100,000 cards takes a tenth


@dataclass(frozen=True, kw_only=True)
class Template:
    """The templates of a card's two sides."""

    question: str
    answer: str


@dataclass(frozen=True, kw_only=True)
class NoteType:
    """The names of the fields, and the templates by number."""

    name: str
    cloze: bool
    fields: tuple[str, ...]
    templates: tuple[Template, ...]


@dataclass(frozen=True, kw_only=True)
class AnkiReview:
    """One entry of Anki's review log. Kind 0 learn, 1 review, 2 relearn, 3 ahead or cram, 4 and 5 manual."""

    at_ms: int
    rating: int
    kind: int
    factor: int
    duration_ms: int


@dataclass(frozen=True, kw_only=True)
class AnkiCard:
    """One card. Type 0 new, 1 learning, 2 review, 3 relearning; queue -1 suspended, -2 and -3 buried."""

    number: int
    """The index of the template, or of the gap of a cloze, from 0."""

    deck: str
    type: int
    queue: int
    due: int
    interval: int
    factor: int
    data: dict[str, Any]
    reviews: tuple[AnkiReview, ...]


@dataclass(frozen=True, kw_only=True)
class AnkiNote:
    guid: str
    type: NoteType
    values: tuple[str, ...]
    tags: tuple[str, ...]
    cards: tuple[AnkiCard, ...]


@dataclass(frozen=True, kw_only=True)
class AnkiFile:
    generation: str
    created_at: int
    """Unix time in seconds; due days count from here."""

    notes: tuple[AnkiNote, ...]
    media: int


def read_anki(file: File) -> AnkiFile:
    """Read a package. Raises LearnerError when it has no collection or can't be read."""
    archive = Archive(file)
    generation = next((name for name in GENERATIONS if name in archive.names), None)
    if generation is None:
        raise LearnerError(
            f"{file.name} has no Anki collection in it.",
            do_next="Export the deck from Anki as .apkg, with scheduling.",
        )
    media = sum(name.isdecimal() for name in archive.names)
    try:
        with closing(_open_database(archive.read(generation))) as collection:
            return _read_collection(collection, generation.removeprefix("collection."), media)
    except (sqlite3.Error, ValueError, LookupError, TypeError, RecursionError, AttributeError) as error:
        raise LearnerError(
            f"The collection in {file.name} can't be read ({error}).", do_next="Export it from Anki again."
        ) from error


def _open_database(content: bytes) -> sqlite3.Connection:
    """Open the database in memory, limited to what our few queries need."""
    # Bytes 18 and 19 are the write and read versions; a write-ahead log (2) can't be opened in memory.
    plain = content[:18] + b"\x01\x01" + content[20:]
    connection = sqlite3.connect(":memory:")
    connection.deserialize(plain)
    connection.execute("PRAGMA trusted_schema=OFF")
    connection.create_collation("unicase", _compare_unicase)
    steps = iter(range(STEPS_AT_MOST // 100_000))
    connection.set_progress_handler(lambda: int(next(steps, None) is None), 100_000)
    tables = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if missing := {"col", "notes", "cards", "revlog"} - tables:
        raise ValueError(f"no {', '.join(sorted(missing))}")
    connection.row_factory = sqlite3.Row
    return connection


def _read_collection(collection: sqlite3.Connection, generation: str, media: int) -> AnkiFile:
    [info] = collection.execute("SELECT * FROM col LIMIT 1")
    for table, most in (("notes", ITEMS), ("cards", 2 * ITEMS), ("revlog", REVIEWS_AT_MOST)):
        [[count]] = collection.execute(f"SELECT count(*) FROM {table}")
        if count > most:
            raise ValueError(f"{count:,} {table}; {most:,} are the limit")
    new = generation == "anki21b"
    types = _read_types_from_tables(collection) if new else _read_types_from_json(json.loads(info["models"]))
    decks = _read_decks_from_tables(collection) if new else _read_decks_from_json(json.loads(info["decks"]))
    cards = _read_cards(collection, decks)
    notes = tuple(
        AnkiNote(
            guid=str(row["guid"]),
            type=types[row["mid"]],
            values=tuple(str(row["flds"]).split("\x1f")),
            tags=tuple(str(row["tags"]).split()),
            cards=tuple(sorted(cards[row["id"]], key=lambda card: card.number)),
        )
        for row in collection.execute("SELECT id, guid, mid, tags, flds FROM notes ORDER BY id")
        if row["mid"] in types
    )
    return AnkiFile(generation=generation, created_at=_check_whole(info["crt"]), notes=notes, media=media)


def _read_cards(collection: sqlite3.Connection, decks: dict[int, str]) -> dict[int, list[AnkiCard]]:
    reviews: dict[int, list[AnkiReview]] = defaultdict(list)
    for row in collection.execute("SELECT id, cid, ease, type, factor, time FROM revlog ORDER BY id"):
        reviews[row["cid"]].append(
            AnkiReview(
                at_ms=_check_whole(row["id"]),
                rating=_check_whole(row["ease"]),
                kind=_check_whole(row["type"]),
                factor=_check_whole(row["factor"]),
                duration_ms=_check_whole(row["time"]),
            )
        )
    cards: dict[int, list[AnkiCard]] = defaultdict(list)
    for row in collection.execute("SELECT * FROM cards ORDER BY id"):
        away = bool(row["odid"])  # in a filtered deck: odid and odue hold its own deck and due date
        cards[row["nid"]].append(
            AnkiCard(
                number=_check_whole(row["ord"]),
                deck=decks.get(row["odid"] if away else row["did"], "Imported"),
                type=_check_whole(row["type"]),
                queue=_check_whole(row["queue"]),
                due=_check_whole(row["odue"] if away and row["odue"] else row["due"]),
                interval=_check_whole(row["ivl"]),
                factor=_check_whole(row["factor"]),
                data=_parse_data(row["data"]),
                reviews=tuple(reviews[row["id"]]),
            )
        )
    return cards


def _check_whole(value: Any) -> int:
    """Check a number; SQLite keeps anything in any column."""
    if not isinstance(value, int) or abs(value) >= 2**60:
        raise ValueError(f"{str(value)[:40]!r} instead of a number")
    return value


def _check_name(value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError(f"{str(value)[:40]!r} instead of a name")
    return value


def _parse_data(text: Any) -> dict[str, Any]:
    try:
        found = json.loads(text or "{}")
    except (ValueError, TypeError, RecursionError):  # older versions left other things there
        return {}
    return found if isinstance(found, dict) else {}


def _read_types_from_json(models: dict[str, Any]) -> dict[int, NoteType]:
    return {
        int(number): NoteType(
            name=_check_name(model["name"]),
            cloze=model.get("type") == 1,
            fields=tuple(_check_name(field["name"]) for field in model["flds"]),
            templates=tuple(
                Template(question=_check_name(t["qfmt"]), answer=_check_name(t["afmt"]))
                for t in model["tmpls"]
            ),
        )
        for number, model in models.items()
    }


def _read_decks_from_json(decks: dict[str, Any]) -> dict[int, str]:
    return {int(number): _check_name(deck["name"]) for number, deck in decks.items()}


def _read_types_from_tables(collection: sqlite3.Connection) -> dict[int, NoteType]:
    fields: dict[int, list[str]] = defaultdict(list)
    for row in collection.execute("SELECT ntid, name FROM fields ORDER BY ntid, ord"):
        fields[row["ntid"]].append(_check_name(row["name"]))
    templates: dict[int, list[Template]] = defaultdict(list)
    for row in collection.execute("SELECT ntid, config FROM templates ORDER BY ntid, ord"):
        config = dict(read_protobuf(row["config"]))
        templates[row["ntid"]].append(
            Template(question=_decode_words(config.get(1, b"")), answer=_decode_words(config.get(2, b"")))
        )
    return {
        row["id"]: NoteType(
            name=_check_name(row["name"]),
            cloze=dict(read_protobuf(row["config"])).get(1) == 1,
            fields=tuple(fields[row["id"]]),
            templates=tuple(templates[row["id"]]),
        )
        for row in collection.execute("SELECT id, name, config FROM notetypes")
    }


def _read_decks_from_tables(collection: sqlite3.Connection) -> dict[int, str]:
    return {
        row["id"]: _check_name(row["name"]).replace("\x1f", "::")
        for row in collection.execute("SELECT id, name FROM decks")
    }


def read_protobuf(message: bytes) -> Iterator[tuple[int, Any]]:
    """Yield the fields of a protobuf message: numbers as int, everything with a length as bytes."""
    place = 0
    while place < len(message):
        key, place = _read_varint(message, place)
        match key & 7:
            case 0:
                value, place = _read_varint(message, place)
                yield key >> 3, value
            case 2:
                length, place = _read_varint(message, place)
                yield key >> 3, message[place : place + length]
                place += length
            case 1 | 5 as wire:
                place += 8 if wire == 1 else 4
            case other:
                raise ValueError(f"an unknown kind of protobuf field ({other})")


def _read_varint(message: bytes, place: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        byte = message[place]
        place += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, place
    raise ValueError("a protobuf number has no end")


def _decode_words(content: Any) -> str:
    return content.decode("utf-8", "replace") if isinstance(content, bytes) else ""


def _compare_unicase(left: str, right: str) -> int:
    a, b = left.casefold(), right.casefold()
    return (a > b) - (a < b)
