"""An update's singular values, subspaces, and W's share in them, from its factors, never multiplied out.

dW = s B A with B = Qb Rb and Aᵀ = Qa Ra is s Qb (Rb Raᵀ) Qaᵀ, and the core in the middle is only r x r: its
singular values times s are dW's, exactly, and Qb and Qa carry its singular vectors into both spaces.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from lora_lab.worker.inspect.lora_update import Update


@dataclass(frozen=True, kw_only=True)
class Directions:
    """The singular value decomposition of an update, the largest first."""

    outputs: Tensor  # (d_out, k) left singular vectors
    values: Tensor  # (k,)
    inputs: Tensor  # (d_in, k) right singular vectors


def decompose_update(update: Update) -> Directions:
    """Decompose scale · left · right exactly; k is the rank, or the shorter side of the weight."""
    left, left_core = torch.linalg.qr(update.left)  # (d_out, k), (k, rank)
    right, right_core = torch.linalg.qr(update.right.T)  # (d_in, k), (k, rank)
    u, values, vh = torch.linalg.svd(left_core @ right_core.T, full_matrices=False)
    return Directions(outputs=left @ u, values=update.scale * values, inputs=right @ vh.T)


def compute_row_directions(matrix: Tensor) -> Tensor:
    """Return right singular vectors (columns, k) of a wide matrix (rank, columns) for nonzero values."""
    _, values, vh = torch.linalg.svd(matrix, full_matrices=False)
    rows: Tensor = vh[: count_nonzero(values, max(matrix.shape))].T
    return rows


def count_nonzero(values: Tensor, longest_side: int) -> int:
    """Count the singular values that exceed rounding error (numpy's rule for a matrix's rank)."""
    if not len(values) or float(values[0]) == 0:
        return 0
    least = float(values[0]) * longest_side * torch.finfo(torch.float32).eps  # factors are saved in fp32
    return int((values > least).sum())


def compute_bases(update: Update) -> dict[str, Tensor]:
    """Return orthonormal columns per side, the strongest first: for A, B, dW's inputs and dW's outputs."""
    found = decompose_update(update)
    kept = count_nonzero(found.values, max(len(found.outputs), len(found.inputs)))
    return {
        "A": compute_row_directions(update.right),
        "B": compute_row_directions(update.left.T),
        "inputs": found.inputs[:, :kept],
        "outputs": found.outputs[:, :kept],
    }


def compute_overlap(
    one: Tensor, other: Tensor, firsts: Sequence[int], seconds: Sequence[int]
) -> list[list[float | None]]:
    """Compute phi(i, j) = ||U_iᵀ U_j||² / min(i, j), LoRA section 7.2 equation 4 (arXiv:2106.09685).

    `one` (d, k) and `other` (d, l) have orthonormal columns; None where they have fewer than i or j columns.
    """
    squares = (one.T @ other) ** 2  # (k, l)
    sums = squares.cumsum(0).cumsum(1)
    return [
        [
            float(sums[i - 1, j - 1]) / min(i, j) if i <= len(sums) and j <= sums.shape[1] else None
            for j in seconds
        ]
        for i in firsts
    ]


def sample_directions(size: int, count: int, rng: torch.Generator) -> Tensor:
    """Sample orthonormal columns (size, count) of a random subspace; Gaussians prefer no direction."""
    drawn = torch.randn(size, min(size, count), generator=rng, dtype=torch.float64)
    basis: Tensor = torch.linalg.qr(drawn)[0]
    return basis


def project_through_weight(weight: Tensor, outputs: Tensor, inputs: Tensor) -> float:
    """Compute ||Uᵀ W V||, the part of W (d_out, d_in) in the directions U (d_out, k) and V (d_in, k)."""
    kind = weight.dtype
    return float(torch.linalg.norm(outputs.to(kind).T @ (weight @ inputs.to(kind))))


def compute_spectrum(matrix: Tensor) -> Tensor:
    """Compute all singular values of a dense matrix, the largest first.

    The product with its transpose is many times faster than a decomposition; it squares rounding errors, so
    values below a thousandth of the largest are not reliable individually. Sums of squares are.
    """
    wide = matrix if matrix.shape[0] <= matrix.shape[1] else matrix.T
    squares: Tensor = torch.linalg.eigvalsh(wide @ wide.T)  # the smallest first
    return squares.clamp_min(0).sqrt().flip(0)


def compute_dora_change(update: Update, weight: Tensor) -> Tensor:
    """Compute DoRA's change of W (d_out, d_in): m (W + dW) / ||W + dW|| - W, by rows (arXiv:2402.09353)."""
    assert update.magnitude is not None
    kind = weight.dtype
    moved = weight + (update.scale * update.left @ update.right).to(kind)
    lengths: Tensor = update.magnitude.to(kind).view(-1) / moved.norm(dim=1)  # (d_out,)
    return moved * lengths[:, None] - weight
