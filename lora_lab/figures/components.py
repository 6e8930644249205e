"""Memory components in a drawing: their stacked bar, colours and names, bottom of a bar first."""

from collections.abc import Iterable, Sequence

from markupsafe import Markup

from lora_lab.charts.drawing import Scale, draw_box, draw_words
from lora_lab.memory.ledger import COMPONENTS, Ledger
from study.base.html import join_html
from study.base.units import as_bytes

PER_ROW = 3
LEADING = 20.0


def draw_stacked(ledger: Ledger, across: Scale, y: float, height: float) -> Markup:
    """Render one horizontal bar from left to right, with a dashed outline because it is computed."""
    parts, done = [], 0
    for field, _ in COMPONENTS:
        size = getattr(ledger, field)
        start, done = across(done), done + size
        parts.append(draw_box(start, y, across(done) - start, height, f"m-{field}"))
    outline = draw_box(across(0), y, across(done) - across(0), height, "outline dashed")
    return join_html(parts) + outline


def draw_legend(ledgers: Iterable[Ledger], y: float) -> tuple[Markup, float]:
    """Render swatches and names of all components present; also return the y where the legend ends."""
    found = list(ledgers)
    present = [(field, name) for field, name in COMPONENTS if any(getattr(one, field) for one in found)]
    parts = []
    for at, (field, name) in enumerate(present):
        x, row = 8 + (at % PER_ROW) * 132, y + (at // PER_ROW) * LEADING
        parts.append(
            draw_box(x, row - 10, 11, 11, f"m-{field}") + draw_words(x + 16, row, _shorten_name(name))
        )
    return join_html(parts), y + LEADING * ((len(present) + PER_ROW - 1) // PER_ROW)


def _shorten_name(name: str) -> str:
    return {"quantization constants": "constants", "logits and loss": "logits, loss"}.get(name, name)


def tabulate_components(ledgers: Sequence[Ledger]) -> tuple[tuple[str, ...], ...]:
    """Build table rows: a component and its bytes in each ledger."""
    rows = [
        (name, *(as_bytes(getattr(one, field)) for one in ledgers))
        for field, name in COMPONENTS
        if any(getattr(one, field) for one in ledgers)
    ]
    return (*rows, ("together", *(as_bytes(one.total_bytes) for one in ledgers)))
