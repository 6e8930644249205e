"""Scheduling: what a button shows is what is stored, and a better rating never comes back sooner."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise

import fsrs
from hypothesis import given
from hypothesis import strategies as st

from flashcards.scheduling.scheduler import (
    MAXIMUM_INTERVAL_DAYS,
    RATINGS,
    Memory,
    Rating,
    Scheduling,
    compute_retrievability,
    fuzz_interval,
    preview_outcomes,
)

START = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)
RATING = st.sampled_from(RATINGS)
WAIT = st.timedeltas(min_value=timedelta(seconds=1), max_value=timedelta(days=800))
HISTORY = st.lists(st.tuples(RATING, WAIT), max_size=12)


def after(history: list[tuple[Rating, timedelta]]) -> tuple[Memory | None, datetime]:
    """The memory that a history of ratings and waits leaves behind."""
    memory, now = None, START
    for rating, wait in history:
        memory = preview_outcomes(memory, now=now)[rating - 1].after
        now += wait
    return memory, now


@given(HISTORY, st.none() | st.text(max_size=4), st.sampled_from([30, 365, MAXIMUM_INTERVAL_DAYS]))
def test_again_is_shorter_than_hard_and_no_rating_beats_a_better_one(
    history: list[tuple[Rating, timedelta]], seed: str | None, maximum: int
) -> None:
    memory, now = after(history)
    scheduling = Scheduling(maximum_interval_days=maximum)
    outcomes = preview_outcomes(memory, now=now, scheduling=scheduling, fuzz_seed=seed)
    again, hard, good, easy = (outcome.interval for outcome in outcomes)
    assert timedelta() < again < hard <= good <= easy <= timedelta(days=maximum)


@given(
    days=st.integers(1, 1000),
    longer=st.integers(0, 50),
    draw=st.floats(0, 1, exclude_max=True),
    maximum=st.integers(1, 1000),
)
def test_fuzz_stays_near_keeps_the_order_and_respects_the_maximum(
    days: int, longer: int, draw: float, maximum: int
) -> None:
    day = timedelta(days=1)
    short, long = (
        fuzz_interval(min(interval, maximum) * day, draw=draw, maximum_days=maximum)
        for interval in (days, days + longer)
    )
    assert short <= long <= maximum * day
    assert abs(short - min(days, maximum) * day) <= (2 + 0.15 * days) * day


def test_the_same_seed_gives_the_same_fuzz_and_others_spread_out() -> None:
    def easy(seed: str) -> int:
        return preview_outcomes(None, now=START, fuzz_seed=seed)[3].interval.days

    assert easy("card 0") == easy("card 0")
    assert {easy(f"card {number}") for number in range(30)} == {6, 7, 8, 9, 10}


def test_a_card_is_recalled_less_likely_the_longer_it_waits() -> None:
    memory = preview_outcomes(None, now=START)[3].after
    chances = [compute_retrievability(memory, now=START + timedelta(days=days)) for days in (0, 8, 80)]
    assert chances == sorted(chances, reverse=True)
    assert 0.89 < chances[1] < 0.92


@given(HISTORY)
def test_a_memory_survives_being_stored_exactly(history: list[tuple[Rating, timedelta]]) -> None:
    memory, _ = after(history)
    if memory is not None:
        assert Memory.from_json(memory.to_json()) == memory


@given(HISTORY)
def test_a_preview_is_the_same_every_time_and_changes_nothing(
    history: list[tuple[Rating, timedelta]],
) -> None:
    memory, now = after(history)
    assert preview_outcomes(memory, now=now) == preview_outcomes(memory, now=now)
    assert after(history) == (memory, now)


@given(HISTORY)
def test_the_due_moment_is_the_interval_that_was_shown(history: list[tuple[Rating, timedelta]]) -> None:
    memory, now = after(history)
    for outcome in preview_outcomes(memory, now=now):
        assert outcome.after.due == now + outcome.interval
        assert outcome.after.last_review == now


def test_a_new_card_comes_back_as_the_library_says() -> None:
    shown = [outcome.interval for outcome in preview_outcomes(None, now=START)]
    minutes = [timedelta(minutes=1), timedelta(minutes=5.5), timedelta(minutes=10)]
    assert shown == [*minutes, timedelta(days=8)]


def test_a_golden_history_is_that_of_the_library_itself() -> None:
    ratings: list[Rating] = [3, 3, 3, 3, 3, 3, 1, 1, 3, 3, 3, 3, 3]
    scheduler = fsrs.Scheduler(enable_fuzzing=False)
    theirs, ours, now = fsrs.Card(card_id=0, due=START), None, START
    intervals = []
    for rating in ratings:
        theirs, _ = scheduler.review_card(theirs, fsrs.Rating(rating), now)
        ours = preview_outcomes(ours, now=now)[rating - 1].after
        assert ours.due == theirs.due
        intervals.append((theirs.due - now).days)
        now = theirs.due
    assert intervals == [0, 2, 11, 46, 163, 498, 0, 0, 2, 4, 7, 12, 21]


def test_a_moment_in_another_zone_is_the_same_moment() -> None:
    elsewhere = START.astimezone(tz=None)
    assert preview_outcomes(None, now=elsewhere) == preview_outcomes(None, now=START)


def test_ratings_are_four_and_in_order() -> None:
    assert all(worse < better for worse, better in pairwise(RATINGS))
    assert [outcome.name for outcome in preview_outcomes(None, now=START)] == [
        "Again",
        "Hard",
        "Good",
        "Easy",
    ]
