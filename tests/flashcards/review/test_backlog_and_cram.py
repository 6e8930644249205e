"""A backlog is spread without losing a card; a cram goes on until all is known and moves no schedule."""

from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flashcards.review.cram import CramAnswer, choose_next_in_cram, parse_start
from flashcards.review.urls import read_choice
from flashcards.scheduling.backlog import Backlog, count_fitting, spread_backlog
from study.base.days import StudyDays
from study.base.errors import LearnerError
from tests.flashcards.builders import NOW, card


@given(recall=st.dictionaries(st.text(max_size=3), st.floats(0, 1), max_size=40), days=st.integers(2, 30))
def test_a_spread_loses_nothing_is_even_and_starts_with_the_shakiest(
    recall: dict[str, float], days: int
) -> None:
    placed = spread_backlog(recall, over_days=days, now=NOW, study_days=StudyDays())
    assert placed.keys() == recall.keys()
    counts = [list(placed.values()).count(day) for day in sorted(set(placed.values()))]
    assert len(counts) <= days
    assert all(count == counts[0] for count in counts[:-1])
    in_order = sorted(placed, key=lambda name: (placed[name], recall[name]))
    assert [recall[name] for name in in_order] == sorted(recall.values())
    if placed:
        assert min(placed.values()) <= NOW


def test_a_backlog_is_what_does_not_fit_into_the_day_or_the_session() -> None:
    assert not Backlog(waiting=20, fit=20).is_too_much
    assert Backlog(waiting=50, fit=20).days == 3
    assert count_fitting(reviews_left=100, minutes_left=None, seconds_each=10) == 100
    assert count_fitting(reviews_left=100, minutes_left=5, seconds_each=10) == 30
    assert count_fitting(reviews_left=100, minutes_left=-1, seconds_each=10) == 0


def test_a_cram_asks_each_card_then_the_misses_until_all_are_known() -> None:
    cards, asked = [card(name) for name in "abc"], ""
    answers: list[CramAnswer] = []
    known = iter([True, False, False, True, False, True])
    while (found := choose_next_in_cram(cards, answers)).card:
        asked += found.card.id
        answers.append((found.card.id, next(known)))
    assert asked == "abcbcc"
    assert (found.known, found.total, found.tries) == (3, 3, 6)


def test_a_card_whose_answer_was_taken_back_is_asked_again_at_once() -> None:
    cards = [card(name) for name in "abc"]
    found = choose_next_in_cram(cards, [("a", True)], first="c")
    assert found.card is cards[2]


@pytest.mark.parametrize(
    "run", ["", "yesterday", "2026-03-04T10:00:00", "0001-01-01T00:00:00+14:00", "9999-12-31T23:00:00-14:00"]
)
def test_an_address_that_names_no_cram_says_where_to_start_one(run: str) -> None:
    with pytest.raises(LearnerError, match="Start one from the Cards page"):
        parse_start(run)


def test_a_cram_is_named_after_its_beginning() -> None:
    assert parse_start("2026-03-04T10:00:00Z") - NOW == timedelta()


def test_a_number_in_an_address_that_cannot_be_read_changes_no_limit() -> None:
    assert read_choice({"new": "abc", "reviews": "", "minutes": "-"}) == read_choice({})
    assert read_choice({"new": "999"}).extra.new_cards == 500
