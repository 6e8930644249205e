"""The next card as a pure function of cards, log and time, so no session is ever lost."""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, get_args

from flashcards.decks.note import Card
from flashcards.review.ordering import drop_siblings, interleave, order_cards
from flashcards.scheduling.scheduler import LEARNING_STEPS, Memory, Scheduling
from study.content.confusable import Lookalikes
from study.content.yaml_reader import LEVELS
from study.store.logs.preferences import CardOrder

Queue = Literal["undone", "learning", "requested", "review", "new", "ahead"]
QUEUES: tuple[Queue, ...] = get_args(Queue)


@dataclass(frozen=True, kw_only=True)
class CardFilter:
    """The cards that a learner wants to see; empty fields match all."""

    deck: str = ""
    level: str = ""
    tag: str = ""
    concept: str = ""
    ids: str = ""
    """The ids of the only cards wanted, with commas between them; new ones come in this order."""

    def matches(self, card: Card) -> bool:
        return (
            self.deck in ("", card.deck)
            and self.level in ("", card.level)
            and (not self.tag or self.tag in card.tags)
            and (not self.concept or self.concept in card.concepts)
            and (not self.ids or card.id in self.ids.split(","))
        )

    def place_of_new(self, card: Card) -> int:
        """Return where a wanted new card comes: as the ids are listed, otherwise easier levels first."""
        return self.ids.split(",").index(card.id) if self.ids else LEVELS.index(card.level)


@dataclass(frozen=True, kw_only=True)
class StudyRules:
    """A learner's study rules: daily limits, order, and until when a card counts as due."""

    day_ends: datetime
    new_cards: int = 10
    reviews: int = 200
    learn_ahead: timedelta = timedelta(minutes=20)
    order: CardOrder = "due"
    scheduling: Scheduling = field(default_factory=Scheduling)
    lookalikes: Lookalikes = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class Log:
    """The replayed log at one moment: each card's memory state, and what happened today."""

    memories: Mapping[str, Memory]
    requested: frozenset[str] = frozenset()
    rated_today: Mapping[str, int] = field(default_factory=dict)
    """The number of today's ratings of each card, in the order of its last rating."""

    new_today: int = 0
    reviews_today: int = 0
    hidden: frozenset[str] = frozenset()
    """Cards that are suspended, buried, or moved to another day."""

    just_undone: str | None = None


@dataclass(frozen=True, kw_only=True)
class Counts:
    """The number of cards left, by the reason they are shown."""

    new: int
    learning: int
    review: int
    unseen: int = 0
    """Of `review`, the cards that a missed question asked for and that were never shown."""

    @property
    def left(self) -> int:
        """All cards left today."""
        return self.new + self.learning + self.review


@dataclass(frozen=True, kw_only=True)
class CardSession:
    """The state of a study session: the card to show, or None when all is done for now."""

    card: Card | None
    queue: Queue | None
    counts: Counts
    done: int
    answers_left: int
    """The ratings that the cards left still need, learning steps included."""

    waiting: int
    """The number of waiting reviews, regardless of the daily limit."""

    @property
    def total(self) -> int:
        return self.done + self.counts.left


def choose_next_card(
    cards: Iterable[Card], log: Log, *, now: datetime, rules: StudyRules, wanted: CardFilter | None = None
) -> CardSession:
    """Return the session at this moment.

    Order: a card that was just undone; learning cards that are due; cards a missed question asked for;
    reviews due at any hour of this study day, in the order of the rules; new cards up to the daily limit,
    as the filter lists them, otherwise easier levels first; then learning cards due within the next minutes.
    "mixed" puts new cards between the reviews. Only one of several cards of a note is shown per day.
    """
    wanted = wanted or CardFilter()
    chosen = [card for card in cards if wanted.matches(card)]
    queues, waiting = _build_queues(chosen, log, now=now, rules=rules, place_of_new=wanted.place_of_new)
    queue = _pick_first(queues, log, rules)
    left = {card.id: card for queued in queues.values() for card in queued}
    return CardSession(
        card=queues[queue][0] if queue else None,
        queue=queue,
        counts=Counts(
            new=len(queues["new"]),
            learning=len(queues["ahead"]),
            review=len(queues["requested"]) + len(queues["review"]),
            unseen=sum(card.id not in log.memories for card in queues["requested"]),
        ),
        done=sum(card.id in log.rated_today and card.id not in left for card in chosen),
        answers_left=sum(_count_answers_left(log.memories.get(card_id)) for card_id in left),
        waiting=waiting,
    )


def _build_queues(
    cards: list[Card], log: Log, *, now: datetime, rules: StudyRules, place_of_new: Callable[[Card], int]
) -> tuple[dict[Queue, list[Card]], int]:
    """Return the waiting cards by queue, and how many reviews wait in all. "ahead" includes "learning"."""
    shown = [card for card in cards if card.id not in log.hidden]
    ahead = select_phase(shown, log, learning=True, until=now + rules.learn_ahead)
    ahead.sort(key=lambda card: log.memories[card.id].due)
    due = [card for card in ahead if log.memories[card.id].due <= now]
    asked = [card for card in shown if card.id in log.requested and card not in ahead]
    reviews = order_cards(
        [
            c
            for c in select_phase(shown, log, learning=False, until=rules.day_ends)
            if c.id not in log.requested
        ],
        log.memories,
        rules.order,
        now=now,
        day=rules.day_ends.date().isoformat(),
        scheduling=rules.scheduling,
    )
    fresh = [card for card in shown if card.id not in log.memories and card.id not in log.requested]
    fresh.sort(key=place_of_new)
    undone = [card for card in shown if card.id == log.just_undone]
    undone, due, asked, reviews, fresh, ahead = drop_siblings(
        [undone, due, asked, reviews, fresh, ahead], seen=log.rated_today, cards=cards
    )
    # Requested cards come first and count for today's limits, so their places are taken from the start.
    asked_new = sum(card.id not in log.memories for card in asked)
    new_left = rules.new_cards - log.new_today - asked_new
    reviews_left = rules.reviews - log.reviews_today - (len(asked) - asked_new)
    queues: dict[Queue, list[Card]] = {
        "undone": undone,
        "learning": due,
        "requested": asked,
        "review": interleave(reviews, _find_last_rated(cards, log), rules.lookalikes),
        "new": fresh[: max(0, new_left)],
        "ahead": ahead,
    }
    queues["review"] = queues["review"][: max(0, reviews_left)]
    return queues, len(reviews)


def _pick_first(queues: Mapping[Queue, list[Card]], log: Log, rules: StudyRules) -> Queue | None:
    first = next((name for name in QUEUES if queues[name]), None)
    if first == "review" and rules.order == "mixed" and queues["new"] and _new_is_behind(queues, log):
        return "new"
    return first


def _new_is_behind(queues: Mapping[Queue, list[Card]], log: Log) -> bool:
    """Return whether a smaller share of the day's new cards is done than of its reviews."""
    new_total = log.new_today + len(queues["new"])
    review_total = log.reviews_today + len(queues["review"])
    return log.new_today * review_total < log.reviews_today * new_total


def select_phase(cards: Iterable[Card], log: Log, *, learning: bool, until: datetime) -> list[Card]:
    """Return the cards that are due by then: those still being learnt, or reviews."""
    known = [(card, log.memories[card.id]) for card in cards if card.id in log.memories]
    return [card for card, memory in known if (memory.phase != "review") is learning and memory.due <= until]


def _find_last_rated(cards: Iterable[Card], log: Log) -> Card | None:
    last = next(reversed([*log.rated_today]), None)
    return next((card for card in cards if card.id == last), None)


def _count_answers_left(memory: Memory | None) -> int:
    """Count how many good answers a card still needs today."""
    if memory is None:
        return LEARNING_STEPS
    if memory.phase == "learning":
        return LEARNING_STEPS - (memory.step or 0)
    return 1
