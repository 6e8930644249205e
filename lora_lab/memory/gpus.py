"""What common cards hold: the memory that PyTorch reports for one of each size, in bytes.

A card sold with 24 GB has 24 GiB, about 25.8 GB. The driver keeps some of it, and error
correction in GDDR memory a sixteenth; what is left is the total that PyTorch prints when memory runs out.
Reports from Linux, because Windows shows what the driver keeps as well.
"""

from dataclasses import dataclass
from pathlib import Path

from study.base.units import GB
from study.base.yaml_loader import load_yaml

CUDA_OVERHEAD_BYTES = round(1.4 * GB)
"""What must stay free beside what the allocator reserves, for the driver and PyTorch's runtime: the fixed
share of Unsloth's estimate, calibrated by them on an RTX 5070 Ti (unslothai/unsloth,
studio/backend/utils/hardware/VRAM_ESTIMATION.md). More than the context alone, which
frameworks/forecast.CONTEXT_BYTES counts in what a driver shows: a verdict "it fits" needs room for the worst.
"""


@dataclass(frozen=True, kw_only=True)
class GpuModel:
    gb: int
    """The size that people call it by."""

    names: str
    reported: str
    """The card of that size whose report is counted."""

    gib: float
    source: str
    sold_gb: int | None = None
    """The size it is sold by, where error correction takes a sixteenth of that."""

    @property
    def nominal_bytes(self) -> int:
        """The size that people call it by, in GiB, before the driver keeps some."""
        return self.gb * 2**30

    @property
    def total_bytes(self) -> int:
        """What a process can take of it, its own CUDA context included."""
        return round(self.gib * 2**30)


_ROWS = load_yaml(Path(__file__).with_name("gpus.yaml").read_text("utf-8"))
GPUS: dict[int, GpuModel] = {row["gb"]: GpuModel(**row) for row in _ROWS}
"""By the size that people call them by, smallest first."""
