"""Simulated learners check the scheduler: what is aimed at is what is remembered, and more costs more."""

from datetime import UTC, datetime, timedelta
from random import Random
from statistics import fmean

import pytest

from flashcards.decks.deck import Decks
from flashcards.review.operations import Reviews, ShownCard
from flashcards.scheduling.scheduler import Memory, Rating, Scheduling, apply_rating, compute_retrievability
from flashcards.scheduling.simulation import StudyPlan, simulate_study, simulate_workload
from flashcards.stats.statistics import CardHistory, recall_lately
from study.base.days import MACHINE_DAYS
from study.store import Store
from tests.flashcards.builders import card, fast_forgetter, simulated_outcomes

YEAR = StudyPlan(cards=400, new_a_day=20, days=365)
SHORT = StudyPlan(cards=30, new_a_day=5, days=30)


@pytest.mark.parametrize("aim", [0.8, 0.9, 0.95])
def test_a_learner_whose_memory_follows_fsrs_recalls_what_they_aim_at(aim: float) -> None:
    outcomes = simulated_outcomes(YEAR, Scheduling(desired_retention=aim))
    assert len(outcomes) > 2000
    assert fmean(outcomes) == pytest.approx(aim, abs=0.02)


def test_remembering_more_costs_more_ratings() -> None:
    plan = StudyPlan(cards=100, new_a_day=10, days=90)
    found = [
        simulate_workload(plan, Scheduling(desired_retention=aim)).reviews for aim in (0.7, 0.8, 0.9, 0.97)
    ]
    assert found == sorted(found)
    assert found[-1] > 2 * found[0]


def test_a_learner_who_forgets_faster_than_believed_recalls_less() -> None:
    plan = StudyPlan(cards=200, new_a_day=10, days=120)
    outcomes = simulated_outcomes(plan, Scheduling(), learner=fast_forgetter())
    assert outcomes
    assert fmean(outcomes) < 0.85


def test_equal_seeds_give_equal_logs_and_nothing_is_studied_before_it_is_due() -> None:
    log = list(simulate_study(SHORT, Scheduling(), seed=3))
    assert log == list(simulate_study(SHORT, Scheduling(), seed=3))
    assert log != list(simulate_study(SHORT, Scheduling(), seed=4))
    assert [review.id for review in log] == list(range(1, len(log) + 1))
    assert sum(review.new for review in log) == SHORT.cards
    assert log == sorted(log, key=_when)


def _when(review: object) -> datetime:
    moment = getattr(review, "reviewed_at", None)
    assert isinstance(moment, datetime)
    return moment


def test_through_the_real_store_and_queue_the_aim_is_within_what_chance_explains(
    store: Store, ana: str
) -> None:
    store.preferences.change(ana, desired_retention=0.9, new_cards_a_day=8)
    reviews = Reviews(store=store, decks=Decks(tuple(card(f"c{n}") for n in range(48)), {"one": "One"}))
    learner = Forgetful(reviews, ana)
    start = datetime(2026, 1, 5, 9, 0, tzinfo=UTC)
    for day in range(40):
        learner.study_all_that_waits(start + timedelta(days=day))
    history = CardHistory(
        reviews=tuple(store.cards.history(ana)),
        memories={},
        due_dates={},
        scheduling=reviews.read_scheduling(ana),
        now=start + timedelta(days=40),
        day_of=MACHINE_DAYS.day,
    )
    share = recall_lately(history)
    assert share is not None
    assert share.trials > 100
    low, high = share.interval
    assert low <= 0.9 <= high


class Forgetful:
    """Someone at the Cards page whose memory follows FSRS."""

    def __init__(self, reviews: Reviews, profile: str) -> None:
        self._reviews, self._profile = reviews, profile
        self._memories: dict[str, Memory] = {}
        self._rng = Random(5)

    def study_all_that_waits(self, now: datetime) -> None:
        """One session: until no card is left, or the next one is for another day."""
        while True:
            snapshot = self._reviews.read_snapshot(self._profile, now=now)
            found = snapshot.compute_session().card
            if found is None:
                return
            _, review_id = snapshot.find_memory(found.id)
            seen = ShownCard(card_id=found.id, expected_review_id=review_id, shown_at=now, flipped_at=now)
            rating = self._press(found.id, now)
            self._reviews.rate(self._profile, seen, rating=rating, now=now)
            self._memories[found.id] = apply_rating(
                self._memories.get(found.id), rating, now=now, scheduling=Scheduling()
            )
            now += timedelta(minutes=1)

    def _press(self, card_id: str, now: datetime) -> Rating:
        memory = self._memories.get(card_id)
        if memory is None:
            return 3
        chance = compute_retrievability(memory, now=now, scheduling=Scheduling())
        return 3 if self._rng.random() < chance else 1
