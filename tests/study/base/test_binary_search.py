"""The largest number for which something holds is found with few questions."""

from itertools import accumulate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from study.base.binary_search import find_largest, find_largest_within


@given(st.integers(-1, 500), st.integers(0, 500))
def test_the_largest_number_is_found_with_as_many_questions_as_the_range_has_bits(
    last: int, most: int
) -> None:
    asked: list[int] = []

    def holds(number: int) -> bool:
        asked.append(number)
        return number <= last

    assert find_largest(holds, none=-1, most=most) == min(last, most)
    assert len(asked) <= (most + 1).bit_length()
    assert all(0 <= number <= most for number in asked)


STEPS = st.lists(st.integers(0, 10**6), min_size=1, max_size=300)


@given(STEPS, st.integers(0, 10**8))
def test_the_largest_number_within_a_limit_is_found_however_the_measure_grows(
    steps: list[int], limit: int
) -> None:
    grown = list(accumulate(steps))
    asked: list[int] = []

    def measure(number: int) -> int:
        asked.append(number)
        return grown[number]

    most = len(grown) - 1
    expected = max((at for at, size in enumerate(grown) if size <= limit), default=-1)
    assert find_largest_within(measure, limit, none=-1, most=most) == expected
    assert len(asked) <= 2 * len(grown).bit_length()


@pytest.mark.parametrize("last", [1, 700, 65_000, 131_071])
def test_a_measure_that_grows_evenly_takes_few_questions(last: int) -> None:
    asked: list[int] = []

    def measure(number: int) -> int:
        asked.append(number)
        return 5_000 + 37 * number

    assert find_largest_within(measure, 5_000 + 37 * last + 1, none=0, most=131_072) == last
    assert len(asked) <= 6


def test_a_range_without_numbers_has_none() -> None:
    assert find_largest_within(lambda _: 0, 1, none=0, most=0) == 0
