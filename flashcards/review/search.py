"""Card search: by words, deck, level, tag, concept, and by the card's state for the learner."""

from dataclasses import dataclass, field
from typing import Literal, get_args

from flashcards.decks.note import Card
from flashcards.decks.typed_answers import render_back
from flashcards.review.session import CardFilter
from flashcards.review.snapshot import CardSnapshot
from flashcards.scheduling.scheduler import Memory
from study.text.markup import to_plain

CardState = Literal["new", "learning", "due", "suspended", "buried", "flagged", "leech", "edited"]
STATES: tuple[CardState, ...] = get_args(CardState)


@dataclass(frozen=True, kw_only=True)
class FoundCard:
    """A card that matches, and its state for the learner."""

    card: Card
    states: frozenset[CardState]
    flag: str
    memory: Memory | None


@dataclass(frozen=True, kw_only=True)
class Search:
    """A search: all words must be in the card; empty fields match anything."""

    words: str = ""
    wanted: CardFilter = field(default_factory=CardFilter)
    state: str = ""


def find_cards(snapshot: CardSnapshot, search: Search) -> list[FoundCard]:
    """Return the cards that match, in the order of the decks."""
    words = search.words.casefold().split()
    found = []
    for card in filter(search.wanted.matches, snapshot.decks.cards):
        text = _join_texts(card) if words else ""
        if not all(word in text for word in words):
            continue
        states = list_card_states(card, snapshot)
        if search.state in ("", *states):
            flag, memory = snapshot.status.flags.get(card.id, ""), snapshot.log.memories.get(card.id)
            found.append(FoundCard(card=card, states=states, flag=flag, memory=memory))
    return found


def list_card_states(card: Card, snapshot: CardSnapshot) -> frozenset[CardState]:
    """Return all states of a card; several can hold at once."""
    log, status, now = snapshot.log, snapshot.status, snapshot.now
    memory = log.memories.get(card.id)
    true: dict[CardState, bool] = {
        "new": memory is None,
        "learning": memory is not None and memory.phase != "review",
        "due": card.id in log.requested or _is_due(memory, snapshot),
        "suspended": card.id in status.suspended,
        "buried": card.id in status.buried or status.postponed.get(card.id, now) > now,
        "flagged": card.id in status.flags,
        "leech": card.id in status.leeches,
        "edited": card.own,
    }
    return frozenset(state for state, holds in true.items() if holds)


def _is_due(memory: Memory | None, snapshot: CardSnapshot) -> bool:
    if memory is None:
        return False
    return memory.due <= (snapshot.day_ends if memory.phase == "review" else snapshot.now)


def _join_texts(card: Card) -> str:
    parts = (card.id, card.front, render_back(card), card.why, *card.tags)
    return to_plain("\n".join(parts)).casefold()
