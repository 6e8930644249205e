"""Cards that the learner writes in the app, into a deck of their own. Each takes the importer's path."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from flashcards.decks.note import parse_note_id
from flashcards.interchange.entry import CardEntry
from flashcards.interchange.exchange import CardExchange
from flashcards.interchange.schema import write_deck
from study.content.user_files import as_bytes, find_key_of_title
from study.io.apply_import import Imports
from study.io.exchange import File
from study.io.planning import build_shared_content_error
from study.io.written_item import add_written, find_free_id, find_text_problem, quote_item
from study.text.html_import import normalize_html

DECK = "Your own cards"
REQUIRED = ("front", "back")
TEXTS = (*REQUIRED, "why")
FIELDS = (*TEXTS, "concept")


@dataclass(frozen=True, kw_only=True)
class CardWriter:
    """Writes and deletes cards of the learner's own. Each is one import, and is undone like one."""

    exchange: CardExchange
    imports: Imports

    @property
    def deck(self) -> str:
        """The id of the deck that written cards go to."""
        return find_key_of_title(DECK, self.exchange.decks.titles)

    def find_problems(self, profile_id: str, typed: Mapping[str, str]) -> dict[str, str]:
        """Return what is wrong with each text, as a sentence; one that is right is left out."""
        found = {name: _find_problem(name, typed[name]) for name in TEXTS}
        if not found["front"] and self._has_front(profile_id, typed["front"]):
            found["front"] = "You already have a card with this front. Change the front, or edit that card."
        return {name: problem for name, problem in found.items() if problem}

    def write(
        self, profile_id: str, typed: Mapping[str, str], *, may_change_files: bool, now: datetime
    ) -> tuple[str, int]:
        """Store a card; return its id and that of its import. Raises LearnerError if it can't be stored."""
        rated = {parse_note_id(card_id) for card_id in self.exchange.store.cards.latest(profile_id)}
        card = CardEntry(
            id=find_free_id(
                f"{DECK} {typed['front']}", {*self.exchange.decks.notes, *rated}, otherwise="card"
            ),
            deck=DECK,
            concepts=(typed["concept"],) if typed["concept"] else (),
            front=typed["front"],
            back=typed["back"],
            why=typed["why"],
        )
        import_id = add_written(
            profile_id,
            File(name="card.json", content=as_bytes(write_deck(DECK, [card]))),
            self.exchange,
            self.imports,
            called=f"card {quote_item(card.front)}",
            may_change_files=may_change_files,
            now=now,
        )
        return card.id, import_id

    def delete(self, profile_id: str, note_id: str, *, may_change_files: bool, now: datetime) -> int:
        """Delete a card and return the id of that import. Raises LearnerError when it can't go."""
        if not may_change_files:
            raise build_shared_content_error(
                "delete", do_next="Suspend the card instead: you won't be asked it."
            )
        plan = self.exchange.plan_deletion(note_id)
        called = f"the deletion of card {plan.groups[0].entries[0].item}"
        return self.imports.apply(profile_id, plan, file_name=called, now=now).import_id

    def _has_front(self, profile_id: str, front: str) -> bool:
        shown = normalize_html(front)
        written = (card for card in self.exchange.list_known(profile_id) if card.deck == DECK)
        return any(card.normalize_text("front") == shown for card in written)


def _find_problem(name: str, text: str) -> str:
    if not text:
        return f"The {name} is empty." if name in REQUIRED else ""
    return find_text_problem(text)
