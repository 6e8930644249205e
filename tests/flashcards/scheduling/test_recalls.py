"""The log, replayed: what FSRS predicted before each review, and which reviews it can learn from."""

from datetime import datetime, timedelta

import pytest

from flashcards.scheduling.replay import replay_recalls, select_spaced
from flashcards.scheduling.scheduler import Scheduling, apply_rating, compute_retrievability
from study.store.logs.cards import CardReview
from tests.flashcards.builders import NOW

DAYS = Scheduling()


def review(card_id: str, rating: int, at: datetime, *, number: int = 1) -> CardReview:
    return CardReview(
        id=number, card_id=card_id, rating=rating, reviewed_at=at, duration_ms=1000, new=number == 1
    )


LOG = [
    review("a", 3, NOW),
    review("b", 1, NOW + timedelta(minutes=1)),
    review("a", 3, NOW + timedelta(minutes=10), number=2),
    review("a", 1, NOW + timedelta(days=3), number=3),
    review("a", 3, NOW + timedelta(days=3, minutes=10), number=4),
    review("a", 4, NOW + timedelta(days=5), number=5),
]


def test_only_reviews_at_least_a_day_later_are_predictions() -> None:
    found = replay_recalls(LOG, DAYS)
    assert [(r.card_id, r.elapsed_days, r.number, r.lapses, r.recalled) for r in found] == [
        ("a", 2, 3, 0, False),
        ("a", 1, 5, 1, True),
    ]
    assert [review.id for review in select_spaced(LOG)] == [3, 5]


def test_the_prediction_is_that_of_the_memory_before_the_review() -> None:
    memory = apply_rating(None, 3, now=LOG[0].reviewed_at, scheduling=DAYS)
    memory = apply_rating(memory, 3, now=LOG[2].reviewed_at, scheduling=DAYS)
    expected = compute_retrievability(memory, now=LOG[3].reviewed_at, scheduling=DAYS)
    assert replay_recalls(LOG, DAYS)[0].predicted == pytest.approx(expected)
    assert 0 < expected < 1
