"""The lab's still charts: parameters by rank, memory by rank, memory by bit width.

plot = parameters_by_rank(find_shape("smollm2-135m"), RunSpec(rank=8))
plot.title                           # "Rank 8 on all linear layers trains 2,442,240 parameters, 1.78 % ..."
render(plot, "svg", on_page=True)    # to stand in a page
render(plot, "png", on_page=False)   # to keep
to_csv(plot)                         # its numbers
"""

from lora_lab.plots.memory import memory_by_bits, memory_by_rank
from lora_lab.plots.parameters import parameters_by_rank
from study.plots.plot import Cell, Plot, shown, to_csv
from study.plots.render import Format, render
from study.plots.sheet import NARROW_INCHES, WIDE_INCHES

__all__ = [
    "NARROW_INCHES",
    "WIDE_INCHES",
    "Cell",
    "Format",
    "Plot",
    "memory_by_bits",
    "memory_by_rank",
    "parameters_by_rank",
    "render",
    "shown",
    "to_csv",
]
