"""The resources that a run takes of a machine, by its predicted peak: runs share a GPU while they fit.

A share of a GPU doesn't isolate memory: a run that takes too much would crash the other run on that GPU.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lora_lab.data.lab_folder import LabHome
from lora_lab.data.machine import is_gpu
from lora_lab.grids.estimate import estimate_grid
from lora_lab.runs.cost_preview import compute_of
from lora_lab.runs.sweeps import Sweep
from lora_lab.spec import RunSpec
from study.base.errors import LearnerError
from study.base.settings import Settings

PROCESS_BYTES = 400_000_000  # resident size of a worker without a model: torch 2.13, measured
GPU_EXTRA_BYTES = 1_000_000_000  # the CUDA context and the allocator's cache, which the estimate leaves out
GPU_PARTS = 20

Demand = dict[str, float]
"""Resources as Ray names them: CPU, GPU, memory in bytes."""


@dataclass(frozen=True, kw_only=True)
class Capacity:
    """The machines of a cluster and what a run takes of them."""

    nodes: tuple[Mapping[str, float], ...]
    cpus_per_run: int
    gpu_bytes: int
    """Memory of one GPU; 0 when unknown, and then no GPU is shared."""

    @classmethod
    def from_nodes(
        cls, nodes: Sequence[Mapping[str, float]], device: Mapping[str, Any], *, cpus_per_run: int | None
    ) -> "Capacity":
        """Build the capacity from Ray's nodes. `device` is what this data folder's last worker computed on.

        Without `cpus_per_run`, a run takes one processor next to a GPU, or all of the smallest machine.
        """
        has_gpus = any(node.get("GPU", 0) for node in nodes)
        whole = (
            1 if has_gpus else min((int(node["CPU"]) for node in nodes if node.get("CPU", 0) >= 1), default=1)
        )
        gpu_bytes = int(device.get("memory_bytes", 0)) if is_gpu(device) else 0
        return cls(nodes=tuple(nodes), cpus_per_run=cpus_per_run or whole, gpu_bytes=gpu_bytes)

    @property
    def has_gpus(self) -> bool:
        """Whether runs use GPUs."""
        return any(node.get("GPU", 0) for node in self.nodes)

    @property
    def largest_bytes(self) -> int:
        """The highest predicted peak that fits on some machine."""
        if self.has_gpus:
            return max(0, self.gpu_bytes - GPU_EXTRA_BYTES)
        return max(0, int(max(node.get("memory", 0) for node in self.nodes)) - PROCESS_BYTES)

    def compute_demand(self, peak_bytes: int) -> Demand | None:
        """Compute the resources of a run with that predicted peak (0 = unknown); None when it doesn't fit."""
        if self.has_gpus and not self.gpu_bytes:
            return {"CPU": self.cpus_per_run, "GPU": 1}
        if peak_bytes > self.largest_bytes:
            return None
        if not self.has_gpus:
            return {"CPU": self.cpus_per_run, "memory": peak_bytes + PROCESS_BYTES}
        needed_bytes = peak_bytes + GPU_EXTRA_BYTES if peak_bytes else self.gpu_bytes
        parts = math.ceil(GPU_PARTS * needed_bytes / self.gpu_bytes)
        return {"CPU": self.cpus_per_run, "GPU": parts / GPU_PARTS}


def predict_peaks(settings: Settings, sweep: Sweep) -> dict[RunSpec, int]:
    """Estimate the peak of every cell; the higher one where the number type is not known yet. Empty for a
    model whose shape is not known yet.
    """
    home, grid = LabHome(settings.home), sweep.grid
    device = home.describe_device()
    compute, is_known = compute_of(grid.base, device)
    lengths = home.read_lengths(grid.base.model, sweep.data_digest)
    try:
        shape = home.find_shape(grid.base.model)
    except LearnerError:
        return {}
    peaks: dict[RunSpec, int] = {}
    for assumed in (compute,) if is_known else ("fp32", "bf16"):
        found = estimate_grid(grid, shape, lengths, compute=assumed, on_gpu=is_gpu(device))
        for cell in found.cells:
            peaks[cell.spec] = max(peaks.get(cell.spec, 0), cell.ledger.total_bytes)
    return peaks
