"""Numbers for a column: as many digits in each."""

import pytest

from study.base.units import as_three_digits, as_two_digits


@pytest.mark.parametrize(
    ("number", "two", "three"),
    [
        (0.3, "0.30", "0.300"),
        (0.0589, "0.059", "0.0589"),
        (2.0, "2.0", "2.00"),
        (12.34, "12", "12.3"),
        (163.9, "164", "164"),
        (1e-7, "1.0e-07", "1.00e-07"),
        (0, "0", "0"),
    ],
)
def test_a_column_of_numbers_keeps_its_last_zeros(number: float, two: str, three: str) -> None:
    assert (as_two_digits(number), as_three_digits(number)) == (two, three)
