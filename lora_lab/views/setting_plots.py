"""The three plots of a setting, with the measured points that belong on them."""

from collections.abc import Iterator
from dataclasses import replace

from markupsafe import Markup

from lora_lab.charts.bars import StackedBars
from lora_lab.charts.lines import RankLines
from lora_lab.charts.memory import plot_memory_by_bits, plot_memory_by_rank
from lora_lab.charts.parameters import plot_parameters_by_rank
from lora_lab.data.batches import RowSize
from lora_lab.lab import Lab
from lora_lab.runs.cost_preview import Preview
from lora_lab.runs.predicted_vs_measured import select_comparable
from study.plots.plot import Plot
from study.plots.render import render_on_page
from study.plots.sheet import NARROW_INCHES, WIDE_INCHES

BESIDE_FORM_INCHES = 5.2  # two of them stand beside the form at 1280 px, where 12-point text is 14 px


def plot_setting(lab: Lab, found: Preview) -> Iterator[Plot]:
    """Yield the plots of parameters by rank, memory by rank and memory by bit width."""
    yield from plot_by_rank(lab, found)
    yield from plot_by_bits(lab, found)


def plot_by_rank(lab: Lab, found: Preview) -> Iterator[Plot]:
    """Yield the two plots beside the form: parameters and memory by rank."""
    measured = select_comparable(lab.list_measured_peaks(), found.spec, free="rank", row=_find_row(found))
    yield plot_parameters_by_rank(found.shape, found.spec)
    yield plot_memory_by_rank(found.shape, found.spec, found.row, found.compute, measured)


def plot_by_bits(lab: Lab, found: Preview) -> Iterator[Plot]:
    """Yield the plot of memory by bit width."""
    measured = select_comparable(lab.list_measured_peaks(), found.spec, free="bits", row=_find_row(found))
    yield plot_memory_by_bits(found.shape, found.spec, found.row, found.compute, measured)


def _find_row(found: Preview) -> RowSize | None:
    return found.row if found.row_is_known else None


def render_plot_part(plot: Plot, *, narrow: bool) -> Markup:
    """Render a plot for a page, without its title, because the page shows the title itself."""
    width = NARROW_INCHES if narrow else WIDE_INCHES
    return render_on_page(plot, width_inches=width)


def draw_beside_form(plot: Plot, *, narrow: bool) -> Markup:
    """Render a chart for a place beside the form: shorter, and with its legend as a table of the page."""
    width = NARROW_INCHES if narrow else BESIDE_FORM_INCHES
    if isinstance(plot.drawing, RankLines | StackedBars):
        plot = replace(plot, drawing=replace(plot.drawing, beside_form=True))
    return render_on_page(plot, width_inches=width)
