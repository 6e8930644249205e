"""One adapter of a group: its numbers in one buffer, its gradient, and clipping."""

from collections.abc import Sequence
from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from lora_lab.spec import RunSpec
from lora_lab.worker.training.group_layer import READS, matrix_of
from lora_lab.worker.training.loop import CLIP_NORM


class CellAdapter:
    """A cell's adapter: all parameters in one fp32 buffer, every A and then every B, stored transposed.

    Within each half, layer by layer. PEFT's own parameters are views of the buffer, so PEFT saves what was
    trained.
    """

    def __init__(self, spec: RunSpec, name: str, layers: Sequence[Any]) -> None:
        self.spec, self.name = spec, name
        found = [_find_pair(layer, matrix, name) for layer in layers for read in READS for matrix in read]
        pairs = [pair for pair in found if pair is not None]
        self.a_numbers = sum(a.numel() for a, _ in pairs)
        numbers = self.a_numbers + sum(b.numel() for _, b in pairs)
        self.flat = nn.Parameter(torch.empty(numbers, device=pairs[0][0].device))
        self.grad = torch.zeros_like(self.flat.data)
        end = 0
        for a, _ in pairs:
            end = self._adopt(a, end, tuple(a.shape))
        for _, b in pairs:
            b.data = b.data.t()
            end = self._adopt(b, end, tuple(b.shape))
            b.data = b.data.t()

    def clip(self, norm: float) -> None:
        """Clip the gradient, whose norm is `norm`."""
        if norm > CLIP_NORM:
            self.grad.mul_(CLIP_NORM / (norm + 1e-6))  # like torch's clip_grad_norm_

    def _adopt(self, parameter: nn.Parameter, start: int, size: tuple[int, ...]) -> int:
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


def clip_gradients(cells: Sequence[CellAdapter]) -> list[float]:
    """Clip each cell's gradient by its own norm; return the norms, not finite where a number is not.

    The device is waited for once.
    """
    norms = read_numbers([cell.grad.norm() for cell in cells])
    for cell, norm in zip(cells, norms, strict=True):
        cell.clip(norm)
    return norms


def read_numbers(numbers: Sequence[Tensor]) -> list[float]:
    """Read tensors of one number each from their device, all at once."""
    return torch.stack(list(numbers)).tolist() if numbers else []
