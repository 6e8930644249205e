"""The numbers below a chart."""

from study.plots.plot import format_cell


def test_a_tiny_number_is_written_as_in_a_text() -> None:
    assert format_cell(1.14e-05) == "1.14·10⁻⁵"
    assert [format_cell(number) for number in (0.0, 0.0004, 1.78, 2442240)] == [
        "0",
        "0.000400",
        "1.78",
        "2,442,240",
    ]
