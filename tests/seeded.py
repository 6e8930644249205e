"""Months of study put into a data folder by code: what a simulated learner would have done in the app."""

from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from random import Random

from flashcards.decks.deck import load_decks
from flashcards.scheduling.scheduler import RATINGS, Memory, Scheduling, apply_rating
from flashcards.scheduling.simulation import Learner, StudyPlan, simulate_study
from study.content.concepts import load_concepts
from study.store import Store, open_store
from study.store.logs.cards import CardReview

DAYS = 40


def simulated(
    *, cards: int, days: int, ends: datetime, seed: int = 1, learner: Learner | None = None
) -> list[CardReview]:
    """The log of a learner who did all that was due, up to yesterday, on the app's own cards."""
    ids = [card.id for card in load_decks(load_concepts()).cards]
    rng = Random(seed)
    plan = StudyPlan(cards=min(cards, len(ids)), new_a_day=4, days=days)
    log = list(simulate_study(plan, Scheduling(), learner=learner or Learner(), seed=seed))
    moved = ends - timedelta(hours=20) - log[-1].reviewed_at
    return [
        replace(
            review,
            card_id=ids[int(review.card_id)],
            reviewed_at=review.reviewed_at + moved,
            duration_ms=rng.randrange(3_000, 20_000),
        )
        for review in log
    ]


def keep(store: Store, profile_id: str, log: Sequence[CardReview]) -> None:
    """Append a log as if its buttons had been pressed."""
    memories: dict[str, tuple[int, Memory]] = {}
    for review in log:
        last, before = memories.get(review.card_id, (0, None))
        rating = RATINGS[review.rating - 1]
        after = apply_rating(before, rating, now=review.reviewed_at, scheduling=Scheduling())
        review_id = store.cards.append(
            profile_id,
            review.card_id,
            rating=rating,
            expected_review_id=last,
            reviewed_at=review.reviewed_at,
            duration_ms=review.duration_ms,
            before=before.to_json() if before else None,
            after=after.to_json(),
        )
        memories[review.card_id] = (review_id, after)


def seed_home(home: Path, *, cards: int = 40, days: int = DAYS) -> str:
    """A data folder with one learner called Ana; returns her profile id."""
    store = open_store(f"sqlite:///{home / 'study.sqlite3'}")
    now = datetime.now(UTC)
    ana = store.profiles.add("browser-of-ana", "Ana", now=now).id
    keep(store, ana, simulated(cards=cards, days=days, ends=now))
    store.close()
    return ana
