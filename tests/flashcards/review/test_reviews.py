"""Rating and undoing on a real store: stored before anything else is shown, and taken back exactly."""

from datetime import datetime, timedelta

import pytest
from hypothesis import HealthCheck, given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from flashcards.decks.deck import Decks
from flashcards.review.operations import REQUESTED_AT_MOST, Reviews, ShownCard
from flashcards.review.snapshot import RuleOverrides
from flashcards.scheduling.scheduler import RATINGS, preview_outcomes
from study.base.errors import LearnerError, StaleError
from study.store import Store
from tests.flashcards.builders import card
from tests.flashcards.card_events import rate_next, shown, undo

CARDS = tuple(card(name, concepts=("rank", name)) for name in "abcdef")
ACTIONS = st.lists(st.one_of(st.sampled_from(RATINGS), st.just("undo")), max_size=12)


@pytest.fixture
def reviews(store: Store) -> Reviews:
    return Reviews(store=store, decks=Decks(CARDS, {"one": "One"}))


def test_the_stored_outcome_is_the_one_on_the_button(reviews: Reviews, ana: str, now: datetime) -> None:
    flipped = now + timedelta(seconds=20)
    pressed = now + timedelta(seconds=50)
    seen = ShownCard(card_id="a", expected_review_id=0, shown_at=now, flipped_at=flipped)
    reviews.rate(ana, seen, rating=3, now=pressed)
    memory, _ = reviews.read_snapshot(ana, now=now).find_memory("a")
    assert memory == preview_outcomes(None, now=flipped, fuzz_seed="a 0")[2].after
    [review] = reviews.store.cards.history(ana)
    assert review.reviewed_at == pressed
    assert review.duration_ms == 50_000


@hypothesis_settings(
    max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(actions=ACTIONS)
def test_undo_restores_the_card_and_the_session_exactly(
    reviews: Reviews, now: datetime, actions: list[int | str]
) -> None:
    profile = reviews.store.profiles.add(
        f"browser {len(reviews.store.profiles.all())}", unused(reviews), now=now
    ).id
    before: list[object] = []
    for action in actions:
        found = reviews.read_snapshot(profile, now=now).compute_session()
        if action == "undo":
            history = reviews.store.cards.history(profile)
            if history:
                undo(reviews, profile, now=now)
                assert state(reviews, profile, now) == before.pop()
        elif found.card is not None:
            before.append(state(reviews, profile, now))
            rate_next(reviews, profile, int(action), now=now)


def unused(reviews: Reviews) -> str:
    return f"Learner {len(reviews.store.profiles.all())}"


def state(reviews: Reviews, profile: str, now: datetime) -> object:
    """All that decides what comes next, apart from which card was just undone."""
    log = reviews.read_snapshot(profile, now=now).log
    return (dict(log.memories), log.requested, log.rated_today, log.new_today)


def test_the_undone_card_is_shown_next(reviews: Reviews, ana: str, now: datetime) -> None:
    for _ in range(3):
        rate_next(reviews, ana, 4, now=now)
    for name in ("c", "b", "a"):
        assert undo(reviews, ana, now=now).subject == name
        found = reviews.read_snapshot(ana, now=now).compute_session()
        assert found.card is not None
        assert found.card.id == name


def test_undo_works_after_the_last_card(reviews: Reviews, ana: str, now: datetime) -> None:
    for _ in CARDS:
        rate_next(reviews, ana, 4, now=now)
    assert reviews.read_snapshot(ana, now=now).compute_session().card is None
    undo(reviews, ana, now=now)
    found = reviews.read_snapshot(ana, now=now).compute_session()
    assert found.card == CARDS[-1]


def test_a_session_goes_on_where_it_was_when_the_app_is_opened_again(
    reviews: Reviews, ana: str, now: datetime
) -> None:
    rate_next(reviews, ana, 3, now=now)
    again = Reviews(store=reviews.store, decks=reviews.decks)
    assert (
        again.read_snapshot(ana, now=now).compute_session()
        == reviews.read_snapshot(ana, now=now).compute_session()
    )
    assert again.read_snapshot(ana, now=now).compute_session().counts.learning == 1


def test_a_card_rated_elsewhere_is_refused_kindly(reviews: Reviews, ana: str, now: datetime) -> None:
    stale = shown(reviews, ana, "a", now=now)
    reviews.rate(ana, stale, rating=3, now=now)
    with pytest.raises(StaleError, match="another window"):
        reviews.rate(ana, stale, rating=1, now=now)
    assert len(reviews.store.cards.history(ana)) == 1


@pytest.mark.parametrize("ago", [timedelta(hours=13), timedelta(minutes=-5)])
def test_an_answer_with_outdated_intervals_is_shown_again(
    reviews: Reviews, ana: str, now: datetime, ago: timedelta
) -> None:
    old = ShownCard(card_id="a", expected_review_id=0, shown_at=now, flipped_at=now - ago)
    with pytest.raises(StaleError, match="out of date"):
        reviews.rate(ana, old, rating=3, now=now)


@pytest.mark.parametrize(("card_id", "rating"), [("a", 0), ("a", 5), ("gone", 3)])
def test_what_no_button_offers_is_refused(
    reviews: Reviews, ana: str, now: datetime, card_id: str, rating: int
) -> None:
    with pytest.raises(LearnerError):
        reviews.rate(ana, shown(reviews, ana, card_id, now=now), rating=rating, now=now)
    assert reviews.store.cards.history(ana) == []


def test_a_missed_question_makes_the_closest_cards_due(reviews: Reviews, ana: str, now: datetime) -> None:
    asked = reviews.request_about(ana, ("rank", "e"), because="q1", now=now)
    assert asked[0].id == "e"
    assert len(asked) == REQUESTED_AT_MOST
    found = reviews.read_snapshot(ana, now=now).compute_session()
    assert found.queue == "requested"
    assert found.counts.review == REQUESTED_AT_MOST


def test_a_missed_question_asks_for_cards_that_can_come(reviews: Reviews, ana: str, now: datetime) -> None:
    first, second, *_ = reviews.request_about(ana, ("rank",), because="q1", now=now)
    reviews.suspend(ana, first.id, now=now)
    reviews.bury(ana, second.id, now=now)
    asked = reviews.request_about(ana, ("rank",), because="q2", now=now)
    assert not {first.id, second.id} & {card.id for card in asked}
    assert len(asked) == REQUESTED_AT_MOST
    for each in reviews.decks.cards:
        reviews.suspend(ana, each.id, now=now)
    assert reviews.request_about(ana, ("rank",), because="q3", now=now) == ()


def test_a_request_is_met_by_rating_and_comes_back_with_undo(
    reviews: Reviews, ana: str, now: datetime
) -> None:
    reviews.request_about(ana, ("e",), because="q1", now=now)
    later = now + timedelta(minutes=1)
    reviews.rate(ana, shown(reviews, ana, "e", now=later), rating=4, now=later)
    assert reviews.read_snapshot(ana, now=later).log.requested == frozenset()
    undo(reviews, ana, now=later)
    assert reviews.read_snapshot(ana, now=later).log.requested == {"e"}


def test_the_daily_limit_is_the_learners_own(reviews: Reviews, ana: str, now: datetime) -> None:
    reviews.store.preferences.change(ana, new_cards_a_day=2)
    assert reviews.count_due(ana, now=now).new == 2
    assert (
        reviews.read_snapshot(ana, now=now).compute_session(extra=RuleOverrides(new_cards=5)).counts.new == 5
    )


def test_the_forecast_counts_cards_by_study_day(reviews: Reviews, ana: str, now: datetime) -> None:
    first, second = (rate_next(reviews, ana, 4, now=now).interval.days for _ in range(2))
    later = now + timedelta(days=5)
    expected = [0] * 7
    for interval in (first, second):
        expected[interval - 5] += 1
    assert reviews.count_due(ana, now=later).coming == tuple(expected)
    assert reviews.count_due(ana, now=now + timedelta(days=30)).coming == (2, 0, 0, 0, 0, 0, 0)


def test_a_card_that_a_miss_asked_for_is_forecast_for_today(
    reviews: Reviews, ana: str, now: datetime
) -> None:
    reviews.request_about(ana, ("e",), because="q1", now=now)
    due = reviews.count_due(ana, now=now)
    assert due.due == due.coming[0] > 0


def test_a_card_that_left_the_decks_is_not_counted(reviews: Reviews, ana: str, now: datetime) -> None:
    rate_next(reviews, ana, 1, now=now)
    fewer = Reviews(store=reviews.store, decks=Decks(CARDS[1:], {"one": "One"}))
    assert fewer.count_due(ana, now=now).due == 0
    assert sum(fewer.count_due(ana, now=now).coming) == 0
