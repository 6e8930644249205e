"""Replay of the review log through FSRS: the predicted recall before each review, and its outcome."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from flashcards.scheduling.scheduler import (
    RATINGS,
    Memory,
    MemoryPhase,
    Scheduling,
    apply_rating,
    compute_retrievability,
)
from study.learner.progress import REMEMBERED
from study.store.logs.cards import CardReview

A_DAY = timedelta(days=1)  # FSRS predicts recall from one day on; within a day, a review is only practice


@dataclass(frozen=True, kw_only=True)
class Recall:
    """One review of a card at least a day after its previous one: a prediction and its outcome."""

    card_id: str
    at: datetime
    elapsed_days: int
    number: int
    """The number of the card's reviews so far, this one included."""

    lapses: int
    """The number of earlier lapses."""

    phase: MemoryPhase
    """The card's phase before the review; "review" means that it had left its learning steps."""

    predicted: float
    recalled: bool


def replay_recalls(reviews: Iterable[CardReview], scheduling: Scheduling) -> list[Recall]:
    """Return predictions and outcomes in log order, as if these parameters had always scheduled the cards."""
    found: list[Recall] = []
    memories: dict[str, Memory] = {}
    seen: dict[str, int] = {}
    lapses: dict[str, int] = {}
    for review in reviews:
        card, memory = review.card_id, memories.get(review.card_id)
        seen[card] = seen.get(card, 0) + 1
        if memory is not None and review.reviewed_at - memory.last_review >= A_DAY:
            recall = Recall(
                card_id=card,
                at=review.reviewed_at,
                elapsed_days=(review.reviewed_at - memory.last_review).days,
                number=seen[card],
                lapses=lapses.get(card, 0),
                phase=memory.phase,
                predicted=compute_retrievability(memory, now=review.reviewed_at, scheduling=scheduling),
                recalled=review.rating >= REMEMBERED,
            )
            found.append(recall)
            lapses[card] = recall.lapses + (not recall.recalled)
        rating = RATINGS[review.rating - 1]
        memories[card] = apply_rating(memory, rating, now=review.reviewed_at, scheduling=scheduling)
    return found


def select_spaced(reviews: Iterable[CardReview]) -> Iterator[CardReview]:
    """Yield the reviews at least a day after the card's previous one: all that FSRS learns from."""
    last: dict[str, datetime] = {}
    for review in reviews:
        before = last.get(review.card_id)
        if before is not None and review.reviewed_at - before >= A_DAY:
            yield review
        last[review.card_id] = review.reviewed_at
