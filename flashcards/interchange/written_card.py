"""Cards that the learner writes in the app, into a deck of their own. Each takes the importer's path."""

from collections.abc import Container, Mapping
from dataclasses import dataclass
from datetime import datetime
from itertools import chain, count

from flashcards.interchange.entry import CardEntry
from flashcards.interchange.exchange import CardExchange
from flashcards.interchange.schema import read_schema, write_deck
from study.base.errors import LearnerError
from study.base.import_limits import length_problems
from study.content.user_files import (
    IMPORTED,
    as_bytes,
    build_slug,
    compute_digest,
    key_of_title,
    read_own_file,
)
from study.io.apply_import import Imports
from study.io.exchange import File, ImportEntry, ImportGroup, ImportPlan, shorten
from study.io.planning import shared_content
from study.io.written_item import add_written
from study.store.logs.imports import ImportRecord
from study.text.html_import import normal_html
from study.text.markup import formula_problems, to_plain

DECK = "Your own cards"
REQUIRED = ("front", "back")
TEXTS = (*REQUIRED, "why")
FIELDS = (*TEXTS, "concept")
LONGEST_NAME = 60  # characters of the front, where imports are listed


@dataclass(frozen=True, kw_only=True)
class CardWriter:
    """Writes and deletes cards of the learner's own. Each is one import, and is undone like one."""

    exchange: CardExchange
    imports: Imports

    @property
    def deck(self) -> str:
        """The id of the deck that written cards go to."""
        return key_of_title(DECK, self.exchange.decks.titles, otherwise=build_slug(DECK))

    def find_problems(self, profile_id: str, typed: Mapping[str, str]) -> dict[str, str]:
        """Return what is wrong with each text, as a sentence; one that is right is left out."""
        found = {name: _find_problem(name, typed[name]) for name in TEXTS}
        if not found["front"] and self._has_front(profile_id, typed["front"]):
            found["front"] = "You have a card with this front already. Change the front, or edit that card."
        return {name: problem for name, problem in found.items() if problem}

    def write(
        self, profile_id: str, typed: Mapping[str, str], *, may_change_files: bool, now: datetime
    ) -> tuple[str, ImportRecord]:
        """Store a card and return its id and its import. Raises LearnerError when it can't be stored."""
        rated = {_note_of(card_id) for card_id in self.exchange.store.cards.latest(profile_id)}
        card = CardEntry(
            id=_find_free_id(typed["front"], {*self.exchange.decks.notes, *rated}),
            deck=DECK,
            concepts=(typed["concept"],) if typed["concept"] else (),
            front=typed["front"],
            back=typed["back"],
            why=typed["why"],
        )
        record = add_written(
            profile_id,
            File(name="card.json", content=as_bytes(write_deck(DECK, [card]))),
            self.exchange,
            self.imports,
            called=f"card {_quote(card.front)}",
            may_change_files=may_change_files,
            now=now,
        )
        return card.id, record

    def can_delete(self, note_id: str) -> bool:
        """Return whether a card is in a deck that the app writes: it was written here, or imported."""
        return note_id in self.exchange.decks.notes and not self.exchange.is_given(note_id)

    def delete(self, profile_id: str, note_id: str, *, may_change_files: bool, now: datetime) -> ImportRecord:
        """Take a card out of its deck; its ratings stay in the log. Raises LearnerError when it can't go."""
        if not may_change_files:
            raise shared_content("delete", do_next="Suspend the card instead: it stays away from you.")
        note = self.exchange.decks.notes.get(note_id)
        name = f"decks/{note.deck}{IMPORTED}" if note and self.can_delete(note_id) else ""
        before = read_own_file(self.imports.home, name) if name else None
        if before is None:
            raise LearnerError("That card can't be deleted here.", do_next="Suspend it: it stays away.")
        kept = read_schema(File(name=name, content=as_bytes(before))).entries
        [gone] = [card for card in kept if card.id == note_id]
        item = _quote(gone.recognized_by)
        entry = ImportEntry(verdict="changed", item=item, why="deleted")
        plan = ImportPlan(
            groups=(ImportGroup(title="Cards", entries=(entry,)),),
            files={name: write_deck(gone.deck, [card for card in kept if card is not gone])},
            read_from={name: compute_digest(before)},
        )
        self.imports.apply(profile_id, plan, file_name=f"the deletion of card {item}", now=now)
        return self.imports.store.imports.list_undoable(profile_id)[0]

    def _has_front(self, profile_id: str, front: str) -> bool:
        shown = normal_html(front)
        written = (card for card in self.exchange.list_known(profile_id) if card.deck == DECK)
        return any(card.shows("front") == shown for card in written)


def _find_problem(name: str, text: str) -> str:
    if not text:
        return f"The {name} is empty." if name in REQUIRED else ""
    problem = "; ".join(length_problems([(name, text)]) or formula_problems(text))
    return f"{problem[0].upper()}{problem[1:]}." if problem else ""


def _find_free_id(front: str, taken: Container[str]) -> str:
    """Return an id that no card and no rating has: a known one would change its card, or be known already."""
    named = build_slug(f"{DECK} {front}", limit=80)
    numbered = (f"{named}-{number}" for number in count(2))
    return next(free for free in chain([named], numbered) if free not in taken)


def _note_of(card_id: str) -> str:
    return card_id.partition("--")[0]


def _quote(text: str) -> str:
    return f"“{shorten(to_plain(text), limit=LONGEST_NAME)}”"
