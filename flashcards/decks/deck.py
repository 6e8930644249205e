"""The decks: YAML files of notes, read and checked; each problem names its file, line and note."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from flashcards.decks.note import (
    ANSWER_PLACE,
    KINDS,
    Card,
    CardNumber,
    Note,
    NoteKind,
    fill_gaps,
    list_cloze_numbers,
)
from flashcards.decks.pictures import read_picture
from study.content.concepts import ConceptMap, note_unknown_concepts
from study.content.evidence import read_evidence, read_quantity
from study.content.yaml_reader import LEVELS, ContentError, Fields, Problem, note_repeated_ids, read_folder

DECKS_DIR = Path(__file__).parent


@dataclass(frozen=True)
class Decks:
    """All cards, in file order; the id of a deck is its file's name."""

    cards: tuple[Card, ...]
    titles: Mapping[str, str]
    notes: Mapping[str, Note] = field(default_factory=dict)

    @cached_property
    def by_id(self) -> Mapping[str, Card]:
        return {card.id: card for card in self.cards}

    @property
    def titles_of(self) -> Mapping[str, tuple[str, ...]]:
        """The title of each card's deck, as the one subject that the card belongs to, by card id."""
        return {card.id: (self.titles[card.deck],) for card in self.cards}

    @cached_property
    def concepts_of(self) -> Mapping[str, tuple[str, ...]]:
        return {card.id: card.concepts for card in self.cards}

    def apply_edits(self, edits: Mapping[str, Mapping[str, str]]) -> "Decks":
        """Apply a learner's edits: note id -> the fields that they changed."""
        own = {note_id: self.notes[note_id].replace_texts(texts) for note_id, texts in edits.items() if texts}
        if not own:
            return self
        notes = {**self.notes, **own}
        return Decks(
            tuple(card for note in notes.values() for card in note.build_cards()), self.titles, notes
        )

    def list_about(self, concepts: Iterable[str]) -> list[Card]:
        """List the cards that share a concept with these."""
        wanted = set(concepts)
        return [card for card in self.cards if wanted.intersection(card.concepts)]


def load_decks(concepts: ConceptMap, *, folder: Path = DECKS_DIR) -> Decks:
    """Read every deck of a folder. Raises ContentError with all problems of all decks."""
    problems: list[Problem] = []
    read: list[tuple[Note, Fields]] = []
    titles: dict[str, str] = {}
    for deck, file in read_folder(folder, kind="deck", problems=problems):
        titles[deck] = file.text("deck")
        entries = file.children("cards", kind="card")
        file.close()
        read.extend((read_note(entry, deck, concepts), entry) for entry in entries)
    note_repeated_ids((card.id, fields) for note, fields in read for card in note.build_cards())
    if problems:
        raise ContentError(problems)
    cards = tuple(card for note, _ in read for card in note.build_cards())
    return Decks(cards, titles, {note.id: note for note, _ in read})


def read_note(fields: Fields, deck: str, concepts: ConceptMap) -> Note:
    """Read one entry of a deck and note its problems."""
    note_id = fields.text("id")
    kind = fields.choice("kind", KINDS) if fields.has("kind") else "basic"
    texts = _read_texts(fields, kind)
    if "--" in note_id:
        fields.note("an id must not have `--` in it: that is how the cards of one note are told apart")
    number = _read_number(fields) if kind == "numeric" else None
    printed = fill_gaps(" ".join(texts.values()))
    note = Note(
        id=note_id,
        deck=deck,
        kind=kind,
        concepts=fields.texts("concepts"),
        level=fields.choice("level", LEVELS),
        tags=fields.texts("tags", default=()),
        texts=texts,
        evidence=read_evidence(fields, printed=printed, computed=number is not None),
        accept=fields.texts("accept", default=()) if kind == "typed" else (),
        number=number,
        picture=read_picture(fields),
    )
    if kind == "image" and note.picture is None:
        fields.note("an image card needs a `picture`")
    note_unknown_concepts(fields, note.concepts, concepts)
    fields.close()
    return note


def _read_texts(fields: Fields, kind: NoteKind) -> dict[str, str]:
    if kind == "cloze":
        text = fields.text("text")
        if not list_cloze_numbers(text):
            fields.note("a cloze text needs a gap such as {{c1::low rank}}")
        return {"text": text, "why": fields.text("why")}
    front = fields.text("front")
    back = fields.text("back", default=ANSWER_PLACE if kind == "numeric" else None)
    if kind == "numeric" and ANSWER_PLACE not in back:
        fields.note(f"the back of a numeric card shows its number as {ANSWER_PLACE}")
    return {"front": front, "back": back, "why": fields.text("why")}


def _read_number(fields: Fields) -> CardNumber | None:
    inner = fields.child("answer", kind="answer")
    if inner is None:
        fields.note("a numeric card needs an `answer` with a `quantity`")
        return None
    unit, tolerance = inner.text("unit", default=""), inner.raw("tolerance_percent") or 0
    quantity = read_quantity(inner, besides=("unit", "tolerance_percent"))
    if not isinstance(tolerance, int | float) or not 0 <= tolerance < 100:
        inner.note(f"`tolerance_percent` must be a number from 0 to 100, got {tolerance!r}")
        return None
    if quantity is None:
        return None
    return CardNumber(quantity=quantity, unit=unit, tolerance_percent=float(tolerance))
