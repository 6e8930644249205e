"""The three plots of a setting, with the measured points that belong on them."""

from collections.abc import Iterator

from markupsafe import Markup

from lora_lab.charts.memory import memory_by_bits, memory_by_rank
from lora_lab.charts.parameters import parameters_by_rank
from lora_lab.lab import Lab
from lora_lab.runs.cost_preview import Preview
from lora_lab.runs.predicted_vs_measured import comparable
from study.plots.plot import Plot
from study.plots.render import render
from study.plots.sheet import NARROW_INCHES, WIDE_INCHES


def plots_of(lab: Lab, found: Preview) -> Iterator[Plot]:
    """Yield the plots of parameters by rank, memory by rank and memory by bit width."""
    measured = lab.measured()
    row = found.row if found.row_is_known else None
    by_rank = comparable(measured, found.spec, free="rank", row=row)
    by_bits = comparable(measured, found.spec, free="bits", row=row)
    yield parameters_by_rank(found.shape, found.spec)
    yield memory_by_rank(found.shape, found.spec, found.row, found.compute, by_rank)
    yield memory_by_bits(found.shape, found.spec, found.row, found.compute, by_bits)


def drawn(plot: Plot, *, narrow: bool) -> Markup:
    """Render a plot for a page, without its title, because the page shows the title itself."""
    width = NARROW_INCHES if narrow else WIDE_INCHES
    return Markup(render(plot, "svg", on_page=True, width_inches=width, titled=False).decode())
