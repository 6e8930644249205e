"""All panels of the microscope that have results."""

from collections.abc import Iterator

from lora_lab.microscope.effects import double_panel, losses_panel, outliers_panel, output_panel
from lora_lab.microscope.panel import Found, Panel
from lora_lab.microscope.query import MicroscopeQuestion
from lora_lab.microscope.weights import errors_panel, map_panel, weights_panel


def build_panels(question: MicroscopeQuestion, found: Found) -> Iterator[Panel]:
    """Build all panels that have results, in the order in which they are measured."""
    if {"first", "second"} <= found.keys():
        yield weights_panel(question, found)
        yield map_panel(question, found)
    if "sweep" in found:
        yield errors_panel(question, found)
        yield outliers_panel(question, found)
        yield double_panel(question, found)
    if "output" in found:
        yield output_panel(question, found)
    if "base" in found.get("losses", {}):
        yield losses_panel(question, found)
