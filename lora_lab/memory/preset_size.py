"""The memory that a preset of the lab needs."""

from dataclasses import replace

from lora_lab.memory import ledger
from lora_lab.parameters.shapes import ModelShape
from lora_lab.spec import RunSpec
from study.base.units import GB

PRESET_SIZES_GB = (0.25, 0.5, 1, 2, 4, 8, 16, 24, 32, 48, 80)


def find_preset_size_gb(spec: RunSpec, shape: ModelShape) -> float:
    """Find the smallest usual memory, in GB, that holds a run of the lab's own loop in any compute type."""
    needed = max(
        ledger.predict_ledger(
            shape, replace(spec, compute_dtype=compute), ledger.find_upper_bound(spec), compute
        ).total_bytes
        for compute in ("fp32", "bf16")
        if spec.compute_dtype in ("auto", compute)
    )
    return next(size for size in (*PRESET_SIZES_GB, needed / GB) if size * GB >= needed)
