"""A number from a stranger's file is one that can be reckoned with, or it is refused."""

import pytest

from study.base.numbers import is_finite_number


@pytest.mark.parametrize("value", [0, -1, 2.5, 10**300])
def test_a_number_that_can_be_reckoned_with_is_one(value: object) -> None:
    assert is_finite_number(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 10**400, True, "1", None, [1]])
def test_what_would_break_a_calculation_is_none(value: object) -> None:
    assert not is_finite_number(value)
