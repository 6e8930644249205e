"""The embedded model's recorded matrices, as a control offers them."""

from dataclasses import dataclass
from functools import cache
from typing import Any

from lora_lab.figures.models import ROLE_NAMES
from lora_lab.figures.recorded import recorded

FIRST = "0-q"


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """One weight matrix as it was recorded."""

    layer: int
    role: str
    d_in: int
    d_out: int
    singular_values: tuple[float, ...]
    counts: tuple[int, ...]
    """Scaled weights in bins of equal width from -1 to 1."""

    errors: dict[str, dict[str, float]]
    """||W - decoded|| / ||W|| by scheme and block size."""

    blocks: tuple[dict[str, Any], ...]

    @property
    def id(self) -> str:
        """As in an address."""
        return f"{self.layer}-{self.role}"

    @property
    def name(self) -> str:
        """As a learner reads it."""
        return f"layer {self.layer}, {ROLE_NAMES[self.role]}"

    @property
    def size(self) -> str:
        """Rows by columns."""
        return f"{self.d_out:,} × {self.d_in:,}"


@cache
def matrices() -> dict[str, Matrix]:
    """All that were recorded, by id."""
    found = [
        Matrix(
            layer=one["layer"],
            role=one["role"],
            d_in=one["d_in"],
            d_out=one["d_out"],
            singular_values=tuple(one["singular_values"]),
            counts=tuple(one["histogram"]["counts"]),
            errors=one["errors"],
            blocks=tuple(one["blocks"]),
        )
        for one in recorded("weights")["matrices"]
    ]
    return {matrix.id: matrix for matrix in found}


def matrix_options() -> list[tuple[str, str]]:
    """For a control."""
    return [(key, f"{matrix.name} ({matrix.size})") for key, matrix in matrices().items()]
