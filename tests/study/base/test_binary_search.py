"""The largest number for which something holds is found with few questions."""

from hypothesis import given
from hypothesis import strategies as st

from study.base.binary_search import find_largest


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
