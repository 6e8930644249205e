"""Active study time without a break, which a session's limit of minutes counts."""

from collections.abc import Iterable
from datetime import datetime, timedelta

from study.store.logs.cards import CardReview

BREAK = timedelta(minutes=30)  # after a longer pause a new session begins


def sum_session_seconds(reviews: Iterable[CardReview], *, now: datetime) -> float:
    """Sum the seconds spent on cards in the current session; 0 after a break."""
    spent, resumed = timedelta(), now
    for review in sorted(reviews, key=lambda review: review.reviewed_at, reverse=True):
        if resumed - review.reviewed_at > BREAK:
            break
        took = timedelta(milliseconds=review.duration_ms)
        spent += took
        resumed = review.reviewed_at - took
    return spent.total_seconds()
