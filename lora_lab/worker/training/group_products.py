"""The products of a written-out layer (group_layer.py) with its frozen matrices and each row's adapter.

Symbols: all = tokens of all rows, tokens = those of one row, h = x Aᵀ (tokens, sum of ranks),
s = alpha / rank.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lora_lab.memory import written_out

READS = tuple(tuple(f"{role}_proj" for role in roles) for roles in written_out.READS)
"""Matrices that read the same input, in the order of a layer."""

Decode = Callable[[nn.Module], Tensor]


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
class Read:
    """What products save for their backward pass."""

    x: Tensor | None
    """Their input (all, d_in), which only adapters need."""

    hs: Sequence[Tensor]  # each row's h


@dataclass(frozen=True)
class Products:
    """The products y = x Wᵀ + (x Aᵀ)(s B)ᵀ of each matrix that reads x; arXiv:2106.09685, equation 3.

    All rows have the same adapted matrices; `parts` are their tokens in x.
    """

    frozen: tuple[Any, ...]
    decode: Decode

    def forward(
        self, x: Tensor, factors: Sequence[Factors], parts: Sequence[slice]
    ) -> tuple[list[Tensor], Read]:
        """Compute x (all, d_in) -> one (all, d_out) per matrix, and what the backward pass needs."""
        hs = [own.drop_foreign(x[part] @ own.a.t()) for own, part in zip(factors, parts, strict=True)]
        outputs = []
        for number, matrix in enumerate(self.frozen):
            if factors[0].parts[number] is None:
                output = x @ self.decode(matrix).t()
            else:  # summed inside the product, which rounds once (docs/traps.md 12)
                output = x.new_empty(len(x), matrix.out_features)
                for h, own, part in zip(hs, factors, parts, strict=True):
                    adapter = own.parts[number]
                    assert adapter is not None
                    torch.mm(h[:, adapter.columns], adapter.b, out=output[part])
                output.addmm_(x, self.decode(matrix).t())
            outputs.append(output if matrix.bias is None else output + matrix.bias.to(output.dtype))
        return outputs, Read(x if factors[0].adapts else None, hs)

    def backward(
        self, grads: Sequence[Tensor], read: Read, factors: Sequence[Factors], parts: Sequence[slice]
    ) -> Tensor:
        """Compute one gradient (all, d_out) per matrix -> that of x. Gradients of A and B replace them."""
        grad_x = grads[0].new_empty(len(grads[0]), self.frozen[0].in_features)
        for h, own, part in zip(read.hs, factors, parts, strict=True):
            grad_h = torch.empty_like(h)
            for grad, adapter in zip(grads, own.parts, strict=True):
                if adapter is not None:
                    torch.mm(grad[part], adapter.b.t(), out=grad_h[:, adapter.columns])
                    torch.mm(h[:, adapter.columns].t(), grad[part], out=adapter.b)
            torch.mm(own.drop_foreign(grad_h), own.a, out=grad_x[part])
            if read.x is not None:
                torch.mm(grad_h.t(), read.x[part], out=own.a)
        for grad, matrix in zip(grads, self.frozen, strict=True):
            grad_x.addmm_(grad, self.decode(matrix))
        return grad_x

    def build_unadapted(self, like: Tensor, dtype: torch.dtype) -> Factors:
        """Build empty factors for the base model itself."""
        none = torch.empty(0, self.frozen[0].in_features, dtype=dtype, device=like.device)
        return Factors(a=none, parts=(None,) * len(self.frozen))


def get_matrix(layer: Any, name: str) -> Any:
    """Return a linear layer of a decoder layer by its last name."""
    return getattr(layer.self_attn if hasattr(layer.self_attn, name) else layer.mlp, name)


def unwrap_base(matrix: Any) -> nn.Module:
    """Return the layer without PEFT's wrapper."""
    base: nn.Module = matrix.get_base_layer() if hasattr(matrix, "get_base_layer") else matrix
    return base
