"""Which card comes next: a pure function of cards, log and time, so that no session is ever lost."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Literal

from flashcards.deck import Card
from flashcards.scheduler import Memory
from study.content import LEVELS

LEARN_AHEAD = timedelta(minutes=20)  # Anki's default: rather show a learning card early than end the session

Queue = Literal["undone", "learning", "requested", "review", "new", "ahead"]


@dataclass(frozen=True, kw_only=True)
class CardFilter:
    """Which cards a learner wants to see; empty means all."""

    deck: str = ""
    level: str = ""
    tag: str = ""
    concept: str = ""

    def matches(self, card: Card) -> bool:
        """Whether a card is among them."""
        return (
            self.deck in ("", card.deck)
            and self.level in ("", card.level)
            and (not self.tag or self.tag in card.tags)
            and (not self.concept or self.concept in card.concepts)
        )


@dataclass(frozen=True, kw_only=True)
class Log:
    """What the log says at one moment: each card's memory, and what happened today."""

    memories: Mapping[str, Memory]
    requested: frozenset[str] = frozenset()
    seen_today: frozenset[str] = frozenset()
    new_today: int = 0
    just_undone: str | None = None


@dataclass(frozen=True, kw_only=True)
class Counts:
    """How many cards are left, by why they are shown."""

    new: int
    learning: int
    review: int

    @property
    def left(self) -> int:
        """All that is left today."""
        return self.new + self.learning + self.review


@dataclass(frozen=True, kw_only=True)
class Session:
    """Where a learner stands: the card to show, or None when all is done for now."""

    card: Card | None
    queue: Queue | None
    counts: Counts
    done: int
    next_due: datetime | None

    @property
    def total(self) -> int:
        """Cards of today, done and left."""
        return self.done + self.counts.left


def next_card(
    cards: Iterable[Card],
    log: Log,
    *,
    now: datetime,
    day_ends: datetime,
    new_cards_a_day: int,
    wanted: CardFilter | None = None,
) -> Session:
    """The session at this moment.

    Order: a card whose rating was just undone; learning cards that are due; cards a missed question asked
    for; reviews due at any hour of this study day, longest overdue first; new cards up to the day's limit,
    easier levels first; then learning cards due within the next 20 minutes.
    """
    chosen = [card for card in cards if wanted is None or wanted.matches(card)]
    room = max(0, new_cards_a_day - log.new_today)
    queues = _queues(chosen, log, now=now, day_ends=day_ends, room_for_new=room)
    queue, card = next(((name, queued[0]) for name, queued in queues.items() if queued), (None, None))
    waiting = {card.id for queued in queues.values() for card in queued}
    return Session(
        card=card,
        queue=queue,
        counts=Counts(
            new=len(queues["new"]),
            learning=len(queues["ahead"]),
            review=len(queues["requested"]) + len(queues["review"]),
        ),
        done=sum(card.id in log.seen_today and card.id not in waiting for card in chosen),
        next_due=_next_due(chosen, log, after=now),
    )


def _queues(
    cards: list[Card], log: Log, *, now: datetime, day_ends: datetime, room_for_new: int
) -> dict[Queue, list[Card]]:
    """The cards waiting for each reason, in the order of the reasons. "ahead" holds "learning" too."""
    learning = _by_due(_in_phase(cards, log, learning=True, until=now + LEARN_AHEAD), log)
    reviews = _by_due(_in_phase(cards, log, learning=False, until=day_ends), log)
    fresh = [card for card in cards if card.id not in log.memories and card.id not in log.requested]
    return {
        "undone": [card for card in cards if card.id == log.just_undone],
        "learning": [card for card in learning if log.memories[card.id].due <= now],
        "requested": [card for card in cards if card.id in log.requested and card not in learning],
        "review": [card for card in reviews if card.id not in log.requested],
        "new": sorted(fresh, key=_level_of)[:room_for_new],
        "ahead": learning,
    }


def _in_phase(cards: Iterable[Card], log: Log, *, learning: bool, until: datetime) -> list[Card]:
    known = [(card, log.memories[card.id]) for card in cards if card.id in log.memories]
    return [card for card, memory in known if (memory.phase != "review") is learning and memory.due <= until]


def _by_due(cards: list[Card], log: Log) -> list[Card]:
    return sorted(cards, key=lambda card: log.memories[card.id].due)


def _level_of(card: Card) -> int:
    return LEVELS.index(card.level)


def _next_due(cards: Iterable[Card], log: Log, *, after: datetime) -> datetime | None:
    dues = [log.memories[card.id].due for card in cards if card.id in log.memories]
    return min((due for due in dues if due > after), default=None)
