"""Memory of runs trained side by side: the frozen base once, each cell's own bytes, and one cell's workspace.

Follows worker/training/group.py, which keeps less than the single loop: silu of the gate is recomputed in the
backward pass, logits never exist in fp32 or for two cells at once, and a prefix that all examples share is in
a row once.

Symbols: c bytes of the compute type. All results are bytes.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from lora_lab.data.batches import RowSize
from lora_lab.memory.activations import TrainingPass
from lora_lab.memory.ledger import COMPUTE_BYTES, FP32_BYTES, predict_ledger, repeats_keys
from lora_lab.parameters.shapes import ModelShape
from lora_lab.spec import Compute, RunSpec

BLOCK_LOGITS = 2**18
"""Logits per block, in fp32 while the loss is computed (CACHED_LOGITS in group_layer.py), and once more."""

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


def cell_bytes(shape: ModelShape, spec: RunSpec, row: RowSize, compute: Compute) -> CellBytes:
    """Return what `spec` adds to a group when the row that decides its peak has the size `row`."""
    ledger, c = predict_ledger(shape, spec, replace(row, shared=0), compute), COMPUTE_BYTES[compute]
    work = TrainingPass(
        shape=shape,
        adapted=shape.select(spec.targets),
        rank=spec.rank,
        dora=False,
        row=row,
        c=c,
        repeats_keys=repeats_keys(row, compute),
    )
    gate = row.tokens * c * shape.intermediate
    adapts_output = any(linear.role == "o" for linear in work.adapted)
    output = 0 if adapts_output else row.tokens * c * shape.heads * shape.head_dim
    if spec.checkpointing:
        narrow = ledger.adapters * c // FP32_BYTES
        kept, layer = work.checkpoint_bytes - work.mask_bytes + narrow, work.recomputed_bytes + output - gate
    else:
        # saved_bytes has the narrow copies of A and B, except A in fp32, which the single loop doesn't copy.
        kept, layer = work.saved_bytes + shape.layers * (output - gate), 0
        kept += ledger.adapters // 2 if compute == "fp32" else 0
    logits = row.answer_tokens * shape.vocab
    head = c * logits + 2 * FP32_BYTES * min(BLOCK_LOGITS, logits)
    decoded = 0 if spec.bits == compute else c * _layer_numbers(shape)
    mlp = 2 * gate + 2 * work.residual_bytes
    return CellBytes(
        kept=ledger.adapters + ledger.gradients + ledger.optimizer + kept + _outside_bytes(shape, row, work),
        working=max(head, decoded + layer + max(mlp, _attention_bytes(shape, row, c))),
        base=ledger.weights + ledger.constants,
    )


def _outside_bytes(shape: ModelShape, row: RowSize, work: TrainingPass) -> int:
    """Return the gradient on its way back, a cosine and a sine per number of queries and keys, and masks."""
    masks = FP32_BYTES * sum(set(work.written_pairs))
    turns = 2 * FP32_BYTES * shape.head_dim * (shape.heads + shape.kv_heads)
    return work.residual_bytes + turns * row.tokens + masks


def _attention_bytes(shape: ModelShape, row: RowSize, c: int) -> int:
    """Return backward bytes: gradients of queries, keys, values and an fp32 softmax, and their inputs."""
    width, kv_width = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    narrow = c * row.tokens * (3 * width + 2 * kv_width)
    wide = FP32_BYTES * row.tokens * (width + kv_width)
    pairs = max(queries * keys for queries, keys in row.attended)
    return narrow + wide + 2 * FP32_BYTES * shape.heads * pairs


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
        group_bytes([cell_bytes(shape, spec, rows[step], compute) for spec, rows in cells])
        for step in heaviest
    )


def _layer_numbers(shape: ModelShape) -> int:
    return sum(linear.count * linear.d_in * linear.d_out for linear in shape.linears) // shape.layers
