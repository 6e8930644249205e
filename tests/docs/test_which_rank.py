"""The guide's numbers are those of the sweep that is kept beside it."""

from benchmarks.which_rank import BEGIN, END, KEPT, PAGE, render_measured


def test_every_number_of_the_measured_part_is_in_the_kept_sweep() -> None:
    printed = PAGE.read_text("utf-8").partition(BEGIN)[2].partition(END)[0]
    assert printed.strip() == render_measured(KEPT).strip()
    assert "Measured on" in printed
