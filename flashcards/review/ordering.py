"""In which order waiting cards come, and which of several cards of one note waits for another day."""

from collections.abc import Collection, Iterable, Mapping
from datetime import datetime
from zlib import crc32

from flashcards.decks.note import Card
from flashcards.scheduling.scheduler import Memory, Scheduling, retrievability
from study.content.confusable import Lookalikes
from study.store.preferences_and_drafts import CardOrder

LOOK_AHEAD = 10  # so far down the queue a lookalike is sought: the order is bent, not broken


def in_order(
    cards: Iterable[Card],
    memories: Mapping[str, Memory],
    order: CardOrder,
    *,
    now: datetime,
    day: str,
    scheduling: Scheduling,
) -> list[Card]:
    """Reviews by when they are due, by how likely they are forgotten, or mixed anew each day."""

    def key(card: Card) -> float:
        memory = memories[card.id]
        match order:
            case "weakest":
                return retrievability(memory, now=now, scheduling=scheduling)
            case "mixed":
                return crc32(f"{day} {card.id}".encode())
            case "due":
                return memory.due.timestamp()

    return sorted(cards, key=key)


def interleaved(cards: list[Card], last: Card | None, lookalikes: Lookalikes) -> list[Card]:
    """The same cards with, in front, one that is easily mixed up with the card rated last."""
    if last is None:
        return cards
    alike = frozenset[str]().union(*(lookalikes.get(concept, frozenset()) for concept in last.concepts))
    for place, card in enumerate(cards[:LOOK_AHEAD]):
        if alike.intersection(card.concepts) and not set(last.concepts).intersection(card.concepts):
            return [card, *cards[:place], *cards[place + 1 :]]
    return cards


def one_of_each_note(
    queues: Iterable[list[Card]], *, seen: Collection[str], cards: Iterable[Card]
) -> list[list[Card]]:
    """The queues, earlier ones first, without cards whose sibling is shown today.

    A card that was seen today itself goes on: its learning steps are not broken off.
    """
    shown = {card.note_id: card.id for card in cards if card.id in seen}
    kept: list[list[Card]] = []
    for queue in queues:
        kept.append([])
        for card in queue:
            if card.id in seen or shown.setdefault(card.note_id, card.id) == card.id:
                kept[-1].append(card)
    return kept
