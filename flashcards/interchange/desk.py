"""Cards in and out: what a file would do to the learner's decks and log, and the files of an export."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from flashcards.interchange.anki_schedule import rows_of
from flashcards.interchange.anki_write import write_apkg
from flashcards.interchange.entry import CardEntry, Reading, entries_of, named
from flashcards.interchange.formats import ENDINGS, READABLE, read_cards
from flashcards.interchange.markdown import write_markdown
from flashcards.interchange.schema import read_schema, write_deck
from flashcards.interchange.table import write_csv
from flashcards.own_decks import LiveDecks, checked
from flashcards.scheduler import Memory
from study.concepts import ConceptMap
from study.exchange import Entry, File, Format, Group, Plan, shorten
from study.own_files import IMPORTED, as_bytes, read_own_file, slug
from study.store import Store

NAME = "lora-study-cards"


@dataclass(frozen=True, kw_only=True)
class CardDesk:
    """Reads and writes cards."""

    store: Store
    decks: LiveDecks
    concepts: ConceptMap
    home: Path
    title: str = "Cards"
    readable: str = READABLE
    formats: Sequence[Format] = (
        Format(
            name="apkg", label="Anki deck", hint="For Anki; importing a later one updates your notes there"
        ),
        Format(name="csv", label="Table", hint="CSV with Anki's header lines, for Anki or a spreadsheet"),
        Format(name="md", label="Markdown", hint="One Q: and A: file a deck, as hashcards reads them"),
    )

    def own_problems(self) -> tuple[str, ...]:
        """What is wrong with the files in the learner's folder of decks."""
        return self.decks.shelf.problems

    def reads(self, file: File) -> bool:
        """Whether a file may hold cards."""
        start = file.content[:4000]  # questions in the same forms are claimed by their own desk before
        match file.ending:
            case "yaml" | "yml" | "json":
                return b"cards" in start or b"deck" in start
            case ending:
                return ending in ENDINGS

    def export(self, profile_id: str, name: str, *, now: datetime) -> list[File]:
        """All cards, the app's and the learner's own."""
        del profile_id
        entries = entries_of(self.decks)
        match name:
            case "apkg":
                return [File(name=f"{NAME}.apkg", content=write_apkg(entries, now=now))]
            case "csv":
                return [File(name=f"{NAME}.csv", content=write_csv(entries))]
        written = write_markdown(entries)
        return [File(name=file, content=content) for file, content in written.items()]

    def plan(self, profile_id: str, file: File, *, now: datetime) -> Plan:
        """What becomes of each card of a file, and which ratings come with it."""
        del now
        known = {entry.id: entry for entry in entries_of(self.decks)}
        reading = read_cards(file, known=known, concepts=self.concepts.by_id)
        judged = self._judged(reading, known)
        taken = {entry.id for entry, result in judged if result.verdict != "rejected"}
        entries = (*(result for _, result in judged), *reading.rejected)
        return Plan(
            groups=(Group(title="Cards", entries=entries),),
            notes=reading.notes,
            files=self._files([entry for entry, r in judged if r.verdict in ("new", "changed")]),
            tables={"card_reviews": self._ratings(profile_id, reading, taken)},
        )

    def _judged(self, reading: Reading, known: Mapping[str, CardEntry]) -> list[tuple[CardEntry, Entry]]:
        by_words = {(entry.deck, entry.says()): entry.id for entry in known.values()}
        by_hand = self.decks.shelf.by_hand
        seen: set[str] = set()
        judged = []
        for entry in named(reading.entries):
            if entry.id not in known and (same := by_words.get((entry.deck, entry.says()))):
                entry = replace(entry, id=same)
            entry, problem = checked(_filled(entry, known.get(entry.id)), self.concepts)
            result = self._verdict(entry, known.get(entry.id), by_hand, problem)
            if entry.id in seen:
                result = replace(result, verdict="rejected", why="the file has this card twice")
            seen.add(entry.id)
            judged.append((entry, result))
        return judged

    def _verdict(
        self, entry: CardEntry, known: CardEntry | None, by_hand: Mapping[str, str], problem: str
    ) -> Entry:
        item = shorten(entry.recognized_by)
        if problem:
            return Entry(verdict="rejected", item=item, why=problem)
        if known is None:
            return Entry(verdict="new", item=item, why=f"in {entry.deck}")
        if _same(entry, known):
            return Entry(verdict="same", item=item)
        if entry.id in by_hand:
            why = f"it is in your own file {by_hand[entry.id]}: change it there"
            return Entry(verdict="rejected", item=item, why=why)
        return Entry(verdict="changed", item=item, why=_difference(entry, known))

    def _files(self, entries: Iterable[CardEntry]) -> dict[str, str]:
        """The imported decks with these cards in them."""
        decks: dict[str, dict[str, CardEntry]] = {}
        titles: dict[str, str] = {}
        for entry in entries:
            key = self._key(entry)
            name = f"decks/{key}{IMPORTED}"
            if name not in decks:
                before = read_own_file(self.home, name)
                kept = read_schema(File(name=name, content=as_bytes(before))).entries if before else ()
                decks[name] = {card.id: card for card in kept}
                titles[name] = kept[0].deck if kept else self.decks.titles.get(key, entry.deck)
            decks[name][entry.id] = entry
        return {name: write_deck(titles[name], cards.values()) for name, cards in decks.items()}

    def _key(self, entry: CardEntry) -> str:
        """The deck a card stays in; a new one goes to the deck of that title."""
        here = self.decks.by_id.get(entry.id)
        if here is not None:
            return here.deck
        titles = self.decks.titles.items()
        return next((key for key, title in titles if title == entry.deck), slug(entry.deck) or "imported")

    def _ratings(self, profile_id: str, reading: Reading, taken: set[str]) -> list[dict[str, Any]]:
        latest = self.store.cards.latest(profile_id)
        rows: list[dict[str, Any]] = []
        for card_id, history in reading.histories.items():
            here = latest.get(card_id)
            if card_id in taken or card_id.partition("--")[0] in taken:
                rows += rows_of(
                    card_id,
                    history,
                    memory=Memory.from_json(here.after) if here else None,
                    newest=here.reviewed_at if here else None,
                )
        return sorted(rows, key=_reviewed_at)


def card_desk(store: Store, home: Path, concepts: ConceptMap) -> CardDesk:
    """The desk of a data folder."""
    return CardDesk(store=store, decks=LiveDecks(concepts, home / "decks"), concepts=concepts, home=home)


def _filled(entry: CardEntry, known: CardEntry | None) -> CardEntry:
    """What a format left out stays as it is here."""
    if known is None:
        return entry
    return replace(
        entry,
        deck=known.deck,
        why=entry.why or known.why,
        source=entry.source or known.source,
        concepts=entry.concepts or known.concepts,
        level=entry.level or known.level,
        tags=entry.tags or known.tags,
        accept=entry.accept or known.accept,
    )


def _same(entry: CardEntry, known: CardEntry) -> bool:
    return entry.says() == known.says() and _filing(entry) == _filing(known)


def _filing(entry: CardEntry) -> tuple[Any, ...]:
    return entry.level, sorted(entry.concepts), sorted(tag.replace(" ", "-") for tag in entry.tags)


def _difference(entry: CardEntry, known: CardEntry) -> str:
    names = [
        name for name in ("front", "back", "text", "why") if getattr(entry, name) != getattr(known, name)
    ]
    return f"another {' and '.join(names)}" if names else "other concepts, level or tags"


def _reviewed_at(row: Mapping[str, Any]) -> str:
    return str(row["reviewed_at"])
