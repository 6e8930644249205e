"""Card search: by words, deck, level, tag, concept, and by the card's state for the learner."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, get_args

from flashcards.decks.note import Card
from flashcards.decks.typed_answers import render_back
from flashcards.review.card_status import CardStatus
from flashcards.review.session import CardFilter, Log
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


def find_cards(
    cards: tuple[Card, ...],
    search: Search,
    *,
    log: Log,
    status: CardStatus,
    now: datetime,
    day_ends: datetime,
) -> list[FoundCard]:
    """Return the cards that match, in the order of the decks."""
    words = search.words.casefold().split()
    found = []
    for card in filter(search.wanted.matches, cards):
        text = _join_texts(card) if words else ""
        if not all(word in text for word in words):
            continue
        states = list_card_states(card, log=log, status=status, now=now, day_ends=day_ends)
        if search.state in ("", *states):
            flag = status.flags.get(card.id, "")
            found.append(FoundCard(card=card, states=states, flag=flag, memory=log.memories.get(card.id)))
    return found


def list_card_states(
    card: Card, *, log: Log, status: CardStatus, now: datetime, day_ends: datetime
) -> frozenset[CardState]:
    """Return all states of a card; several can hold at once."""
    memory = log.memories.get(card.id)
    true: dict[CardState, bool] = {
        "new": memory is None,
        "learning": memory is not None and memory.phase != "review",
        "due": card.id in log.requested or _is_due(memory, now, day_ends),
        "suspended": card.id in status.suspended,
        "buried": card.id in status.buried or status.postponed.get(card.id, now) > now,
        "flagged": card.id in status.flags,
        "leech": card.id in status.leeches,
        "edited": card.own,
    }
    return frozenset(state for state, holds in true.items() if holds)


def _is_due(memory: Memory | None, now: datetime, day_ends: datetime) -> bool:
    if memory is None:
        return False
    return memory.due <= (day_ends if memory.phase == "review" else now)


def _join_texts(card: Card) -> str:
    parts = (card.id, card.front, render_back(card), card.why, *card.tags)
    return to_plain("\n".join(parts)).casefold()
