"""Memory of runs trained side by side: the frozen base once, each cell's own bytes, and one cell's workspace.

A prefix that all examples share is in a row once. All results are bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from lora_lab.data.batches import RowSize
from lora_lab.memory.ledger import moments_of, predict_ledger
from lora_lab.parameters.shapes import ModelShape
from lora_lab.spec import Compute, RunSpec

TRIED_STEPS = 8


@dataclass(frozen=True, kw_only=True)
class CellBytes:
    """One cell's part of the peak."""

    kept: int
    """Alive for all cells at once: adapter, its copy in the compute type, gradient, moments, activations."""

    working: int
    """Alive for one cell at a time: logits, or the gradients in one layer."""

    base: int
    """Shared by all cells: weights and constants."""


def cell_bytes(
    shape: ModelShape, spec: RunSpec, row: RowSize, compute: Compute, *, alone: bool = False
) -> CellBytes:
    """Return what `spec` adds to a group when the row that decides its peak has the size `row`.

    Unless it is alone, a layer's decoded weights wait for the next cell.
    """
    moments = moments_of(shape, spec, row, compute, keeps_decoded=not alone)
    ledger = predict_ledger(shape, spec, replace(row, shared=0), compute)
    return CellBytes(
        kept=ledger.adapters + ledger.gradients + ledger.optimizer + moments.kept_bytes,
        working=moments.working_bytes,
        base=ledger.weights + ledger.constants,
    )


def group_bytes(cells: Sequence[CellBytes]) -> int:
    """Return what these cells hold side by side at the peak of one step."""
    return cells[0].base + max(cell.working for cell in cells) + sum(cell.kept for cell in cells)


def peak_bytes(
    shape: ModelShape, cells: Sequence[tuple[RunSpec, Sequence[RowSize]]], compute: Compute
) -> int:
    """Estimate the peak of a group run, given the row of every step per cell.

    Each cell has its own rows, so their heaviest rows rarely coincide; the heaviest few steps are tried. The
    first step is left out if there are others, because it runs before moments exist.
    """
    steps = range(len(cells[0][1]))
    later = steps[1:] or steps
    heaviest = sorted(later, key=lambda step: sum(rows[step].tokens for _, rows in cells))[-TRIED_STEPS:]
    return max(
        group_bytes(
            [cell_bytes(shape, spec, rows[step], compute, alone=len(cells) == 1) for spec, rows in cells]
        )
        for step in heaviest
    )
