"""Simulated learners whose memory follows FSRS, day by day: the workload of a retention. Pure, seeded."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from random import Random

from flashcards.scheduling.scheduler import Memory, Rating, Scheduling, apply_rating, compute_retrievability
from study.store.logs.cards import CardReview

BEGIN = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
A_DAY = timedelta(days=1)
AGAIN_IN = timedelta(minutes=10)  # a card in its learning steps comes back within the same session


@dataclass(frozen=True, kw_only=True)
class Learner:
    """A simulated learner: their true memory and their rating habits."""

    memory: Scheduling = field(default_factory=Scheduling)
    """The true FSRS parameters of their memory; the scheduler may assume others."""

    hard: float = 0.1
    easy: float = 0.05
    """Shares of Hard and Easy among the cards they recall; the rest is Good."""

    first_again: float = 0.3
    """The share of new cards that they rate Again."""


@dataclass(frozen=True, kw_only=True)
class StudyPlan:
    """The plan to simulate: number of cards, new cards per day, number of days."""

    cards: int
    new_a_day: int
    days: int


@dataclass(frozen=True, kw_only=True)
class Workload:
    """The workload of a plan under one desired retention."""

    desired_retention: float
    reviews: int
    """All ratings, first views included."""

    busiest_day: int
    days: int

    @property
    def reviews_a_day(self) -> float:
        return self.reviews / self.days


@dataclass
class _Card:
    """The believed and the true memory state of one card, and its due date."""

    believed: Memory | None = None
    true: Memory | None = None
    due: datetime = field(default=BEGIN)


def simulate_study(
    plan: StudyPlan, scheduling: Scheduling, *, learner: Learner = Learner(), seed: int = 0
) -> Iterator[CardReview]:
    """Yield the review log of a simulated learner who does all due reviews, every day."""
    rng = Random(seed)
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
                rating = _draw_rating(card, learner, rng, now)
                yield CardReview(
                    id=log_id,
                    card_id=str(number),
                    rating=rating,
                    reviewed_at=now,
                    duration_ms=0,
                    new=card.believed is None,
                )
                card.believed = apply_rating(card.believed, rating, now=now, scheduling=scheduling)
                card.true = card.believed
                if not known:
                    card.true = apply_rating(true, rating, now=now, scheduling=learner.memory)
                card.due = card.believed.due
            now += AGAIN_IN
            waiting = [number for number in waiting if cards[number].due <= now + AGAIN_IN]


def _draw_rating(card: _Card, learner: Learner, rng: Random, now: datetime) -> Rating:
    if card.true is None:
        return 1 if rng.random() < learner.first_again else 3
    if rng.random() >= compute_retrievability(card.true, now=now, scheduling=learner.memory):
        return 1
    drawn = rng.random()
    return 2 if drawn < learner.hard else 4 if drawn < learner.hard + learner.easy else 3


@lru_cache(maxsize=256)  # LRU cache: a slider passes the same values repeatedly
def simulate_workload(plan: StudyPlan, scheduling: Scheduling) -> Workload:
    """Simulate a plan's workload for a learner whose true memory is what the scheduler believes."""
    reviews = list(simulate_study(plan, scheduling, learner=Learner(memory=scheduling)))
    return Workload(
        desired_retention=scheduling.desired_retention,
        reviews=len(reviews),
        busiest_day=max(Counter(review.reviewed_at.date() for review in reviews).values(), default=0),
        days=plan.days,
    )
