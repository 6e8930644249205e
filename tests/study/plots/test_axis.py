"""Ticks and label places, whatever range or crowd they are given."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from study.plots.axis import choose_span, choose_ticks, spread_labels

values = st.floats(-1e12, 1e12)


@pytest.mark.parametrize(
    ("low", "high", "about", "ticks"),
    [
        (0, 2.1, 4, (0, 0.5, 1.0, 1.5, 2.0)),
        (0, 780, 4, (0, 200, 400, 600)),
        (1, 60, 7, (10, 20, 30, 40, 50, 60)),
        (0.0021, 0.0044, 4, (0.0025, 0.003, 0.0035, 0.004)),
    ],
)
def test_ticks_are_the_round_numbers_a_person_would_choose(
    low: float, high: float, about: int, ticks: tuple[float, ...]
) -> None:
    assert choose_ticks(low, high, about=about) == ticks


@given(values, values, st.integers(2, 8))
def test_a_span_holds_its_range_and_has_ticks_in_order(one: float, other: float, about: int) -> None:
    low, high = sorted((one, other))

    start, end = choose_span(low, high, about=about)
    ticks = choose_ticks(start, end, about=about)

    room = (end - start) * 1e-6
    assert start - room <= low
    assert high <= end + room
    assert 2 <= len(ticks) <= 2 * about + 3
    assert all(before < after for before, after in pairwise(ticks))
    assert start - room <= ticks[0]
    assert ticks[-1] <= end + room


@given(st.lists(st.floats(0, 200), max_size=8))
def test_labels_keep_their_distance_and_their_order_inside_the_room(wanted: list[float]) -> None:
    placed = spread_labels(wanted, gap=15, low=0, high=200)

    assert len(placed) == len(wanted)
    in_order = [place for _, place in sorted(zip(wanted, placed, strict=True))]
    assert all(after - before >= 15 - 1e-6 for before, after in pairwise(in_order))
    assert all(-1e-6 <= place <= 200 + 1e-6 for place in placed)


def test_labels_with_room_stay_where_they_want_to_be() -> None:
    assert spread_labels([100, 20, 60], gap=15, low=0, high=200) == [100, 20, 60]


def test_two_labels_in_one_place_move_apart_evenly() -> None:
    assert spread_labels([50, 50], gap=10, low=0, high=100) == [45, 55]


def test_more_labels_than_room_share_it_evenly() -> None:
    assert spread_labels([5] * 5, gap=15, low=0, high=40) == [0, 10, 20, 30, 40]
