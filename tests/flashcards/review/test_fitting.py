"""Parameters are fitted in a process of their own, by themselves, and kept only if they predict better."""

from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from flashcards.decks.deck import Decks
from flashcards.review.fit_scheduler import NEEDED, Fitting, fit_of
from flashcards.review.operations import Reviews
from flashcards.scheduling.fit_worker import fit_parameters
from flashcards.scheduling.scheduler import DEFAULT_PARAMETERS, Scheduling
from flashcards.scheduling.simulation import StudyPlan, simulate_study, simulate_workload
from study.store import Store
from study.store.logs.cards import CardReview
from tests.flashcards.builders import card, fast_forgetter
from tests.seeded import keep

YEAR = StudyPlan(cards=400, new_a_day=10, days=365)


@pytest.fixture
def reviews(store: Store) -> Reviews:
    return Reviews(store=store, decks=Decks((card("0"),), {"one": "One"}))


def fitting_of(reviews: Reviews, now: datetime) -> Fitting:
    def clock() -> datetime:
        return now

    return Fitting(reviews, clock=clock)


def log_of_a_fast_forgetter(*, days: int = 75) -> list[CardReview]:
    return list(
        simulate_study(
            StudyPlan(cards=110, new_a_day=6, days=days), Scheduling(), learner=fast_forgetter(), seed=1
        )
    )


def test_a_learner_who_forgets_fast_gets_parameters_that_reach_the_aim(
    reviews: Reviews, ana: str, now: datetime
) -> None:
    log = log_of_a_fast_forgetter()
    keep(reviews.store, ana, log)
    fitting = fitting_of(reviews, now)
    assert fitting.state(ana).have >= NEEDED

    assert fitting.consider(ana)
    assert not fitting.consider(ana)
    fitting.wait()

    state = fitting.state(ana)
    fit = state.kept
    assert fit is not None
    assert not state.running
    assert fit.after["log_loss"] < fit.before["log_loss"]  # type: ignore[operator]
    assert 0.2 <= fit.held_out / fit.reviews < 0.25  # reviews of one moment are held out together
    assert state.next_at == round(1.25 * fit.reviews)
    assert not fitting_of(reviews, now).consider(ana)

    fitted = reviews.scheduling(ana)
    assert fitted.parameters == fit.parameters
    assert reviews.scheduling(ana, at=now - timedelta(minutes=1)).parameters == DEFAULT_PARAMETERS
    for aim in (0.8, 0.9):
        before = simulate_workload(
            YEAR, Scheduling(desired_retention=aim), learner=fast_forgetter()
        ).retention
        after = simulate_workload(
            YEAR, replace(fitted, desired_retention=aim), learner=fast_forgetter()
        ).retention
        assert before is not None
        assert before < aim - 0.05
        assert after == pytest.approx(aim, abs=0.02)


def test_too_few_reviews_start_nothing(reviews: Reviews, ana: str, now: datetime) -> None:
    keep(reviews.store, ana, log_of_a_fast_forgetter(days=8))
    fitting = fitting_of(reviews, now)
    assert not fitting.consider(ana)
    state = fitting.state(ana)
    assert 0 < state.have < NEEDED
    assert state.next_at == NEEDED
    assert (state.newest, state.kept, state.running) == (None, None, False)


def test_the_newest_reviews_are_held_out_also_when_older_ones_were_imported_after_them() -> None:
    own = log_of_a_fast_forgetter(days=10)
    imported = [
        replace(review, card_id=f"old-{review.card_id}", reviewed_at=review.reviewed_at - timedelta(days=900))
        for review in own
    ]
    fit = fit_parameters([*own, *imported], DEFAULT_PARAMETERS)
    assert 0.2 <= fit["held_out"] / fit["reviews"] < 0.3
    assert fit["reviews"] == 2 * fit_parameters(own, DEFAULT_PARAMETERS)["reviews"]


@pytest.mark.parametrize(("after", "kept"), [(0.29, True), (0.3, False), (0.31, False)])
def test_only_a_better_prediction_is_kept(now: datetime, after: float, kept: bool) -> None:
    measured = {"log_loss": 0.3, "rmse_bins": 0.05, "auc": 0.7}
    answer = {
        "parameters": list(DEFAULT_PARAMETERS),
        "reviews": 600,
        "held_out": 120,
        "before": measured,
        "after": {**measured, "log_loss": after},
    }
    assert fit_of(answer, now).kept is kept
