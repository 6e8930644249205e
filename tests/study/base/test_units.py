"""Numbers for a column: as many digits in each."""

import pytest

from study.base.units import as_bytes, as_duration, as_percent, as_short, as_three_digits, as_two_digits


@pytest.mark.parametrize(
    ("number", "two", "three"),
    [
        (0.3, "0.30", "0.300"),
        (0.0589, "0.059", "0.0589"),
        (2.0, "2.0", "2.00"),
        (12.34, "12", "12.3"),
        (163.9, "164", "164"),
        (767_570, "767,570", "767,570"),
        (19_000_000, "19.0M", "19,000,000"),
        (9.996, "10", "10.0"),
        (0.9996, "1.0", "1.00"),
        (1e-7, "1.0·10⁻⁷", "1.00·10⁻⁷"),
        (0, "0", "0"),
    ],
)
def test_a_column_of_numbers_keeps_its_last_zeros(number: float, two: str, three: str) -> None:
    assert (as_two_digits(number), as_three_digits(number)) == (two, three)


@pytest.mark.parametrize(
    ("shown", "text"),
    [
        (as_percent(0.00326), "0.00326 %"),
        (as_percent(0.326), "0.33 %"),
        (as_percent(9.999), "10.0 %"),
        (as_percent(99.97), "100 %"),
        (as_percent(0), "0 %"),
        (as_bytes(999_499_999), "999 MB"),
        (as_bytes(999_999_999), "1.00 GB"),
        (as_bytes(999.7), "1.00 kB"),
        (as_bytes(1_234 * 10**9), "1,234 GB"),
        (as_short(9_999_000), "10.0M"),
        (as_three_digits(1234), "1,234"),
        (as_three_digits(1e30), "1.00e+30"),
        (as_duration(59.4), "59 s"),
        (as_duration(59.7), "1 min"),
        (as_duration(3599), "1 h"),
        (as_duration(86_399), "1 d"),
        (as_duration(59.6 * 86_400), "2 mo"),
    ],
)
def test_a_number_is_rounded_before_its_unit_and_decimals_are_chosen(shown: str, text: str) -> None:
    assert shown == text
