"""One adapter of a group: its numbers in one buffer, its gradient, and clipping."""

from collections.abc import Sequence
from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from lora_lab.spec import RunSpec
from lora_lab.worker.training.group_layer import READS, AdapterPart, Factors, base_of, matrix_of
from lora_lab.worker.training.loop import CLIP_NORM


class CellAdapter:
    """A cell's adapter: all parameters in one fp32 buffer, every A and then every B, stored transposed.

    PEFT's own parameters are views of the buffer, so PEFT saves what was trained.
    """

    def __init__(self, spec: RunSpec, name: str, layers: Sequence[Any], dtype: torch.dtype) -> None:
        self.spec, self.name = spec, name
        pairs = [[[_find_pair(layer, matrix, name) for matrix in read] for read in READS] for layer in layers]
        present = [pair for layer in pairs for read in layer for pair in read if pair is not None]
        self._a_numbers = sum(a.numel() for a, _ in present)
        numbers = self._a_numbers + sum(b.numel() for _, b in present)
        self.flat = nn.Parameter(torch.empty(numbers, device=present[0][0].device))
        self.grad = torch.zeros_like(self.flat.data)
        self._narrow = torch.empty_like(self.flat.data, dtype=dtype)
        self._a_end, self._b_end = 0, self._a_numbers
        self.factors = [
            tuple(self._place(read, _d_in(layer, names)) for read, names in zip(reads, READS, strict=True))
            for reads, layer in zip(pairs, layers, strict=True)
        ]

    @property
    def kept(self) -> tuple[Tensor, ...]:
        """The tensors that stay between two steps, without moments."""
        return self.flat.data, self.grad, self._narrow

    def narrow(self) -> None:
        """Update the copies of A and the scaled B in the compute type."""
        a, b = self.flat.data[: self._a_numbers], self.flat.data[self._a_numbers :]
        self._narrow[: self._a_numbers].copy_(a)
        torch.mul(b, self.spec.scaling, out=self._narrow[self._a_numbers :])

    def finish_gradient(self) -> Tensor:
        """Widen the gradient, which has replaced the copies of A and the scaled B; turn that of the scaled B
        into that of B; return the whole gradient's norm, still on the device.
        """
        self.grad.copy_(self._narrow)
        self.grad[self._a_numbers :].mul_(self.spec.scaling)
        norm: Tensor = self.grad.norm()
        return norm

    def clip(self, norm: float) -> None:
        """Clip the gradient, whose norm is `norm`."""
        if norm > CLIP_NORM:
            self.grad.mul_(CLIP_NORM / (norm + 1e-6))  # like torch's clip_grad_norm_

    def _place(self, read: Sequence[tuple[nn.Parameter, nn.Parameter] | None], d_in: int) -> Factors:
        """Move one input's A and B into the buffer, with the A matrices stacked."""
        start, columns = self._a_end, 0
        parts: list[AdapterPart | None] = []
        for pair in read:
            if pair is None:
                parts.append(None)
                continue
            a, b = pair
            self._a_end = self._adopt(a, self._a_end, (len(a), d_in))
            place, transposed = slice(self._b_end, self._b_end + b.numel()), (len(a), len(b))
            b.data = b.data.t()
            self._b_end = self._adopt(b, self._b_end, transposed)
            b.data = b.data.t()
            parts.append(
                AdapterPart(
                    columns=slice(columns, columns + len(a)),
                    b=self._narrow[place].view(transposed),
                )
            )
            columns += len(a)
        stacked = slice(start, self._a_end)
        return Factors(
            a=self._narrow[stacked].view(-1, d_in),
            parts=tuple(parts),
        )

    def _adopt(self, parameter: nn.Parameter, start: int, size: tuple[int, int]) -> int:
        """Make a parameter a view of the buffer with the same values; return the end of the view."""
        view = self.flat.data[start : start + parameter.numel()].view(size)
        view.copy_(parameter.data)
        parameter.data = view
        return start + parameter.numel()


def _find_pair(layer: Any, matrix: str, adapter: str) -> tuple[nn.Parameter, nn.Parameter] | None:
    module = matrix_of(layer, matrix)
    if not isinstance(module, LoraLayer):
        return None
    return module.lora_A[adapter].weight, module.lora_B[adapter].weight


def _d_in(layer: Any, names: Sequence[str]) -> int:
    return int(base_of(matrix_of(layer, names[0])).in_features)  # type: ignore[arg-type]


def clip_gradients(cells: Sequence[CellAdapter]) -> list[float]:
    """Clip each cell's gradient by its own norm; return the norms, not finite where a number is not.

    The device is waited for once.
    """
    norms = read_numbers([cell.finish_gradient() for cell in cells])
    for cell, norm in zip(cells, norms, strict=True):
        cell.clip(norm)
    return norms


def read_numbers(numbers: Sequence[Tensor]) -> list[float]:
    """Read tensors of one number each from their device, all at once."""
    return torch.stack(list(numbers)).tolist() if numbers else []
