"""Two weeks of study with a moved clock, on a real store: for tests of what such a learner then sees."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from flashcards.review.operations import Reviews, ShownCard

SECONDS_A_CARD = 8


@dataclass(frozen=True, kw_only=True)
class Answered:
    """One rating of the two weeks."""

    day: int
    card_id: str
    note_id: str
    new: bool


def study(reviews: Reviews, profile: str, *, first_day: datetime, days: int = 14) -> Iterator[Answered]:
    """Every day at the same hour, until no card is left; three of four answers are Good."""
    rng = Random(1)
    for day in range(days):
        now = first_day + timedelta(days=day)
        while (
            card := (snapshot := reviews.read_snapshot(profile, now=now)).compute_session().card
        ) is not None:
            memory, review_id = snapshot.find_memory(card.id)
            flipped, now = now, now + timedelta(seconds=SECONDS_A_CARD)
            seen = ShownCard(
                card_id=card.id, expected_review_id=review_id, shown_at=flipped, flipped_at=flipped
            )
            reviews.rate(profile, seen, rating=rng.choice((1, 3, 3, 3)), now=now)
            yield Answered(day=day, card_id=card.id, note_id=card.note_id, new=memory is None)
