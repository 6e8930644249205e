"""The machine that a worker computes on, as the data folder describes it: its device and its number type.

The number type is decided once, from the instructions of the processor or the GPU
(worker/device/number_type.py), and kept, so every prediction and every run uses the same one. A learner may
choose another.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_args

import psutil

from lora_lab.spec import Compute
from study.base.units import as_bytes

COMPUTE_TYPES: tuple[Compute, ...] = get_args(Compute)

ORDINARY_DEVICES = frozenset({"cpu", "mps"})
"""Types of devices on which the lab uses PyTorch's ordinary operators and counts tensors itself: an Apple GPU
(mps) shares the processor's memory, and keeps neither torch.cuda's counters nor its kernels.
"""


@dataclass(frozen=True, kw_only=True)
class NumberType:
    """The number type that `auto` stands for on one device: the decided one, or a learner's choice."""

    device: str
    """The device's name: a choice on one machine says nothing about another."""

    decided: Compute
    why: str
    """The reason, as the end of "computing in bf16, because ..."."""

    chosen: Compute | None = None

    @property
    def compute(self) -> Compute:
        """The number type that runs use."""
        return self.chosen or self.decided

    @property
    def because(self) -> str:
        return "you chose it for this machine" if self.chosen else self.why


def parse_number_type(values: Mapping[str, Any]) -> NumberType | None:
    """Parse a kept number type; None when there is none, or it is damaged."""
    try:
        found = NumberType(**values)
    except TypeError:
        return None
    return found if found.compute in COMPUTE_TYPES else None


def name_device(device: Mapping[str, Any]) -> str:
    """Name a device as its number type is kept under: the GPU's, or the processor's."""
    return str(device.get("processor" if computes_on_processor(device) else "name", ""))


def is_gpu(device: Mapping[str, Any] | None) -> bool:
    """Return whether a worker's description of its device is that of a GPU with memory of its own."""
    return (device or {}).get("type", "cpu") not in ORDINARY_DEVICES


def computes_on_processor(device: Mapping[str, Any]) -> bool:
    """Return whether a described device is the processor, and no GPU of any kind."""
    return bool(device.get("type", "cpu") == "cpu")


def describe_free_memory(device: Mapping[str, Any] | None) -> str:
    """Say what a run can use, as the end of "this needs 9 GB, and ..."."""
    size = as_bytes(compute_usable_bytes(device))
    return f"this GPU has {size} free" if is_gpu(device) else f"this machine has {size}"


def compute_usable_bytes(device: Mapping[str, Any] | None) -> int:
    """Return the bytes that a run can use on a described device; 0 when unknown.

    On a GPU that is what was free for the worker, because a desktop, other programs and the driver's context
    hold some of it; a CPU's memory is shared with everything and swapped, so there it is all of it.
    """
    described = device or {}
    return int(described.get("free_bytes") or described.get("memory_bytes") or 0)


def find_free_bytes(device: Mapping[str, Any]) -> int:
    """Return the bytes that are free: on a GPU those that its worker found, else of this machine's memory
    now.
    """
    return int(device.get("free_bytes") or psutil.virtual_memory().available)
