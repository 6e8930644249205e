"""The embedded model's recorded matrices, as options of a control."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from lora_lab.figures.models import ROLE_NAMES
from lora_lab.figures.recorded import read_recording

FIRST = "0-q"


@dataclass(frozen=True, kw_only=True)
class Matrix:
    layer: int
    role: str
    d_in: int
    d_out: int
    singular_values: Sequence[float]
    histogram: Mapping[str, Any]
    errors: Mapping[str, Mapping[str, float]]
    """||W - decoded|| / ||W|| by scheme and block size."""

    blocks: Sequence[Mapping[str, Any]]

    @property
    def counts(self) -> Sequence[int]:
        """Counts of scaled weights in bins of equal width from -1 to 1."""
        found: Sequence[int] = self.histogram["counts"]
        return found

    @property
    def id(self) -> str:
        return f"{self.layer}-{self.role}"

    @property
    def name(self) -> str:
        return f"layer {self.layer}, {ROLE_NAMES[self.role]}"

    @property
    def size(self) -> str:
        """Rows by columns, as text."""
        return f"{self.d_out:,} × {self.d_in:,}"


@cache
def read_matrices() -> dict[str, Matrix]:
    found = [Matrix(**one) for one in read_recording("weights")["matrices"]]
    return {matrix.id: matrix for matrix in found}


def list_matrix_options() -> list[tuple[str, str]]:
    """Return the options of a control: id and name with size."""
    return [(key, f"{matrix.name} ({matrix.size})") for key, matrix in read_matrices().items()]
