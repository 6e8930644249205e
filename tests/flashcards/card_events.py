"""What a learner presses on the Cards page."""

from datetime import datetime

from flashcards.review.operations import Reviews, ShownCard
from flashcards.scheduling.scheduler import RatingOutcome
from study.store.logs.card_operations import CardOperation


def shown(reviews: Reviews, profile: str, card_id: str, *, now: datetime) -> ShownCard:
    _, review_id = reviews.read_snapshot(profile, now=now).find_memory(card_id)
    return ShownCard(card_id=card_id, expected_review_id=review_id, shown_at=now, flipped_at=now)


def rate_next(reviews: Reviews, profile: str, rating: int, *, now: datetime) -> RatingOutcome:
    found = reviews.read_snapshot(profile, now=now).compute_session().card
    assert found is not None
    return reviews.rate(profile, shown(reviews, profile, found.id, now=now), rating=rating, now=now)


def undo(reviews: Reviews, profile: str, *, now: datetime) -> CardOperation:
    last = reviews.find_undoable(profile, now=now)
    assert last is not None
    return reviews.undo(profile, expected_id=last.id, now=now)
