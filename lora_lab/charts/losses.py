"""The scale on which losses are drawn."""

from collections.abc import Sequence

from study.plots.area import Span
from study.plots.axis import nice_ticks


def loss_span(values: Sequence[float]) -> Span:
    """Return the range of the losses, with some room on both sides."""
    low, high = min(values), max(values)
    room = (high - low) * 0.08 or abs(high) * 0.1 or 1.0
    return low - room, high + room


def loss_levels(span: Span, *, about: int = 4) -> dict[float, str]:
    """Return round losses inside the range and their labels, with enough digits to distinguish them."""
    ticks = nice_ticks(*span, about=about)
    for digits in range(1, 7):
        labels = {tick: f"{tick:.{digits}f}" for tick in ticks}
        if all(abs(float(label) - tick) < 1e-9 for tick, label in labels.items()):
            break
    return labels
