"""The adapters of a group's cells, and stacks: one wide adapter, of which each row uses its cell's part.

    h = x [A₁; A₂; ...]ᵀ, zero where a row meets another cell's columns     y = x Wᵀ + h [s₁B₁, s₂B₂, ...]ᵀ

Batched LoRA as in Punica (arXiv:2310.18547), with a mask instead of a kernel: a group of four asks a GPU
for little more than the operators of one run. Products with other cells' columns are wasted, which costs
little while the sum of ranks is small beside the model's width. On a CPU every cell is a stack of its own,
because its rows then stay in a core's cache.
"""

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from peft.tuners.lora import LoraLayer
from torch import Tensor, nn

from lora_lab.spec import RunSpec
from lora_lab.worker.training.group_products import READS, AdapterPart, Factors, get_matrix, unwrap_base
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

    def _adopt(self, parameter: nn.Parameter, start: int, size: tuple[int, ...]) -> int:
        """Make a parameter a view of the buffer with the same values; return the end of the view."""
        view = self.flat.data[start : start + parameter.numel()].view(size)
        view.copy_(parameter.data)
        parameter.data = view
        return start + parameter.numel()


@dataclass(frozen=True)
class Block:
    """A part of one cell's adapter: every A or every B, or those of one matrix in all layers."""

    stacked: Tensor  # (layers, numbers) in the stack; of a cell that is alone (1, all)
    values: Tensor  # likewise in the cell's parameters
    grad: Tensor  # likewise in its gradient
    is_b: bool


class AdapterStack:
    """The A and scaled B of several cells in the compute type, in one buffer; after a step their gradients.

    Every A comes first and then every B, each layer by layer and matrix by matrix, with a matrix's cells side
    by side. Several cells adapt the same matrices of every layer.
    """

    def __init__(self, cells: Sequence[CellAdapter], layers: Sequence[Any], dtype: torch.dtype) -> None:
        self.cells = tuple(cells)
        self._ranks = [cell.spec.rank for cell in cells]
        numbers = sum(cell.flat.numel() for cell in cells)
        a_numbers = sum(cell.a_numbers for cell in cells)
        device = cells[0].flat.device
        self.buffer = torch.empty(numbers, dtype=dtype, device=device)
        halves = self.buffer.split([a_numbers, numbers - a_numbers])
        next_a, next_b = (_Cursor(half) for half in halves)
        self.factors = [self._place(layer, next_a, next_b) for layer in layers]
        self._blocks = {cell: tuple(self._cut(place, layers, halves)) for place, cell in enumerate(cells)}
        columns = [place for place, rank in enumerate(self._ranks) for _ in range(rank)]
        self._cell_of_column = torch.tensor(columns, device=device)  # (sum of ranks,)

    def narrow(self, going: Collection[CellAdapter]) -> None:
        """Update the copies of A and the scaled B. A cell that isn't going counts as zeros: its numbers,
        which need not be finite, must not reach the others.
        """
        for cell, blocks in self._blocks.items():
            for block in blocks:
                if cell not in going:
                    block.stacked.zero_()
                elif block.is_b:
                    torch.mul(block.values, cell.spec.scaling, out=block.stacked)
                else:
                    block.stacked.copy_(block.values)

    def widen(self, going: Collection[CellAdapter]) -> None:
        """Copy the gradients, which have replaced A and the scaled B, to their cells; turn those of the
        scaled B into those of B.
        """
        for cell in going:
            for block in self._blocks[cell]:
                block.grad.copy_(block.stacked)
                if block.is_b:
                    block.grad.mul_(cell.spec.scaling)

    def gather_factors(
        self, cells: Sequence[CellAdapter], tokens: Sequence[int]
    ) -> list[tuple[Factors, ...]]:
        """Return every layer's factors for a row with so many tokens of each of these cells."""
        if len(self.cells) == 1:
            return self.factors
        places = [self.cells.index(cell) for cell in cells]
        of_token = torch.tensor(places).repeat_interleave(torch.tensor(tokens)).to(self.buffer.device)
        foreign = of_token[:, None] != self._cell_of_column  # (tokens, sum of ranks)
        return [tuple(replace(read, foreign=foreign) for read in layer) for layer in self.factors]

    def _place(self, layer: Any, next_a: "_Cursor", next_b: "_Cursor") -> tuple[Factors, ...]:
        """Build the factors of one layer from the next numbers of the stack's halves."""
        rank, found = sum(self._ranks), []
        for read in READS:
            columns = 0
            parts: list[AdapterPart | None] = []
            for name in read:
                size = _find_size(layer, name)
                if size is None:
                    parts.append(None)
                    continue
                b = next_b.take(rank * size[1]).view(rank, -1)
                parts.append(AdapterPart(columns=slice(columns, columns + rank), b=b))
                columns += rank
            d_in = int(unwrap_base(get_matrix(layer, read[0])).in_features)  # type: ignore[arg-type]
            found.append(Factors(a=next_a.take(columns * d_in).view(-1, d_in), parts=tuple(parts)))
        return tuple(found)

    def _cut(self, place: int, layers: Sequence[Any], halves: Sequence[Tensor]) -> Iterator[Block]:
        """Cut the stack's halves into the blocks of the cell at `place`."""
        cell = self.cells[place]
        alone = len(self.cells) == 1
        found = (_find_size(layers[0], name) for read in READS for name in read)
        sizes = [size for size in found if size is not None]
        widths_a, widths_b = [d_in for d_in, _ in sizes], [d_out for _, d_out in sizes]
        half_a, half_b = slice(cell.a_numbers), slice(cell.a_numbers, None)
        for is_b, whole, half, widths in (
            (False, halves[0], half_a, widths_a),
            (True, halves[1], half_b, widths_b),
        ):
            stacked, values, grad = (
                of.view(1 if alone else len(layers), -1)
                for of in (whole, cell.flat.data[half], cell.grad[half])
            )
            if alone:
                yield Block(stacked, values, grad, is_b)
                continue
            stack_start = cell_start = 0
            for width in widths:
                begin, numbers = stack_start + width * sum(self._ranks[:place]), width * self._ranks[place]
                in_stack = slice(begin, begin + numbers)
                in_cell = slice(cell_start, cell_start + numbers)
                yield Block(stacked[:, in_stack], values[:, in_cell], grad[:, in_cell], is_b)
                stack_start += width * sum(self._ranks)
                cell_start += numbers


class _Cursor:
    """Takes a buffer's numbers one part after another."""

    def __init__(self, numbers: Tensor) -> None:
        self._left = numbers

    def take(self, count: int) -> Tensor:
        """Return the next `count` numbers."""
        taken, self._left = self._left[:count], self._left[count:]
        return taken


def clip_gradients(cells: Sequence[CellAdapter]) -> list[float]:
    """Clip each cell's gradient by its own norm; return the norms, not finite where a number is not.

    The device is waited for once.
    """
    norms = read_numbers([cell.grad.norm() for cell in cells])
    for cell, norm in zip(cells, norms, strict=True):
        if norm > CLIP_NORM:
            cell.grad.mul_(CLIP_NORM / (norm + 1e-6))  # like torch's clip_grad_norm_
    return norms


def read_numbers(numbers: Sequence[Tensor]) -> list[float]:
    """Read tensors of one number each from their device, all at once."""
    return torch.stack(list(numbers)).tolist() if numbers else []


def adapts_all_layers_alike(layers: Sequence[Any]) -> bool:
    """Return whether every layer has the same adapted matrices, as stacked cells must."""
    return len({tuple(_find_size(layer, name) for read in READS for name in read) for layer in layers}) == 1


def _find_size(layer: Any, name: str) -> tuple[int, int] | None:
    """Return d_in and d_out of a matrix, None if it is not adapted."""
    matrix = get_matrix(layer, name)
    base = unwrap_base(matrix)
    return (base.in_features, base.out_features) if isinstance(matrix, LoraLayer) else None  # type: ignore[return-value]


def _find_pair(layer: Any, matrix: str, adapter: str) -> tuple[nn.Parameter, nn.Parameter] | None:
    module = get_matrix(layer, matrix)
    if not isinstance(module, LoraLayer):
        return None
    return module.lora_A[adapter].weight, module.lora_B[adapter].weight
