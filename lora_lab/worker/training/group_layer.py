"""One decoder layer of Llama's family on frozen weights, for one adapter or several stacked as one.

    x ── norm ── q k v ── attention ── o ──(+)── norm ── gate up ── silu · ── down ──(+)──
    └──────────────────────────────────────┘ └──────────────────────────────────────────┘

The same mathematics as the library's layer with the lab's products (lora_matmul.py), with explicit forward
and backward, so nothing is computed twice and no graph is built. The tokens of all rows go through a frozen
matrix in one product, which is faster (docs/performance.md). Norms and residual streams take one row at a
time: 350 tokens stay in a core's cache, where an elementwise operator is ten times as fast as on four rows at
once. Attention, whose operators are small, takes neighbours with the same batch at once. On a GPU several
adapters have one row (adapter_stack.py). In the forward pass, operators round as the library's do, except the
gate's, which round once.

Number types are explicit, so nothing here runs under autocast.

Symbols: all = tokens of all rows, tokens = those of one row, h = x Aᵀ (tokens, sum of ranks),
s = alpha / rank.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from lora_lab.memory import written_out
from lora_lab.worker.device.gpu import on_gpu
from lora_lab.worker.training.group_attention import (
    Attended,
    Positions,
    attention_backward,
    compute_attention,
)
from lora_lab.worker.training.group_products import (
    READS,
    Decode,
    Factors,
    Products,
    Read,
    get_matrix,
    unwrap_base,
)

# ---- norm and gate


@dataclass(frozen=True)
class Norm:
    """RMS norm: weight · x / rms(x), from the fp32 residual to the compute type."""

    weight: Tensor  # (hidden,), fp32
    eps: float
    dtype: torch.dtype

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Compute x (tokens, hidden) fp32 -> the same shape in the compute type, and each token's scale."""
        scale = x.pow(2).mean(-1, keepdim=True).add_(self.eps).rsqrt_()
        return multiply_into(x * scale, self.weight, self.dtype), scale

    def forward_rows(self, xs: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        """Compute the same of several rows: one output (all, hidden), and each row's scales."""
        found = [self.forward(x) for x in xs]
        return join([normed for normed, _ in found]), [scale for _, scale in found]

    def backward(self, grad: Tensor, x: Tensor, scale: Tensor, total: Tensor | None = None) -> Tensor:
        """Compute grad (like the output) -> fp32 gradient of x, added to `total` if that is given."""
        weighted = grad * self.weight
        # With g = grad · weight, r = scale: grad_x = r g - x r³ mean(g x).
        along = (weighted * x).mean(-1, keepdim=True).mul_(scale.pow(3))
        total = weighted.mul_(scale) if total is None else total.addcmul_(weighted, scale)
        return total.addcmul_(x, along, value=-1)

    def backward_rows(
        self, grad: Tensor, xs: Sequence[Tensor], scales: Sequence[Tensor], totals: Sequence[Tensor]
    ) -> None:
        """Add the gradients of several rows, of whose output `grad` is that, to their totals."""
        own = grad.split([len(x) for x in xs])
        for grad_of_row, x, scale, total in zip(own, xs, scales, totals, strict=True):
            self.backward(grad_of_row, x, scale, total=total)


def multiply_into(x: Tensor, y: Tensor, dtype: torch.dtype) -> Tensor:
    """Compute x · y in fp32, rounded once to `dtype`; in the memory of x, which is fp32, if it has that type.

    On a GPU this is one kernel.
    """
    return torch.mul(x, y, out=x if x.dtype == dtype else torch.empty_like(x, dtype=dtype))


SILU = torch.ops.aten.silu.out


def apply_gate(gate: Tensor, up: Tensor, parts: Sequence[slice]) -> Tensor:
    """Compute silu(gate) · up in fp32, rounded once to the compute type; row by row.

    Rounded after the silu and again after the product, a gradient of the embedded model after three steps has
    a cosine of 0.9989 with fp32's instead of 0.9993, in the same time.
    """
    gated = torch.empty_like(gate)
    for part in parts:
        if gate.dtype == torch.float32:
            SILU(gate[part], out=gated[part]).mul_(up[part])
        else:
            gated[part] = F.silu(gate[part].float(), inplace=True).mul_(up[part])
    return gated


def gated_backward(grad: Tensor, gate: Tensor, up: Tensor, parts: Sequence[slice]) -> tuple[Tensor, Tensor]:
    """Compute gradients of silu(gate) · up, in the memory of `grad` and `gate`; silu is recomputed."""
    grad_up = torch.empty_like(gate)
    for part in parts:
        own, gated = grad[part], gate[part]
        SILU(gated, out=grad_up[part]).mul_(own)
        torch.ops.aten.silu_backward(own.mul_(up[part]), gated, grad_input=gated)
    return gate, grad_up


# ---- the loss


def answer_losses(logits: Tensor, targets: Tensor) -> Tensor:
    """Compute cross-entropy (answers,) in fp32; `logits` (answers, vocab) become the gradient of its mean.

    On a CPU a few rows at a time stay in a core's cache: a quarter of the time, and no fp32 copy of all
    logits.
    """
    losses = torch.empty(len(logits), device=logits.device)
    step = written_out.choose_answers_per_block(logits.shape[1], on_gpu=on_gpu(logits.device))
    for start in range(0, len(logits), step):
        part = slice(start, start + step)
        wide, at_target = logits[part].float(), targets[part, None]
        chosen = wide.gather(1, at_target)
        highest = wide.amax(-1, keepdim=True)
        total = wide.sub_(highest).exp_().sum(-1, keepdim=True)
        losses[part] = (total.log() + highest - chosen)[:, 0]
        # Gradient of the mean loss: (softmax - onehot(target)) / number of answers.
        wide.div_(total.mul_(len(logits)))
        logits[part] = wide.scatter_add_(1, at_target, torch.full_like(chosen, -1 / len(logits)))
    return losses


# ---- the layer


@dataclass(frozen=True, kw_only=True)
class AlikeRows:
    """Neighbouring rows with the same positions, which attend together."""

    count: int
    part: slice
    """Their tokens among those of all rows."""

    positions: Positions

    def cut(self, x: Tensor) -> Tensor:
        """Return these rows of x (all, width) as (rows, tokens, width)."""
        return x[self.part].view(self.count, -1, x.shape[1])


@dataclass(frozen=True, kw_only=True)
class RowPlaces:
    """The places of a step's rows in tensors of all tokens."""

    parts: Sequence[slice]
    alike: Sequence[AlikeRows]


def place_rows(positions: Sequence[Positions]) -> RowPlaces:
    """Place rows with these positions one after another; neighbours are alike where their examples are as
    long.
    """
    parts: list[slice] = []
    alike: list[AlikeRows] = []
    end = 0
    for _, neighbours in groupby(positions, lambda of: (of.lengths, of.shared)):
        same = list(neighbours)
        start, tokens = end, sum(same[0].lengths)
        end = start + len(same) * tokens
        parts += [slice(first, first + tokens) for first in range(start, end, tokens)]
        alike.append(AlikeRows(count=len(same), part=slice(start, end), positions=same[0]))
    return RowPlaces(parts=parts, alike=alike)


@dataclass(frozen=True)
class SavedByAttention:
    """What attention with its norm and products saves for the backward pass: lists have an entry per row,
    `attended` one per set of rows that are alike.
    """

    xs: Sequence[Tensor]
    scales: Sequence[Tensor]
    read: Read  # by q, k and v
    read_o: Read
    attended: Sequence[Attended]
    output: Tensor
    middle: Sequence[Tensor]  # the residual between attention and MLP


@dataclass(frozen=True)
class Saved:
    """What one layer saves for the backward pass."""

    attention: SavedByAttention
    scales: Sequence[Tensor]
    read: Read  # by gate and up
    read_down: Read
    gate: Tensor
    up: Tensor


class GroupedLayer:
    """The frozen parts of a decoder layer, used by one row or several."""

    def __init__(self, layer: Any, decode: Decode, dtype: torch.dtype) -> None:
        self._norms = tuple(
            Norm(norm.weight, norm.variance_epsilon, dtype)
            for norm in (layer.input_layernorm, layer.post_attention_layernorm)
        )
        self._products = tuple(
            Products(tuple(unwrap_base(get_matrix(layer, name)) for name in names), decode) for names in READS
        )
        self.matrices = tuple(matrix for products in self._products for matrix in products.frozen)
        self._dtype = dtype
        like = layer.input_layernorm.weight
        self.unadapted = tuple(products.build_unadapted(like, dtype) for products in self._products)

    def forward(
        self, xs: Sequence[Tensor], factors: Sequence[tuple[Factors, ...]], rows: RowPlaces
    ) -> tuple[list[Tensor], Saved]:
        """Compute each row's fp32 residual stream (tokens, hidden) -> the same after this layer."""
        attention = self._attend(xs, factors, rows)
        return self._transform(attention, factors, rows)

    def _attend(
        self, xs: Sequence[Tensor], factors: Sequence[tuple[Factors, ...]], rows: RowPlaces
    ) -> SavedByAttention:
        """Compute the residual streams after attention, with what its backward pass needs."""
        (qkv, o, _, _), parts = self._products, rows.parts
        normed, scales = self._norms[0].forward_rows(xs)
        (q, k, v), read = qkv.forward(normed, [of[0] for of in factors], parts)
        del normed  # frees what no one saved
        found = [
            compute_attention(alike.cut(q), alike.cut(k), alike.cut(v), alike.positions)
            for alike in rows.alike
        ]
        output = join([own.flatten(0, 1) for own, _ in found])
        attended = [saved for _, saved in found]
        del q, k, v, found
        (added,), read_o = o.forward(output, [of[1] for of in factors], parts)
        middle = [x + added[part] for x, part in zip(xs, parts, strict=True)]
        return SavedByAttention(xs, scales, read, read_o, attended, output, middle)

    def _transform(
        self, attention: SavedByAttention, factors: Sequence[tuple[Factors, ...]], rows: RowPlaces
    ) -> tuple[list[Tensor], Saved]:
        """Compute the residual streams after the MLP, and what the whole layer saves."""
        (_, _, gate_up, down), parts = self._products, rows.parts
        normed, scales = self._norms[1].forward_rows(attention.middle)
        (gate, up), read = gate_up.forward(normed, [of[2] for of in factors], parts)
        del normed
        (added,), read_down = down.forward(apply_gate(gate, up, parts), [of[3] for of in factors], parts)
        saved = Saved(attention, scales, read, read_down, gate, up)
        return [x + added[part] for x, part in zip(attention.middle, parts, strict=True)], saved

    def backward(
        self,
        totals: Sequence[Tensor],
        saved: Saved,
        factors: Sequence[tuple[Factors, ...]],
        rows: RowPlaces,
    ) -> None:
        """Turn the fp32 gradients of the layer's outputs, one per row, into those of its inputs."""
        first, second = self._norms
        qkv, o, gate_up, down = self._products
        parts = rows.parts
        grad_unit = down.backward([self._narrow(totals)], saved.read_down, [of[3] for of in factors], parts)
        grads: Sequence[Tensor] = gated_backward(grad_unit, saved.gate, saved.up, parts)
        del grad_unit  # frees its memory for the next tensors
        grad_normed = gate_up.backward(grads, saved.read, [of[2] for of in factors], parts)
        del grads
        before = saved.attention
        second.backward_rows(grad_normed, before.middle, saved.scales, totals)
        del grad_normed
        grad_output = o.backward([self._narrow(totals)], before.read_o, [of[1] for of in factors], parts)
        found = [
            attention_backward(alike.cut(grad_output), alike.cut(before.output), attended, alike.positions)
            for alike, attended in zip(rows.alike, before.attended, strict=True)
        ]
        del grad_output
        grads = [join([part.flatten(0, 1) for part in of_rows]) for of_rows in zip(*found, strict=True)]
        del found
        grad_normed = qkv.backward(grads, before.read, [of[0] for of in factors], parts)
        del grads
        first.backward_rows(grad_normed, before.xs, before.scales, totals)

    def _narrow(self, totals: Sequence[Tensor]) -> Tensor:
        """Return all rows' gradients (all, hidden) in the compute type."""
        return join([total.to(self._dtype) for total in totals])


@dataclass(frozen=True, kw_only=True)
class RowStart:
    """A row before the first layer: of one cell, or of several whose adapters are stacked."""

    embedded: Tensor  # (tokens, hidden), fp32
    answers: Sequence[tuple[Tensor, Tensor]]
    """Positions in the row and targets of each cell's answers."""

    positions: Positions
    factors: Sequence[tuple[Factors, ...]]  # of each layer


class Activations:
    """Rows on their way through the layers and back."""

    def __init__(self, starts: Sequence[RowStart], *, checkpointing: bool = False) -> None:
        self.states = [start.embedded for start in starts]
        self.answers = [start.answers for start in starts]
        self._rows = place_rows([start.positions for start in starts])
        self._factors = list(zip(*(start.factors for start in starts), strict=True))
        self._checkpointing = checkpointing
        self._tape: list[Sequence[Tensor] | Saved] = []
        self._grads: list[Tensor] = []

    def forward(self, layer: GroupedLayer, number: int, *, keep: bool) -> None:
        """Run one layer forward; with `keep`, save what its backward pass needs."""
        xs = self.states
        self.states, saved = layer.forward(xs, self._factors[number], self._rows)
        if keep:
            self._tape.append(xs if self._checkpointing else saved)

    def backward(self, layer: GroupedLayer, number: int) -> None:
        """Run the most recent layer backward."""
        factors, saved = self._factors[number], self._tape.pop()
        if not isinstance(saved, Saved):
            saved = layer.forward(saved, factors, self._rows)[1]
        layer.backward(self._grads, saved, factors, self._rows)

    def start_backward(self, number: int, grads: Sequence[Tensor]) -> None:
        """Take each cell's gradient (answers, hidden) of its answers' tokens of a row's last state, and free
        that state, which the backward pass doesn't need.
        """
        size = self.states[number].shape
        self.states[number] = grads[0].new_empty(0)
        self._grads.append(grads[0].new_zeros(size))
        for (keep, _), grad in zip(self.answers[number], grads, strict=True):
            self._grads[-1].index_copy_(0, keep, grad)


def join(parts: Sequence[Tensor]) -> Tensor:
    """Concatenate rows' tensors (tokens, ...); one alone is not copied."""
    return parts[0] if len(parts) == 1 else torch.cat(list(parts))
