"""What training keeps for the adapter between two steps: parameters, gradients and optimizer moments."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from lora_lab.parameters.shapes import Linear
from lora_lab.spec import Optimizer, RunSpec, Variant

FP32_BYTES = 4
ADAM_BYTES_PER_PARAMETER = 8  # two fp32 moments
ADAM_BYTES_PER_TENSOR = 4  # its step counter

# bitsandbytes 0.50.2, optim/optimizer.py, init_state
SMALLEST_8BIT_NUMBERS = 4096
SMALLEST_PAGED_NUMBERS = 100_000  # get_state_buffer: a smaller tensor keeps its moments on the GPU
MOMENT_BLOCK = 256
CODE_MAP_BYTES = 256 * FP32_BYTES  # one map per moment, shared by all tensors
STEP_COPIES_8BIT = 5  # fp32: both moments, the gradient, the square root of one and the quotient


@dataclass(frozen=True)
class Tensors:
    """`count` trained tensors of `numbers` each."""

    numbers: int
    count: int


def list_trained_tensors(adapted: Iterable[Linear], *, rank: int, variant: Variant) -> Iterator[Tensors]:
    """Yield A and B of each adapted matrix, and DoRA's magnitude."""
    for linear in adapted:
        yield Tensors(rank * linear.d_in, linear.count)
        yield Tensors(rank * linear.d_out, linear.count)
        if variant == "dora":
            yield Tensors(linear.d_out, linear.count)


def compute_parameter_bytes(tensors: Iterable[Tensors]) -> int:
    """Return bytes of the trained parameters, fp32; their gradients take the same."""
    return sum(FP32_BYTES * each.numbers * each.count for each in tensors)


def optimizer_bytes(tensors: Iterable[Tensors], optimizer: Optimizer) -> int:
    """Return bytes of moments, step counters and code maps. Paging changes their place, not their size."""
    if optimizer == "adamw":
        return sum((ADAM_BYTES_PER_PARAMETER * t.numbers + ADAM_BYTES_PER_TENSOR) * t.count for t in tensors)
    return compute_moments_8bit_bytes(tuple(tensors), moments=2)


def compute_pageable_bytes(tensors: Iterable[Tensors]) -> int:
    """Return bytes of fp32 moments that a paged optimizer of bitsandbytes may move to CPU memory."""
    large = (t for t in tensors if t.numbers >= SMALLEST_PAGED_NUMBERS)
    return sum(ADAM_BYTES_PER_PARAMETER * t.numbers * t.count for t in large)


def fp32_moments(adapted: Iterable[Linear], spec: RunSpec) -> Literal["all", "some", "none"]:
    """Return whether all, some or none of the trained tensors are too small for 8-bit moments."""
    tensors = list_trained_tensors(adapted, rank=spec.rank, variant=spec.variant)
    small = {each.numbers < SMALLEST_8BIT_NUMBERS for each in tensors}
    return "some" if len(small) == 2 else "all" if small == {True} else "none"


def compute_moments_8bit_bytes(tensors: Sequence[Tensors], *, moments: int) -> int:
    """Return bytes of 8-bit moments and of the code maps that decode them."""
    narrow = any(t.numbers >= SMALLEST_8BIT_NUMBERS for t in tensors)
    return moments * (sum(_moment_8bit(t.numbers) * t.count for t in tensors) + narrow * CODE_MAP_BYTES)


def _moment_8bit(numbers: int) -> int:
    """Return one code per number and one fp32 constant per block; a small tensor keeps its moment in fp32."""
    if numbers < SMALLEST_8BIT_NUMBERS:
        return FP32_BYTES * numbers
    return numbers + FP32_BYTES * -(-numbers // MOMENT_BLOCK)


def step_bytes(tensors: Iterable[Tensors], optimizer: Optimizer) -> int:
    """Return the workspace of the optimizer's own step on a CPU: one tensor's moments are decoded at a time.

    PyTorch's fused AdamW needs none.
    """
    if optimizer == "adamw":
        return 0
    return STEP_COPIES_8BIT * FP32_BYTES * max((t.numbers for t in tensors), default=0)
