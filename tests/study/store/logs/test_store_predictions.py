"""The log of predictions: a guess is kept, tied to one run, and judged once."""

from datetime import datetime

from sqlalchemy import select

from study.store import Store
from study.store.schema import prediction_verdicts

SETTING = {"rank": 8, "bits": "nf4"}
GUESS = {"percent": 1.5}


def test_a_guess_is_found_by_its_learner_and_nobody_else(store: Store, ana: str, now: datetime) -> None:
    ben = store.profiles.add("b2", "Ben", now=now).id
    made = store.predictions.make(ana, setting=SETTING, guess=GUESS, at=now)
    found = store.predictions.find(ana, made)
    assert found is not None
    assert (found.setting, found.guess, found.made_at, found.run_id) == (SETTING, GUESS, now, "")
    assert store.predictions.find(ben, made) is None
    assert store.predictions.find(ana, "nothing") is None


def test_a_guess_is_about_the_first_run_it_was_tied_to(store: Store, ana: str, now: datetime) -> None:
    made = store.predictions.make(ana, setting=SETTING, guess=GUESS, at=now)
    assert store.predictions.start(made, "run-1", at=now)
    assert not store.predictions.start(made, "run-2", at=now)
    found = store.predictions.find_by_run(ana, "run-1")
    assert found is not None
    assert found.id == made
    assert store.predictions.find_by_run(ana, "run-2") is None


def test_only_started_guesses_wait_for_a_verdict_and_the_first_verdict_stands(
    store: Store, ana: str, now: datetime
) -> None:
    store.predictions.make(ana, setting=SETTING, guess=GUESS, at=now)
    assert store.predictions.unjudged(ana) == []
    made = store.predictions.make(ana, setting=SETTING, guess=GUESS, at=now)
    store.predictions.start(made, "run", at=now)
    assert [waiting.id for waiting in store.predictions.unjudged(ana)] == [made]
    assert store.predictions.judge(made, {"percent": True, "peak": False}, at=now)
    assert not store.predictions.judge(made, {"percent": False}, at=now)
    judged = store.predictions.judged(ana)
    assert {each.quantity: each.correct for each in judged} == {"percent": True, "peak": False}
    assert store.predictions.unjudged(ana) == []


def test_erasing_a_learner_erases_the_guesses(store: Store, ana: str, now: datetime) -> None:
    made = store.predictions.make(ana, setting=SETTING, guess=GUESS, at=now)
    store.predictions.start(made, "run", at=now)
    store.predictions.judge(made, {"percent": True}, at=now)
    store.profiles.erase(ana)
    assert store.predictions.find(ana, made) is None
    with store.database.read() as connection:
        assert connection.execute(select(prediction_verdicts)).all() == []
