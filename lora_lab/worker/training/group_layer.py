"""One decoder layer of Llama's family on frozen weights, for one adapter or several stacked as one.

    x ── norm ── q k v ── attention ── o ──(+)── norm ── gate up ── silu · ── down ──(+)──
    └──────────────────────────────────────┘ └──────────────────────────────────────────┘

The same mathematics as the library's layer with the lab's products (lora_matmul.py), with explicit forward
and backward, so nothing is computed twice and no graph is built. On a CPU, each call works on one adapter's
rows: 350 rows stay in a core's cache, where an elementwise operator is ten times as fast as on four adapters'
rows at once; on a GPU adapters are stacked (adapter_stack.py). In the forward pass, operators round as the
library's do, except the gate's, which round once.

Number types are explicit, so nothing here runs under autocast.

Symbols: tokens = tokens of the row, h = x Aᵀ (tokens, sum of ranks), s = alpha / rank.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lora_lab.memory import written_out
from lora_lab.worker.device.gpu import on_gpu
from lora_lab.worker.training.group_attention import (
    Attended,
    Positions,
    attention_backward,
    compute_attention,
)

READS = tuple(tuple(f"{role}_proj" for role in roles) for roles in written_out.READS)
"""Matrices that read the same input, in the order of a layer."""

Decode = Callable[[nn.Module], Tensor]


# ---- products


@dataclass(frozen=True, kw_only=True)
class AdapterPart:
    """One adapter's B of one matrix."""

    columns: slice
    """Its columns of h = x Aᵀ."""

    b: Tensor  # (rank, d_out): Bᵀ, scaled, in the compute type; after the backward pass its gradient


@dataclass(frozen=True, kw_only=True)
class Factors:
    """An adapter's A and B of all matrices that read the same input; None for a matrix it does not adapt."""

    a: Tensor  # (sum of ranks, d_in) in the compute type; after the backward pass its gradient
    parts: tuple[AdapterPart | None, ...]
    foreign: Tensor | None = None
    """Of stacked cells: where a row meets a column of another cell's A (tokens, sum of the cells' ranks)."""

    @property
    def adapts(self) -> bool:
        """Whether it adapts any of the matrices."""
        return len(self.a) > 0

    def drop_foreign(self, h: Tensor) -> Tensor:
        """Set to zero what a row has in other cells' columns of h (tokens, sum of ranks) or its gradient."""
        if self.foreign is not None:
            h.view(len(h), -1, self.foreign.shape[1]).masked_fill_(self.foreign[:, None], 0)
        return h


@dataclass(frozen=True)
class Products:
    """The products y = x Wᵀ + (x Aᵀ)(s B)ᵀ of each matrix that reads x; arXiv:2106.09685, equation 3."""

    frozen: tuple[Any, ...]
    decode: Decode

    def forward(self, x: Tensor, factors: Factors) -> tuple[list[Tensor], tuple[Tensor, Tensor]]:
        """Compute x (tokens, d_in) -> one (tokens, d_out) per matrix, and what the backward pass needs."""
        h = factors.drop_foreign(x @ factors.a.t())  # (tokens, d_in) -> (tokens, sum of ranks)
        outputs = []
        for matrix, part in zip(self.frozen, factors.parts, strict=True):
            if part is None:
                output = x @ self.decode(matrix).t()
            else:  # summed inside the product, which rounds once (docs/traps.md 12)
                output = (h[:, part.columns] @ part.b).addmm_(x, self.decode(matrix).t())
            outputs.append(output if matrix.bias is None else output + matrix.bias.to(output.dtype))
        return outputs, (x if factors.adapts else h, h)

    def backward(self, grads: Sequence[Tensor], saved: tuple[Tensor, Tensor], factors: Factors) -> Tensor:
        """Compute one gradient (tokens, d_out) per matrix -> that of x. Gradients of A and B replace them."""
        x, h = saved
        grad_h = torch.empty_like(h)
        for grad, part in zip(grads, factors.parts, strict=True):
            if part is not None:
                torch.mm(grad, part.b.t(), out=grad_h[:, part.columns])  # (tokens, d_out) -> (tokens, rank)
                torch.mm(h[:, part.columns].t(), grad, out=part.b)
        grad_x = factors.drop_foreign(grad_h) @ factors.a
        if factors.adapts:
            torch.mm(grad_h.t(), x, out=factors.a)
        for grad, matrix in zip(grads, self.frozen, strict=True):
            grad_x.addmm_(grad, self.decode(matrix))
        return grad_x

    def unadapted(self, like: Tensor, dtype: torch.dtype) -> Factors:
        """Build empty factors for the base model itself."""
        none = torch.empty(0, self.frozen[0].in_features, dtype=dtype, device=like.device)
        return Factors(a=none, parts=(None,) * len(self.frozen))


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

    def backward(self, grad: Tensor, x: Tensor, scale: Tensor, total: Tensor | None = None) -> Tensor:
        """Compute grad (like the output) -> fp32 gradient of x, added to `total` if that is given."""
        weighted = grad * self.weight
        # With g = grad · weight, r = scale: grad_x = r g - x r³ mean(g x).
        along = (weighted * x).mean(-1, keepdim=True).mul_(scale.pow(3))
        total = weighted.mul_(scale) if total is None else total.addcmul_(weighted, scale)
        return total.addcmul_(x, along, value=-1)


def multiply_into(x: Tensor, y: Tensor, dtype: torch.dtype) -> Tensor:
    """Compute x · y in fp32, rounded once to `dtype`; in the memory of x, which is fp32, if it has that type.

    On a GPU this is one kernel.
    """
    return torch.mul(x, y, out=x if x.dtype == dtype else torch.empty_like(x, dtype=dtype))


def apply_gate(gate: Tensor, up: Tensor) -> Tensor:
    """Compute silu(gate) · up in fp32, rounded once to the compute type.

    Rounded after the silu and again after the product, a gradient of the embedded model after three steps has
    a cosine of 0.9989 with fp32's instead of 0.9993, in the same time.
    """
    if gate.dtype == torch.float32:
        return F.silu(gate).mul_(up)
    return F.silu(gate.float(), inplace=True).mul_(up).to(gate.dtype)


def gated_backward(grad: Tensor, gate: Tensor, up: Tensor) -> tuple[Tensor, Tensor]:
    """Compute gradients of silu(gate) · up, in the memory of `grad` and `gate`; silu is recomputed."""
    grad_up = F.silu(gate).mul_(grad)
    torch.ops.aten.silu_backward(grad.mul_(up), gate, grad_input=gate)
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


@dataclass(frozen=True)
class SavedByAttention:
    """What attention with its norm and products saves for the backward pass of one row."""

    x: Tensor
    scale: Tensor
    read: tuple[Tensor, Tensor]  # input and h of q, k and v
    read_o: tuple[Tensor, Tensor]
    attended: Attended
    output: Tensor
    middle: Tensor  # the residual between attention and MLP


@dataclass(frozen=True)
class Saved:
    """What one layer saves for the backward pass of one row."""

    attention: SavedByAttention
    scale: Tensor
    read: tuple[Tensor, Tensor]  # input and h of gate and up
    read_down: tuple[Tensor, Tensor]
    gate: Tensor
    up: Tensor


class GroupedLayer:
    """The frozen parts of a decoder layer, used by one adapter or stack after the other."""

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
        self.unadapted = tuple(products.unadapted(like, dtype) for products in self._products)

    def forward(self, x: Tensor, factors: Sequence[Factors], positions: Positions) -> tuple[Tensor, Saved]:
        """Compute the fp32 residual stream (tokens, hidden) of one row -> the same after this layer."""
        attention = self._attend(x, factors, positions)
        return self._transform(attention, factors)

    def _attend(self, x: Tensor, factors: Sequence[Factors], positions: Positions) -> "SavedByAttention":
        """Compute the residual stream after attention, with what its backward pass needs."""
        qkv, o, _, _ = self._products
        normed, scale = self._norms[0].forward(x)
        (q, k, v), read = qkv.forward(normed, factors[0])
        output, attended = compute_attention(q, k, v, positions)
        del normed, q, k, v  # frees what no one saved
        (added,), read_o = o.forward(output, factors[1])
        return SavedByAttention(x, scale, read, read_o, attended, output, x + added)

    def _transform(self, attention: "SavedByAttention", factors: Sequence[Factors]) -> tuple[Tensor, Saved]:
        """Compute the residual stream after the MLP, and what the whole layer saves."""
        _, _, gate_up, down = self._products
        normed, scale = self._norms[1].forward(attention.middle)
        (gate, up), read = gate_up.forward(normed, factors[2])
        del normed
        (added,), read_down = down.forward(apply_gate(gate, up), factors[3])
        saved = Saved(attention, scale, read, read_down, gate, up)
        return attention.middle + added, saved

    def backward(
        self, grad: Tensor, saved: Saved, factors: Sequence[Factors], positions: Positions
    ) -> Tensor:
        """Compute the fp32 gradient of the layer's output -> that of its input, in the same memory."""
        first, second = self._norms
        qkv, o, gate_up, down = self._products
        grad_unit = down.backward([grad.to(self._dtype)], saved.read_down, factors[3])
        grads: Sequence[Tensor] = gated_backward(grad_unit, saved.gate, saved.up)
        del grad_unit  # frees its memory for the next tensors
        grad_normed = gate_up.backward(grads, saved.read, factors[2])
        del grads
        before = saved.attention
        second.backward(grad_normed, before.middle, saved.scale, total=grad)
        del grad_normed
        grad_output = o.backward([grad.to(self._dtype)], before.read_o, factors[1])
        grads = attention_backward(grad_output, before.output, before.attended, positions)
        del grad_output
        grad_normed = qkv.backward(grads, before.read, factors[0])
        del grads
        return first.backward(grad_normed, before.x, before.scale, total=grad)


class RowActivations:
    """A row on its way through the layers and back, with its activations: of one cell, or of several whose
    adapters are stacked.
    """

    def __init__(
        self,
        embedded: Tensor,
        answers: Sequence[tuple[Tensor, Tensor]],
        positions: Positions,
        factors: Sequence[tuple[Factors, ...]],
        *,
        checkpointing: bool = False,
    ) -> None:
        self.state = embedded
        self.grad: Tensor | None = None
        self.answers = answers
        """Positions in the row and targets of each cell's answers."""

        self._positions, self._factors, self._checkpointing = positions, factors, checkpointing
        self._tape: list[Tensor | Saved] = []

    def forward(self, layer: GroupedLayer, number: int, *, keep: bool) -> None:
        """Run one layer forward; with `keep`, save what its backward pass needs."""
        x = self.state
        self.state, saved = layer.forward(x, self._factors[number], self._positions)
        if keep:
            self._tape.append(x if self._checkpointing else saved)

    def backward(self, layer: GroupedLayer, number: int) -> None:
        """Run the most recent layer backward."""
        factors, saved = self._factors[number], self._tape.pop()
        if isinstance(saved, Tensor):
            saved = layer.forward(saved, factors, self._positions)[1]
        assert self.grad is not None
        self.grad = layer.backward(self.grad, saved, factors, self._positions)

    def end_forward(self, grads: Sequence[Tensor]) -> None:
        """Take each cell's gradient (answers, hidden) of its answers' rows of the last layer's output, and
        free that output, which the backward pass doesn't need.
        """
        size = self.state.shape
        del self.state
        self.grad = grads[0].new_zeros(size)
        for (keep, _), grad in zip(self.answers, grads, strict=True):
            self.grad.index_copy_(0, keep, grad)


def get_matrix(layer: Any, name: str) -> Any:
    """Return a linear layer of a decoder layer by its last name."""
    return getattr(layer.self_attn if hasattr(layer.self_attn, name) else layer.mlp, name)


def unwrap_base(matrix: Any) -> nn.Module:
    """Return the layer without PEFT's wrapper."""
    base: nn.Module = matrix.get_base_layer() if hasattr(matrix, "get_base_layer") else matrix
    return base
