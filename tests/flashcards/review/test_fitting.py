"""Parameters are fitted in a process of their own, by themselves, and kept only if they predict better."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from statistics import fmean
from time import monotonic, sleep

import pytest

from flashcards.decks.deck import Decks
from flashcards.review import fit_scheduler
from flashcards.review.fit_scheduler import NEEDED, Fitting, parse_fit
from flashcards.review.operations import Reviews
from flashcards.scheduling.fit_worker import fit_parameters
from flashcards.scheduling.scheduler import DEFAULT_PARAMETERS, Scheduling
from flashcards.scheduling.simulation import StudyPlan, simulate_study
from study.store import Store
from study.store.logs.cards import CardReview
from tests.flashcards.builders import card, fast_forgetter, simulated_outcomes
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


@pytest.mark.once
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

    fitted = reviews.read_scheduling(ana)
    assert fitted.parameters == fit.parameters
    assert reviews.read_scheduling(ana, at=now - timedelta(minutes=1)).parameters == DEFAULT_PARAMETERS
    for aim in (0.8, 0.9):
        before = simulated_outcomes(YEAR, Scheduling(desired_retention=aim), learner=fast_forgetter())
        after = simulated_outcomes(YEAR, replace(fitted, desired_retention=aim), learner=fast_forgetter())
        assert before
        assert fmean(before) < aim - 0.05
        assert fmean(after) == pytest.approx(aim, abs=0.02)


@pytest.fixture
def workers(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[subprocess.Popen[str]]]:
    """Workers that sleep until they are killed, in the order of their start; fits are due at once."""
    started: list[subprocess.Popen[str]] = []

    def start() -> subprocess.Popen[str]:
        started.append(
            subprocess.Popen(
                [sys.executable, "-c", "import time; time.sleep(60)"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                text=True,
            )
        )
        return started[-1]

    monkeypatch.setattr(fit_scheduler, "start_worker", start)
    monkeypatch.setattr(fit_scheduler, "NEEDED", 0)
    yield started
    for worker in started:
        worker.kill()


def test_one_learner_is_fitted_at_a_time_and_the_others_wait_in_turn(
    reviews: Reviews, now: datetime, workers: list[subprocess.Popen[str]]
) -> None:
    fitting = fitting_of(reviews, now)
    learners = [reviews.store.profiles.add(f"browser-{name}", name, now=now).id for name in "abcd"]
    assert all(fitting.consider(learner) for learner in learners)
    assert not any(fitting._start(learner) for learner in learners)  # each waits once

    def has_started(count: int) -> bool:
        return len(workers) == count

    for nth in range(4):
        wait_until(partial(has_started, nth + 1))
        assert [fitting.state(learner).running for learner in learners] == [each >= nth for each in range(4)]
        sleep(0.1)
        assert len(workers) == nth + 1
        workers[nth].kill()
    wait_until(lambda: fitting._thread is None)
    assert not fitting.state(learners[3]).running


def test_closing_ends_the_running_fit_and_starts_no_other(
    reviews: Reviews, now: datetime, workers: list[subprocess.Popen[str]]
) -> None:
    fitting = fitting_of(reviews, now)
    learners = [reviews.store.profiles.add(f"browser-{name}", name, now=now).id for name in "abc"]
    assert all(fitting.consider(learner) for learner in learners)
    wait_until(lambda: len(workers) == 1)
    fitting.close()
    assert [worker.poll() is None for worker in workers] == [False]
    assert fitting._thread is None
    assert not fitting._start(learners[1])


def test_a_fit_that_fails_leaves_the_next_learner_theirs(
    reviews: Reviews, now: datetime, workers: list[subprocess.Popen[str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    fitting = fitting_of(reviews, now)
    ana, ben = (reviews.store.profiles.add(f"browser-{name}", name, now=now).id for name in "ab")

    def read(learner: str) -> list[CardReview]:
        if learner == ana:
            raise ValueError("such as a profile that was deleted meanwhile")
        return []

    monkeypatch.setattr(reviews.store.cards, "history", read)
    assert fitting._start(ana)
    assert fitting._start(ben)
    wait_until(lambda: len(workers) == 1)
    assert fitting._asked == [ben]
    fitting.close()


def wait_until(holds: Callable[[], bool]) -> None:
    end = monotonic() + 20
    while not holds():
        assert monotonic() < end
        sleep(0.01)


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
    assert parse_fit(answer, now).kept is kept
