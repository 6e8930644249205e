"""Memory of runs trained side by side: the frozen base once, each cell's own bytes, and one cell's workspace.

On a CPU, a prefix that all examples share is in a row once. On a GPU, cells are stacked
(worker/training/adapter_stack.py): several have one row and one workspace. All results are bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from lora_lab.data.batches import RowSize
from lora_lab.memory.ledger import moments_of, predict_ledger
from lora_lab.parameters.shapes import ModelShape
from lora_lab.spec import Compute, RunSpec

TRIED_STEPS = 8

STACKED_SHARE = 0.5
"""The most that the ranks of stacked adapters may sum up to, in parts of the model's width: a row's products
with other cells' columns then cost less than a seventh of those with a layer's frozen weights.
"""


def split_stacks(ranks: Sequence[int], *, hidden: int, stacked: bool) -> list[slice]:
    """Split a group's cells, whose ranks these are, into those whose rows go through a layer together: one
    each, unless they are to be stacked.
    """
    found: list[slice] = []
    total = 0
    for place, rank in enumerate(ranks):
        total += rank
        if found and stacked and total <= STACKED_SHARE * hidden:
            found[-1] = slice(found[-1].start, place + 1)
        else:
            found.append(slice(place, place + 1))
            total = rank
    return found


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
    shape: ModelShape,
    spec: RunSpec,
    row: RowSize,
    compute: Compute,
    *,
    alone: bool = False,
    answers: Sequence[int] = (),
) -> CellBytes:
    """Return what `spec` adds to a group when the row that decides its peak has the size `row`.

    Unless it is alone, a layer's decoded weights wait for the next cell. Of stacked cells, `row` is their
    joint row, the rank of `spec` is the sum of their ranks, and `answers` are the answer tokens of each.
    """
    moments = moments_of(shape, spec, row, compute, keeps_decoded=not alone, answers=answers)
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
    ranks = [spec.rank for spec, _ in cells]
    spec, rows = cells[0]
    alike = all(linear.count == shape.layers for linear in shape.select(spec.targets))
    stacks = split_stacks(ranks, hidden=shape.hidden, stacked=rows[0].on_gpu and alike)
    return max(
        group_bytes(
            [
                _stack_bytes(shape, [(spec, rows[step]) for spec, rows in cells[part]], compute, len(stacks))
                for part in stacks
            ]
        )
        for step in heaviest
    )


def _stack_bytes(
    shape: ModelShape, cells: Sequence[tuple[RunSpec, RowSize]], compute: Compute, stacks: int
) -> CellBytes:
    """Return what stacked cells, or one cell, add to a group of so many stacks."""
    specs, rows = zip(*cells, strict=True)
    if len(cells) == 1:
        return cell_bytes(shape, specs[0], rows[0], compute, alone=stacks == 1)
    answers = [row.answer_tokens for row in rows]
    joint = replace(
        rows[0], lengths=tuple(length for row in rows for length in row.lengths), answer_tokens=sum(answers)
    )
    wide = replace(specs[0], rank=sum(spec.rank for spec in specs))
    return cell_bytes(shape, wide, joint, compute, alone=stacks == 1, answers=answers)
