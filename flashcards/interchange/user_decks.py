"""The app's decks plus the learner's own. A file that can't be used is skipped and reported."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

from flashcards.decks.deck import Decks, load_decks, read_note
from flashcards.decks.note import Card, Note
from flashcards.interchange.entry import OWN, TEXTS, CardEntry, CardReading, assign_ids, to_entries
from flashcards.interchange.formats import ENDINGS, read_cards
from study.base.import_limits import ID_CHARACTERS, list_length_problems
from study.content.concepts import ConceptMap
from study.content.user_files import (
    Collection,
    LiveContent,
    OwnItems,
    current,
    derive_key,
    find_key_of_title,
    list_own_files,
)
from study.content.yaml_reader import Fields, LocatedMapping, Problem
from study.io.exchange import read_user_file
from study.text.markup import find_formula_problems_in

OPTIONAL = ("why",)


class LiveDecks(LiveContent[Decks], Decks):
    """The decks as the files are now."""

    cards: tuple[Card, ...] = current("cards")
    titles: Mapping[str, str] = current("titles")
    notes: Mapping[str, Note] = current("notes")
    by_id: Mapping[str, Card] = current("by_id")

    def __init__(self, concepts: ConceptMap, folder: Path) -> None:
        app = load_decks(concepts)  # raises on any problem: the app's own decks must be right
        super().__init__(app, partial(read_own_decks, app, concepts, folder), folder)


def read_own_decks(app: Decks, concepts: ConceptMap, folder: Path) -> Collection[Decks]:
    """Read the learner's folder of decks and merge it with the app's decks."""
    own = OwnItems[Note]("card", taken=app.notes)
    titles = dict(app.titles)
    known = {entry.id: entry for entry in to_entries(app)}
    read = partial(read_cards, known=known, concepts=concepts.by_id)
    for path in list_own_files(folder, endings=ENDINGS):
        problems: list[str] = []
        reading = read_user_file(path, read, CardReading(), problems)
        title = reading.entries[0].deck if reading.entries else ""
        key = find_key_of_title(title, app.titles, otherwise=derive_key(path))
        notes = list(_read_notes(assign_ids(reading.entries), key, path.name, concepts, problems))
        own.add(path, notes, problems)
        if reading.entries:
            titles.setdefault(key, title)
    cards = (*app.cards, *(card for note in own.by_id.values() for card in note.build_cards()))
    return own.collect(Decks(cards, titles, {**app.notes, **own.by_id}))


def check_entry(entry: CardEntry, concepts: ConceptMap) -> tuple[CardEntry, str]:
    """Return the entry as the deck reader takes it, and its problems. Unknown concepts are left out."""
    problems: list[str] = []
    kept = tuple(concept for concept in entry.concepts if concept in concepts.by_id)
    entry = replace(entry, concepts=kept, source=entry.source or OWN)
    if len(entry.id) > ID_CHARACTERS:
        problems.append(f"its id has {len(entry.id)} characters; {ID_CHARACTERS} are the limit")
    lengths = list_length_problems(
        [(name, getattr(entry, name)) for name in (*TEXTS, "id", "deck", "source")]
        + [("answer", text) for text in entry.accept]
        + [("tag", text) for text in entry.tags]
        + [("other field", f"{name} {value}") for name, value in entry.extra.items()]
    )
    if lengths:
        return entry, "; ".join(lengths)
    notes = list(_read_notes([entry], "deck", "", concepts, problems))
    reasons = [problem.partition(": ")[2] or problem for problem in problems]
    shown = [(card.front, card.back, card.why) for note in notes for card in note.build_cards()]
    return entry, "; ".join((*reasons, *dict.fromkeys(find_formula_problems_in(shown))))


def _read_notes(
    entries: Iterable[CardEntry], key: str, file: str, concepts: ConceptMap, problems: list[str]
) -> Iterator[Note]:
    for entry in entries:
        found: list[Problem] = []
        placed = LocatedMapping(replace(entry, source=entry.source or OWN).to_mapping(), line=entry.line)
        fields = Fields(placed, file=file, kind="card", problems=found, optional=OPTIONAL)
        note = read_note(fields, key, concepts)
        if found:
            problems.extend(str(problem) for problem in found)
        else:
            yield note
