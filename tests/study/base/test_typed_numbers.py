"""Numbers as people type them are read, and what is shown is read back."""

import math
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from study.base.errors import LearnerError
from study.base.typed_numbers import format_number, parse_in_unit, read_number


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1200000", 1.2e6),
        ("1,200,000", 1.2e6),
        ("1 200 000", 1.2e6),
        ("1.2e6", 1.2e6),
        ("1.2E+6", 1.2e6),
        ("1.2 × 10^6", 1.2e6),
        ("1.20·10⁻⁵", 1.2e-5),
        ("2¹⁰", 1024),
        ("10⁻⁴", 1e-4),
        ("2^−3", 0.125),
        ("1.2 million", 1.2e6),
        ("1.2M parameters", 1.2e6),
        ("0,5", 0.5),
        ("0,125", 0.125),
        (".5", 0.5),
        ("-3", -3),
        ("−3", -3),
        ("1,200.5", 1200.5),
        ("16/32", 0.5),
        ("1 / 3", 1 / 3),
        ("-3/4", -0.75),
        ("2^10", 1024),
        ("2 ** 10", 1024),
    ],
)
def test_a_number_is_read_in_every_usual_spelling(text: str, value: float) -> None:
    assert read_number(text).value == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    ("text", "unit", "value"),
    [
        ("412 MB", "MB", 412),
        ("0.412 gb", "MB", 412),
        ("1 GiB", "MB", 1073.741824),
        ("4.5 bits/weight", "bits per weight", 4.5),
        ("1.78 percent", "%", 1.78),
        ("4.5 bits", "bits per weight", 4.5),
        ("9/2 bits per weight", "bits per weight", 4.5),
        ("2.1 percentage points", "percentage points", 2.1),
        ("2.1 %", "percentage points", 2.1),
        ("7", "GB", 7),
    ],
)
def test_units_are_read_by_any_name_and_converted(text: str, unit: str, value: float) -> None:
    assert parse_in_unit(text, unit) == pytest.approx(value, rel=1e-12)


@pytest.mark.parametrize(
    "text",
    ["", "many", "1.2.3", "1,2,3", "12 apples", "1e99", "--4", "1/0", "1/2/3", f"{'9' * 30}^99", "2^1000"],
)
def test_what_is_no_number_says_how_to_write_one(text: str) -> None:
    with pytest.raises(LearnerError, match=r"Write|Leave it out"):
        read_number(text)


@pytest.mark.parametrize(
    ("unit", "example"), [("%", "2.5 for 2.5 %"), ("tokens", "1,200,000"), ("", "1,200,000")]
)
def test_the_example_fits_the_unit(unit: str, example: str) -> None:
    with pytest.raises(LearnerError, match=example):
        parse_in_unit("abc", unit)


@given(value=st.integers(-(10**12), 10**12))
def test_a_whole_number_is_read_back_as_it_is_shown(value: int) -> None:
    assert read_number(format_number(value)).value == value


def test_a_small_number_is_shown_without_an_exponent() -> None:
    assert [format_number(value) for value in (0.0002, 0.00001, 1e-6)] == ["0.0002", "0.00001", "0.000001"]


@given(value=st.floats(1e-3, 1e9))
def test_any_number_is_read_back_to_seven_decimals(value: float) -> None:
    assert read_number(format_number(value)).value == pytest.approx(value, abs=1e-7)


@given(text=st.text(max_size=20))
def test_any_text_is_a_number_or_a_learners_error(text: str) -> None:
    with suppress(LearnerError):
        assert math.isfinite(read_number(text).value)
