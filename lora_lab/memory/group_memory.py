"""Bytes that runs need side by side: the frozen base once, each cell's own, and one cell's working space.

Follows worker/training/group.py, which keeps less than the single loop: silu of the gate is computed again in
the backward, logits are never there in fp32 or for two cells at once, and what all examples begin with is
there once in a row.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from lora_lab.data.batches import RowSize
from lora_lab.memory.activations import TrainingPass
from lora_lab.memory.ledger import COMPUTE_BYTES, FP32_BYTES, Compute, predict
from lora_lab.parameters.shapes import ModelShape
from lora_lab.spec import RunSpec

BLOCK_LOGITS = 2**18
"""In fp32 while the loss is taken (worker/training/group_layer.py CACHED_LOGITS), and once more."""

TRIED_STEPS = 8


@dataclass(frozen=True, kw_only=True)
class CellBytes:
    """One cell's part of the peak."""

    kept: int
    """For all cells at once: adapter, its narrow copy, gradient, moments, activations."""

    working: int
    """For one cell at a time: logits, or the gradients on the way through one layer."""

    base: int
    """Shared: weights and constants."""


def cell_bytes(shape: ModelShape, spec: RunSpec, row: RowSize, compute: Compute) -> CellBytes:
    """What `spec` adds to a group when its decisive row has the size `row`."""
    ledger, c = predict(shape, spec, replace(row, shared=0), compute), COMPUTE_BYTES[compute]
    work = TrainingPass(
        shape=shape, adapted=shape.select(spec.targets), rank=spec.rank, dora=False, row=row, c=c
    )
    gate = row.tokens * c * shape.intermediate
    adapts_output = any(linear.role == "o" for linear in work.adapted)
    output = 0 if adapts_output else row.tokens * c * shape.heads * shape.head_dim
    if spec.checkpointing:
        narrow = ledger.adapters * c // FP32_BYTES
        kept, layer = work.checkpoint_bytes - work.mask_bytes + narrow, work.recomputed_bytes + output - gate
    else:
        # The narrow copies of A and B are in it, but for A in fp32, which the single loop needs no copy of.
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
    """The gradient on its way back; a cosine and a sine for each number of queries and keys; masks."""
    masks = FP32_BYTES * sum(set(work.written_pairs))
    turns = 2 * FP32_BYTES * shape.head_dim * (shape.heads + shape.kv_heads)
    return work.residual_bytes + turns * row.tokens + masks


def _attention_bytes(shape: ModelShape, row: RowSize, c: int) -> int:
    """In its backward: gradients of queries, keys, values beside their inputs, and of a softmax in fp32."""
    width, kv_width = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
    narrow = c * row.tokens * (3 * width + 2 * kv_width)
    wide = FP32_BYTES * row.tokens * (width + kv_width)
    pairs = max(queries * keys for queries, keys in row.attended)
    return narrow + wide + 2 * FP32_BYTES * shape.heads * pairs


def group_bytes(cells: Sequence[CellBytes]) -> int:
    """What these hold side by side at the peak of one step."""
    return cells[0].base + max(cell.working for cell in cells) + sum(cell.kept for cell in cells)


def peak_bytes(
    shape: ModelShape, cells: Sequence[tuple[RunSpec, Sequence[RowSize]]], compute: Compute
) -> int:
    """The predicted peak of a run of these, given every step's row of each.

    Each draws its own rows, so their heaviest rows seldom meet; of the steps, the heaviest few are tried. The
    first comes before there are moments.
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
