"""What common cards hold: the memory that PyTorch reports for one of each size, in bytes.

A card sold with 24 GB has 24 GiB, about 25.8 GB. The driver keeps some of it, and error
correction in GDDR memory a sixteenth; what is left is the total that PyTorch prints when memory runs out.
Reports from Linux, because Windows shows what the driver keeps as well.
"""

import re
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

_WORKSPACE_BYTES = (2 * 4096 + 8 * 16) * 1024
_LARGE_WORKSPACE_BYTES = 8 * 4096 * 1024
_LARGE_WORKSPACE_MAJORS = (9, 10, 12)
"""The major compute capabilities with the larger one: Hopper and Blackwell."""

_WORKSPACE_CONFIG = re.compile(r":(\d+):(\d+)")
"""As cuBLAS reads `CUBLAS_WORKSPACE_CONFIG`: sizes in KiB, each with how many of it, as in `:4096:2:16:8`."""

MULTIPLYING_THREADS = 2
"""The one that runs forward passes, and the one in which PyTorch runs backward passes on a device."""


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


def compute_workspace_bytes(major: int, config: str = "") -> int:
    """Return the bytes of the workspaces that cuBLAS keeps in a process that trains on one NVIDIA GPU.

    PyTorch gives cuBLAS one for each thread that multiplies, and cuBLASLt shares it: 32 MiB on GPUs of
    compute capability `major` 9, 10 and 12, else 2 of 4 MiB and 8 of 16 KiB, or what the environment
    variable CUBLAS_WORKSPACE_CONFIG says (pytorch, aten/src/ATen/cuda/CublasHandlePool.cpp,
    parseChosenWorkspaceSize).
    """
    each_bytes = _LARGE_WORKSPACE_BYTES if major in _LARGE_WORKSPACE_MAJORS else _WORKSPACE_BYTES
    if sizes := _WORKSPACE_CONFIG.findall(config):
        each_bytes = sum(int(kib) * 1024 * int(count) for kib, count in sizes)
    return MULTIPLYING_THREADS * each_bytes
