"""Memory of runs trained side by side: the frozen base once, each cell's own bytes, and a workspace.

On a CPU, a prefix that all examples share is in a row once. On a GPU, cells are stacked
(worker/training/adapter_stack.py): several have one row. All results are bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import groupby

from lora_lab.data.batches import RowSize
from lora_lab.memory.activations import TrainingPass
from lora_lab.memory.ledger import build_moments, predict_ledger
from lora_lab.memory.written_out import Moment
from lora_lab.parameters.shapes import ModelShape
from lora_lab.spec import Compute, RunSpec

TRIED_STEPS = 8

STACKED_SHARE = 1 / 8
"""The most that the ranks of stacked adapters may sum up to, in parts of the model's width. Products with
other cells' columns are then less than a fifth of those with the frozen weights of SmolLM2 or Llama 3.
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
    """One cell's part of the peak, or that of stacked cells."""

    kept: int
    """Alive for all cells at once: adapter, its copy in the compute type, gradient, moments, activations."""

    loss: int
    """Alive for one cell at a time: its logits and their gradient."""

    layer: Sequence[Moment]
    """Alive at each moment in one layer."""

    base: int
    """Shared by all cells: weights and constants."""

    lengths: tuple[int, ...]
    """Tokens of its row's examples: neighbours with the same attend together."""


def compute_cell_bytes(
    shape: ModelShape, cells: Sequence[tuple[RunSpec, RowSize]], compute: Compute
) -> CellBytes:
    """Return what a cell, or cells that are stacked, add to a group in a step with these rows."""
    specs, rows = zip(*cells, strict=True)
    row, answers = rows[0], [each.answer_tokens for each in rows]
    if len(cells) > 1:
        lengths = tuple(length for each in rows for length in each.lengths)
        row = replace(row, lengths=lengths, answer_tokens=sum(answers))
    spec, rank = specs[0], sum(spec.rank for spec in specs)
    adapted = shape.select(spec.targets)
    moments = build_moments(
        TrainingPass(shape=shape, adapted=adapted, rank=rank, row=row, compute=compute),
        spec.bits,
        checkpointing=spec.checkpointing,
        stacked_answers=tuple(answers) if len(cells) > 1 else (),
    )
    ledgers = [predict_ledger(shape, spec, replace(row, shared=0), compute) for spec in specs]
    return CellBytes(
        kept=sum(each.adapters + each.gradients + each.optimizer for each in ledgers) + moments.kept_bytes,
        loss=moments.loss_bytes,
        layer=moments.layer_moments,
        base=ledgers[0].weights + ledgers[0].constants,
        lengths=row.lengths,
    )


def group_bytes(cells: Sequence[CellBytes]) -> int:
    """Return what these cells hold side by side at the peak of one step: at a loss, or in a layer."""
    moments = zip(*(cell.layer for cell in cells), strict=True)
    several = len(cells) > 1
    in_layer: list[int] = [
        sum(of.rows + several * of.joined for of in cells_at)
        + max(of.turn for of in cells_at)
        + _attention_bytes(cells, cells_at)
        for cells_at in moments
    ]
    at_loss = [cell.loss for cell in cells]
    return cells[0].base + sum(cell.kept for cell in cells) + max(*in_layer, *at_loss)


def _attention_bytes(cells: Sequence[CellBytes], cells_at: Sequence[Moment]) -> int:
    """Return what attention adds at its largest turn; cells whose examples are as long have one together."""
    found, most = 0, 0
    for _, alike in groupby(zip(cells, cells_at, strict=True), lambda pair: pair[0].lengths):
        moments = [moment for _, moment in alike]
        found += sum(of.found for of in moments)
        most = max(most, found + sum(of.attending for of in moments))
    return most


def peak_bytes(
    shape: ModelShape, cells: Sequence[tuple[RunSpec, Sequence[RowSize]]], compute: Compute
) -> int:
    """Estimate the peak of a group run, given the row of every step per cell.

    Each cell has its own rows, so their heaviest rows rarely coincide; the steps with the most tokens and
    those with the most answer tokens are tried. The first step is tried without moments: it makes them.
    """
    first_spec, first_rows = cells[0]
    alike = all(linear.count == shape.layers for linear in shape.select(first_spec.targets))
    ranks = [spec.rank for spec, _ in cells]
    stacks = split_stacks(ranks, hidden=shape.hidden, stacked=first_rows[0].on_gpu and alike)

    def at(step: int) -> int:
        rows_at = [(spec, rows[step]) for spec, rows in cells]
        return group_bytes([compute_cell_bytes(shape, rows_at[part], compute) for part in stacks])

    def tokens_at(step: int) -> int:
        return sum(rows[step].tokens for _, rows in cells)

    def answers_at(step: int) -> int:
        return max(rows[step].answer_tokens for _, rows in cells)

    later = range(1, len(first_rows))
    tried = {step for key in (tokens_at, answers_at) for step in sorted(later, key=key)[-TRIED_STEPS:]}
    moments = sum(predict_ledger(shape, spec, rows[0], compute).optimizer for spec, rows in cells)
    return max([at(0) - moments, *map(at, tried)])
