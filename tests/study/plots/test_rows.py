"""Rows of a chart: a name, a mark, a number."""

import re
from itertools import pairwise

from study.plots.plot import Plot
from study.plots.render import render_on_page
from study.plots.rows import PlotRow, Rows
from study.plots.sheet import NARROW_INCHES, measure_text_width


def test_labels_of_a_narrow_scale_do_not_touch() -> None:
    rows = tuple(
        PlotRow(name="A concept with a long name", value=share, number="7 of 13", interval=(0.0, 0.8))
        for share in (0.25, 0.5)
    )
    drawing = Rows(rows=rows, x_label="share recalled", footnote="Measured.", target=0.9)
    plot = Plot(name="x", title="t", subtitle="s", header=("a",), rows=(("b",),), alt="c", drawing=drawing)
    svg = str(render_on_page(plot, width_inches=NARROW_INCHES))
    places = sorted((float(x), words) for x, words in re.findall(r' x="([\d.]+)"[^>]*>(\d+ %)</text>', svg))
    assert len(places) >= 2
    for (left, one), (right, other) in pairwise(places):
        assert right - left > (measure_text_width(one) + measure_text_width(other)) / 2
