"""Import and export of cards: the dry run of an import into decks and log, and the files of an export."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from operator import itemgetter
from pathlib import Path
from typing import Any

from flashcards.decks.note import Note, parse_note_id
from flashcards.interchange.anki_schedule import list_missing_ratings
from flashcards.interchange.anki_write import write_apkg
from flashcards.interchange.entry import TEXTS, CardEntry, CardReading, assign_ids, to_entries
from flashcards.interchange.formats import ENDINGS, READABLE, TEXT_ENDINGS, read_cards
from flashcards.interchange.markdown import write_markdown
from flashcards.interchange.schema import read_schema, write_deck
from flashcards.interchange.table import write_csv
from flashcards.interchange.user_decks import LiveDecks, check_entry
from flashcards.scheduling.scheduler import Memory
from study.base.errors import LearnerError
from study.base.settings import Settings
from study.content.concepts import ConceptMap
from study.content.user_files import (
    IMPORTED,
    OwnFilesCheck,
    as_bytes,
    compute_digest,
    find_key_of_title,
    read_own_file,
)
from study.io.exchange import File, Format, ImportEntry, ImportGroup, ImportPlan, reject_item, shorten
from study.io.planning import with_progress
from study.io.written_item import quote_item
from study.store import Store

NAME = "lora-study-cards"


@dataclass(frozen=True, kw_only=True)
class CardExchange:
    """The import and export of cards; implements `study.io.exchange.Exchange`."""

    store: Store
    decks: LiveDecks
    concepts: ConceptMap
    home: Path
    title: str = "Cards"
    readable: str = READABLE
    formats: Sequence[Format] = (
        Format(
            name="apkg", label="an Anki deck", hint="For Anki; importing a later one updates your notes there"
        ),
        Format(name="csv", label="a table", hint="CSV with Anki's header lines, for Anki or a spreadsheet"),
        Format(name="md", label="Markdown", hint="One file per deck with Q: and A:, as hashcards reads it"),
    )

    def check_own_files(self) -> OwnFilesCheck:
        """Say what is wrong with the files in the learner's folder of decks."""
        return self.decks.collection

    def reads(self, file: File) -> bool:
        """Return whether a file may hold cards: any table or text may, so other exchanges are asked first."""
        match file.extension:
            case "yaml" | "yml" | "json":
                return file.has_key("cards", "deck")
            case ending:
                return ending in ENDINGS

    def export(self, profile_id: str, name: str, *, now: datetime) -> list[File]:
        """Export all cards, the app's and the learner's own, with the learner's edits."""
        entries = self.list_known(profile_id)
        match name:
            case "apkg":
                return [File(name=f"{NAME}.apkg", content=write_apkg(entries, now=now))]
            case "csv":
                return [File(name=f"{NAME}.csv", content=write_csv(entries))]
        written = write_markdown(entries)
        return [File(name=file, content=content) for file, content in written.items()]

    def list_known(self, profile_id: str) -> list[CardEntry]:
        """List all cards with the learner's edits."""
        return to_entries(self.decks.apply_edits(self._read_edits(profile_id)))

    def is_imported(self, note_id: str) -> bool:
        """Return whether the app writes a note's deck; it never changes its own, or one written by hand."""
        given = note_id in self.decks.app.notes or note_id in self.decks.collection.by_hand
        return note_id in self.decks.notes and not given

    def plan(self, profile_id: str, file: File, *, now: datetime) -> ImportPlan:
        """Plan the import of a file: the verdict on each card, and the ratings that come with it."""
        edits = self._read_edits(profile_id)
        edited = self.decks.apply_edits(edits)
        known = {entry.id: entry for entry in to_entries(edited)}
        reading = read_cards(file, known=known, concepts=self.concepts.by_id)
        if not reading.entries and file.extension in TEXT_ENDINGS:
            raise _build_no_card_error(file)
        judged = self._judge_entries(reading, known, edits)
        taken = {entry.id for entry, result in judged if result.verdict != "rejected"}
        wanted = [entry for entry, result in judged if result.verdict in ("new", "changed")]
        rewritten = [
            entry for entry in wanted if entry.id in known and not self._is_imported(entry.id, edits)
        ]
        operations = [_build_edit(entry, known[entry.id], edited.notes[entry.id], now) for entry in rewritten]
        return ImportPlan(
            groups=(ImportGroup(title="Cards", entries=(*(r for _, r in judged), *reading.rejected)),),
            notes=reading.notes,
            files=self._merge_files([entry for entry in wanted if entry not in rewritten]),
            tables={
                "card_reviews": self._build_ratings(profile_id, reading, taken, now),
                "card_verbs": [*operations, *self._build_suspensions(profile_id, reading, taken, now)],
            },
        )

    def plan_deletion(self, note_id: str) -> ImportPlan:
        """Plan to take a card out of its deck; its ratings stay. Raises LearnerError when it can't go."""
        note = self.decks.notes.get(note_id)
        name = f"decks/{note.deck}{IMPORTED}" if note and self.is_imported(note_id) else ""
        before = read_own_file(self.home, name) if name else None
        if before is None:
            raise LearnerError(
                "That card can't be deleted here.", do_next="Suspend it: you won't be asked it."
            )
        cards = _read_imported(name, before)
        [gone] = [card for card in cards if card.id == note_id]
        entry = ImportEntry(verdict="changed", item=quote_item(gone.recognized_by), why="deleted")
        return ImportPlan(
            groups=(ImportGroup(title="Cards", entries=(entry,)),),
            files={name: write_deck(gone.deck, [card for card in cards if card is not gone])},
            read_from={name: compute_digest(before)},
        )

    def _read_edits(self, profile_id: str) -> dict[str, Mapping[str, str]]:
        """Read the learner's edits: note id -> fields."""
        last = {
            operation.subject: operation.value
            for operation in self.store.card_operations.live(profile_id, ["edit"])
        }
        return {note: texts for note, texts in last.items() if texts and note in self.decks.notes}

    def _is_imported(self, note_id: str, edits: Mapping[str, object]) -> bool:
        """Return whether an import file of ours has the note; any other note is changed by an edit."""
        return self.is_imported(note_id) and note_id not in edits

    def _judge_entries(
        self, reading: CardReading, known: Mapping[str, CardEntry], edits: Mapping[str, object]
    ) -> list[tuple[CardEntry, ImportEntry]]:
        by_words = {(entry.deck, entry.collect_content()): entry.id for entry in known.values()}
        seen: set[str] = set()
        judged = []
        for entry in with_progress(assign_ids(reading.entries)):
            if entry.id not in known and (same := by_words.get((entry.deck, entry.collect_content()))):
                entry = replace(entry, id=same)
            here = known.get(entry.id)
            entry, problem = check_entry(_fill_missing(entry, here), self.concepts)
            result = self._judge_entry(entry, here, problem, edits)
            if entry.id in seen:
                result = reject_item(result.item, "the file has this card twice")
            seen.add(entry.id)
            judged.append((entry, result))
        return judged

    def _judge_entry(
        self, entry: CardEntry, here: CardEntry | None, problem: str, edits: Mapping[str, object]
    ) -> ImportEntry:
        item = shorten(entry.recognized_by)
        if problem:
            return reject_item(item, problem)
        if here is None:
            return ImportEntry(verdict="new", item=item, why=f"in {entry.deck}")
        note = self.decks.notes[entry.id]
        if entry.kind != here.kind:
            return reject_item(item, f"its kind is {note.kind} here and {entry.kind} in the file")
        differ = [name for name in TEXTS if entry.normalize_text(name) != here.normalize_text(name)]
        # An edit holds texts only, so a file can change nothing else of a note that is not its own.
        if not differ and (
            not self._is_imported(entry.id, edits) or _list_filing(entry) == _list_filing(here)
        ):
            return ImportEntry(verdict="same", item=item)
        if (note.number and "back" in differ) or (note.picture and "front" in differ):
            return reject_item(item, "the app computes its number or draws its picture")
        why = f"another {' and '.join(differ)}" if differ else "other answers, concepts, level or tags"
        return ImportEntry(verdict="changed", item=item, why=why)

    def _merge_files(self, entries: Iterable[CardEntry]) -> dict[str, str]:
        """Return the imported decks with these cards merged in."""
        by_deck: dict[str, list[CardEntry]] = {}
        for entry in entries:
            here = self.decks.notes.get(entry.id)  # it stays in its deck
            key = here.deck if here else find_key_of_title(entry.deck, self.decks.titles)
            by_deck.setdefault(key, []).append(entry)
        files = {}
        for key, fresh in by_deck.items():
            name = f"decks/{key}{IMPORTED}"
            kept = _read_imported(name, read_own_file(self.home, name))
            title = kept[0].deck if kept else self.decks.titles.get(key, fresh[0].deck)
            files[name] = write_deck(title, {entry.id: entry for entry in (*kept, *fresh)}.values())
        return files

    def _build_ratings(
        self, profile_id: str, reading: CardReading, taken: set[str], now: datetime
    ) -> list[dict[str, Any]]:
        latest = self.store.cards.latest(profile_id)
        rows: list[dict[str, Any]] = []
        for card_id, history in reading.histories.items():
            here = latest.get(card_id)
            if parse_note_id(card_id) in taken:
                rows += list_missing_ratings(
                    card_id,
                    history,
                    memory=Memory.from_json(here.after) if here else None,
                    newest=here.reviewed_at if here else None,
                    now=now,
                )
        return sorted(rows, key=itemgetter("reviewed_at"))

    def _build_suspensions(
        self, profile_id: str, reading: CardReading, taken: set[str], now: datetime
    ) -> list[dict[str, Any]]:
        """Build suspensions of cards that were suspended in Anki and never rated or decided on here."""
        rated = self.store.cards.latest(profile_id)
        operations = self.store.card_operations.live(profile_id, ["suspend", "resume"])
        decided = {operation.subject for operation in operations} | rated.keys()
        return [
            _build_operation("suspend", card_id, None, now)
            for card_id in reading.suspended
            if parse_note_id(card_id) in taken and card_id not in decided
        ]


def build_card_exchange(
    store: Store, home: Path, concepts: ConceptMap, decks: LiveDecks | None = None
) -> CardExchange:
    """Build the exchange of a data folder; the decks are read here unless they are given."""
    decks = decks or LiveDecks(concepts, home / "decks")
    return CardExchange(store=store, decks=decks, concepts=concepts, home=home)


def open_exchange(settings: Settings, store: Store, concepts: ConceptMap) -> CardExchange:
    """Build it in the process that reads files."""
    return build_card_exchange(store, settings.home, concepts)


def _read_imported(name: str, text: str | None) -> tuple[CardEntry, ...]:
    """Return the cards of a deck file that the app has written; none of one that is not there."""
    return read_schema(File(name=name, content=as_bytes(text))).entries if text else ()


def _build_edit(entry: CardEntry, here: CardEntry, note: Note, now: datetime) -> dict[str, Any]:
    """Return an edit with every text, because it replaces the learner's earlier edit of the note.

    A text that the file leaves as it is stays the note's own, with the place of a computed number.
    """
    texts = {
        name: own if entry.normalize_text(name) == here.normalize_text(name) else getattr(entry, name)
        for name, own in note.texts.items()
    }
    return _build_operation("edit", entry.id, texts, now)


def _build_operation(name: str, subject: str, value: Any, now: datetime) -> dict[str, Any]:
    return {"verb": name, "subject": subject, "review_id": None, "value": value, "at": now.isoformat()}


def _build_no_card_error(file: File) -> LearnerError:
    """Say what a text without any card holds, and how a card is written."""
    lines = sum(bool(line.strip()) for line in file.content.decode("utf-8", "replace").splitlines())
    counted = "1 line" if lines == 1 else f"{lines:,} lines"
    held = f"has {counted} of text and no card" if lines else "is empty"
    looked_for = "a question `Q:` with its answer `A:`, or a `C:` with a `[gap]`"
    if file.extension == "txt":
        looked_for += ", or a front and a back with a tab between them"
    return LearnerError(
        f"{file.name} {held}. A card is {looked_for}.",
        do_next="Write `Q: What is the rank?` on one line and `A: The inner dimension of B·A.` on the next, "
        "then choose the file again.",
    )


def _fill_missing(entry: CardEntry, known: CardEntry | None) -> CardEntry:
    """Take the fields that a format lacks from the known card."""
    if known is None:
        return entry
    names = ("why", "source", "concepts", "level", "tags", "accept")
    filled: dict[str, Any] = {name: getattr(entry, name) or getattr(known, name) for name in names}
    kind = known.kind if entry.kind == "basic" and entry.front else entry.kind
    return replace(entry, deck=known.deck, kind=kind, **filled)


def _list_filing(entry: CardEntry) -> tuple[Any, ...]:
    tags = sorted(tag.replace(" ", "-") for tag in entry.tags)
    return entry.level, sorted(entry.concepts), tags, sorted(entry.accept)
