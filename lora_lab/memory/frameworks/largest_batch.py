"""The largest batch of each model and bit width on one GPU, and the memory that a preset needs."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from lora_lab.memory import ledger
from lora_lab.memory.frameworks.contract import as_stored
from lora_lab.memory.frameworks.families import FAMILIES
from lora_lab.memory.frameworks.forecast import largest_batch
from lora_lab.memory.frameworks.setting import StepSetting
from lora_lab.parameters.shapes import ModelShape, load_catalogue
from lora_lab.spec import Bits, RunSpec
from study.base.units import GB

CONTEXT_BYTES = round(1.4 * GB)
"""What the driver's context and libraries take in addition to the tensors: Unsloth's fixed share, measured by
them on an RTX 5070 Ti (studio/backend/utils/hardware/VRAM_ESTIMATION.md).
"""

BITS_SHOWN: tuple[Bits, ...] = ("nf4-dq", "nf4", "int8", "bf16")
GPU_SIZES_GB = (6, 8, 12, 16, 24, 32, 48, 80, 141)
"""Memory of common cards."""

PRESET_SIZES_GB = (0.25, 0.5, 1, 2, 4, 8, 16, 24, 32, 48, 80)


@dataclass(frozen=True, kw_only=True)
class BatchFit:
    """The largest batch of one model in one bit width."""

    model: str
    parameters: int
    bits: Bits
    rank: int
    seq_len: int
    batch: int
    """Sequences per step; 0 when even one is too large."""


def usual_recipe(shape: ModelShape, bits: Bits, *, rank: int, seq_len: int) -> StepSetting:
    """Build the most common setting: Trainer and peft on all linear layers, layers checkpointed, AdamW."""
    shape = as_stored(shape, separate=False)
    return StepSetting(
        shape=shape,
        adapted=shape.linears,
        rank=rank,
        bits=bits,
        framework="trainer",
        seq_len=seq_len,
        checkpointing=True,
        measure="reserved",
    )


def what_fits(
    memory_bytes: int, *, ranks: Sequence[int], lengths: Sequence[int], models: Iterable[str] | None = None
) -> list[BatchFit]:
    """List the largest batch per known model, bit width, rank and length, smallest model first."""
    names = (
        [name for name, shape in load_catalogue().items() if _is_trainable(shape)]
        if models is None
        else models
    )
    return [
        _find_fit(name, bits, rank, seq_len, memory_bytes)
        for name in names
        for bits in BITS_SHOWN
        for rank in ranks
        for seq_len in lengths
    ]


def _is_trainable(shape: ModelShape) -> bool:
    return shape.model_type in FAMILIES and shape.name != "tiny-random"


@lru_cache(maxsize=10_000)
def _find_fit(name: str, bits: Bits, rank: int, seq_len: int, memory_bytes: int) -> BatchFit:
    shape = load_catalogue()[name]
    setting = usual_recipe(shape, bits, rank=rank, seq_len=seq_len)
    batch = largest_batch(setting, memory_bytes - CONTEXT_BYTES)
    return BatchFit(
        model=name,
        parameters=shape.total_parameters,
        bits=bits,
        rank=rank,
        seq_len=seq_len,
        batch=batch,
    )


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
