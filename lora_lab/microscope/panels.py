"""All panels of the microscope that have results."""

from collections.abc import Iterator

from lora_lab.microscope.effects import (
    render_double_panel,
    render_losses_panel,
    render_outliers_panel,
    render_output_panel,
)
from lora_lab.microscope.panel import Found, Panel
from lora_lab.microscope.query import MicroscopeQuestion
from lora_lab.microscope.weights import render_errors_panel, render_map_panel, render_weights_panel


def build_panels(question: MicroscopeQuestion, found: Found) -> Iterator[Panel]:
    """Build all panels that have results, in the order in which they are measured."""
    if {"first", "second"} <= found.keys():
        yield render_weights_panel(question, found)
        yield render_map_panel(question, found)
    if "sweep" in found:
        yield render_errors_panel(question, found)
        yield render_outliers_panel(question, found)
        yield render_double_panel(question, found)
    if "output" in found:
        yield render_output_panel(question, found)
    if "base" in found.get("losses", {}):
        yield render_losses_panel(question, found)
