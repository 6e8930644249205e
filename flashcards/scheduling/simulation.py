"""Learners whose memory follows FSRS, studied day by day: what a desired retention costs. Pure and seeded."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from random import Random

from flashcards.scheduling.replay import after_a_day
from flashcards.scheduling.scheduler import Memory, Rating, Scheduling, rated, retrievability
from study.learner.progress import REMEMBERED
from study.store.cards import CardReview

BEGIN = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
A_DAY = timedelta(days=1)
AGAIN_IN = timedelta(minutes=10)  # a card in its learning steps comes back within the same sitting


@dataclass(frozen=True, kw_only=True)
class Learner:
    """Whose memory it is, and how they press."""

    memory: Scheduling = field(default_factory=Scheduling)
    """The true parameters of their forgetting; the scheduler may believe in others."""

    hard: float = 0.1
    easy: float = 0.05
    """Shares of Hard and Easy among the cards they recall; the rest is Good."""

    first_again: float = 0.3
    """The share of new cards that they rate Again."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What is studied."""

    cards: int
    new_a_day: int
    days: int


@dataclass(frozen=True, kw_only=True)
class Workload:
    """What a plan costs under one desired retention."""

    desired_retention: float
    reviews: int
    """All ratings, first looks included."""

    busiest_day: int
    asked: int
    recalled: int
    """Among reviews at least a day after the card's last one."""

    days: int

    @property
    def reviews_a_day(self) -> float:
        """On average."""
        return self.reviews / self.days

    @property
    def retention(self) -> float | None:
        """The share recalled; None when nothing came back."""
        return self.recalled / self.asked if self.asked else None


@dataclass
class _Card:
    """The scheduler's belief and the truth about one card."""

    believed: Memory | None = None
    true: Memory | None = None
    due: datetime = field(default=BEGIN)


def study(
    plan: Plan, scheduling: Scheduling, *, learner: Learner = Learner(), seed: int = 0
) -> Iterator[CardReview]:
    """The review log of a simulated learner who does all that is due, every day."""
    dice = Random(seed)
    cards = [_Card() for _ in range(plan.cards)]
    known = learner.memory.parameters == scheduling.parameters
    log_id = 0
    for day in range(plan.days):
        now = BEGIN + day * A_DAY
        introduced = min(plan.cards, (day + 1) * plan.new_a_day)
        waiting = [number for number in range(introduced) if cards[number].due < now + A_DAY / 2]
        while waiting:
            for number in waiting:
                card = cards[number]
                true = card.true
                log_id += 1
                rating = _press(card, learner, dice, now)
                yield CardReview(
                    id=log_id,
                    card_id=str(number),
                    rating=rating,
                    reviewed_at=now,
                    duration_ms=0,
                    new=card.believed is None,
                )
                card.believed = rated(card.believed, rating, now=now, scheduling=scheduling)
                card.true = card.believed
                if not known:
                    card.true = rated(true, rating, now=now, scheduling=learner.memory)
                card.due = card.believed.due
            now += AGAIN_IN
            waiting = [number for number in waiting if cards[number].due <= now + AGAIN_IN]


def _press(card: _Card, learner: Learner, dice: Random, now: datetime) -> Rating:
    if card.true is None:
        return 1 if dice.random() < learner.first_again else 3
    if dice.random() >= retrievability(card.true, now=now, scheduling=learner.memory):
        return 1
    drawn = dice.random()
    return 2 if drawn < learner.hard else 4 if drawn < learner.hard + learner.easy else 3


@lru_cache(maxsize=256)  # a slider passes the same values again and again
def workload(
    plan: Plan, scheduling: Scheduling, *, learner: Learner | None = None, seed: int = 0
) -> Workload:
    """What the plan costs. Without a learner, one whose memory is what the scheduler believes."""
    reviews = list(study(plan, scheduling, learner=learner or Learner(memory=scheduling), seed=seed))
    tests = list(after_a_day(reviews))
    return Workload(
        desired_retention=scheduling.desired_retention,
        reviews=len(reviews),
        busiest_day=max(Counter(review.reviewed_at.date() for review in reviews).values(), default=0),
        asked=len(tests),
        recalled=sum(review.rating >= REMEMBERED for review in tests),
        days=plan.days,
    )
