"""What a GPU must have beside a step's tensors, and the memory that a preset needs."""

from dataclasses import replace

from lora_lab.memory import ledger
from lora_lab.parameters.shapes import ModelShape
from lora_lab.spec import RunSpec
from study.base.units import GB

CONTEXT_BYTES = round(1.4 * GB)
"""What the driver's context and libraries take in addition to the tensors: Unsloth's fixed share, measured by
them on an RTX 5070 Ti (studio/backend/utils/hardware/VRAM_ESTIMATION.md).
"""

PRESET_SIZES_GB = (0.25, 0.5, 1, 2, 4, 8, 16, 24, 32, 48, 80)


def preset_size_gb(spec: RunSpec, shape: ModelShape) -> float:
    """Find the smallest usual memory, in GB, that holds a run of the lab's own loop in any compute type."""
    needed = max(
        ledger.predict_ledger(
            shape, replace(spec, compute_dtype=compute), ledger.upper_bound(spec), compute
        ).total_bytes
        for compute in ("fp32", "bf16")
        if spec.compute_dtype in ("auto", compute)
    )
    return next(size for size in (*PRESET_SIZES_GB, needed / GB) if size * GB >= needed)
