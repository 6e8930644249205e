"""The order of waiting cards, and which of several cards of one note waits for another day."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from zlib import crc32

from flashcards.decks.note import Card
from flashcards.scheduling.scheduler import Memory, Scheduling, compute_retrievability
from study.content.confusable import Lookalikes
from study.store.logs.preferences import CardOrder

LOOK_AHEAD = 10  # how far down the queue to search for a lookalike; the order hardly changes


def order_cards(
    cards: Iterable[Card],
    memories: Mapping[str, Memory],
    order: CardOrder,
    *,
    now: datetime,
    day: str,
    scheduling: Scheduling,
) -> list[Card]:
    """Sort reviews by due date, by retrievability, or in a new random order each day."""

    def key(card: Card) -> float:
        memory = memories[card.id]
        match order:
            case "weakest":
                return compute_retrievability(memory, now=now, scheduling=scheduling)
            case "mixed":
                return crc32(f"{day} {card.id}".encode())
            case "due":
                return memory.due.timestamp()

    return sorted(cards, key=key)


def interleave(cards: list[Card], last: Card | None, lookalikes: Lookalikes) -> list[Card]:
    """Move a card that is easily confused with the card rated last to the front (interleaving)."""
    if last is None:
        return cards
    alike = frozenset[str]().union(*(lookalikes.get(concept, frozenset()) for concept in last.concepts))
    for place, card in enumerate(cards[:LOOK_AHEAD]):
        if alike.intersection(card.concepts) and not set(last.concepts).intersection(card.concepts):
            return [card, *cards[:place], *cards[place + 1 :]]
    return cards


def drop_siblings(
    queues: Iterable[list[Card]], *, seen: Collection[str], cards: Iterable[Card]
) -> list[list[Card]]:
    """Return the queues, earlier ones first, without cards whose sibling is shown today.

    A card that was itself seen today stays, so its learning steps aren't interrupted.
    """
    shown = {card.note_id: card.id for card in cards if card.id in seen}
    kept: list[list[Card]] = []
    for queue in queues:
        kept.append([])
        for card in queue:
            if card.id in seen or shown.setdefault(card.note_id, card.id) == card.id:
                kept[-1].append(card)
    return kept
