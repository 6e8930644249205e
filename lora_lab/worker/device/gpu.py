"""A GPU's memory and kernels, through the interface that torch.cuda has.

Any PyTorch device with that interface is a GPU here: CUDA's, Intel's (xpu), and a simulated one in the tests.
An Apple GPU lacks it. The lab computes there as on a processor, with tensors elsewhere.
"""

import functools
import os
from dataclasses import asdict, dataclass
from typing import Any

import psutil
import torch
from torch import nn

from lora_lab.data.machine import ORDINARY_DEVICES
from lora_lab.memory.gpus import compute_workspace_bytes


def on_gpu(device: torch.device) -> bool:
    """Return whether a device is a GPU with memory of its own, and with torch.cuda's counters and kernels."""
    return device.type not in ORDINARY_DEVICES


def get_gpu_api(device: torch.device) -> Any:
    """Return the module of a GPU, such as torch.cuda."""
    return torch.get_device_module(device)


@dataclass(frozen=True, kw_only=True)
class GpuMemory:
    """The four figures of a GPU's memory in bytes, each containing the one before."""

    requested: int
    """What tensors asked for, which is what the ledger predicts."""

    allocated: int
    """The same in blocks of at least 512 bytes, as PyTorch's allocator gives them out."""

    reserved: int
    """What the allocator has taken from the driver and keeps for the next tensor."""

    device: int
    """What is in use on the device by every process, with contexts and kernels, as nvidia-smi shows it."""


def read_peak_memory(device: torch.device) -> GpuMemory:
    """Read a GPU's peaks since the last reset; `device` is the figure of now: drivers keep no peak."""
    statistics = get_gpu_api(device).memory_stats(device)
    free, total = get_gpu_api(device).mem_get_info(device)
    return GpuMemory(
        requested=statistics.get("requested_bytes.all.peak", 0),
        allocated=statistics.get("allocated_bytes.all.peak", 0),
        reserved=statistics.get("reserved_bytes.all.peak", 0),
        device=total - free,
    )


def live_bytes(device: torch.device) -> int:
    """Return the bytes that live tensors on a GPU asked for."""
    requested: int = get_gpu_api(device).memory_stats(device).get("requested_bytes.all.current", 0)
    return requested


def free_bytes(device: torch.device) -> int:
    """Return the bytes that this process can still allocate.

    On a GPU the driver's figure lacks what this process' own allocator keeps for the next tensor.
    """
    if not on_gpu(device):
        return int(psutil.virtual_memory().available)
    statistics = get_gpu_api(device).memory_stats(device)
    kept = statistics.get("reserved_bytes.all.current", 0) - statistics.get("allocated_bytes.all.current", 0)
    return int(get_gpu_api(device).mem_get_info(device)[0]) + int(kept)


def measure_workspace_bytes(device: torch.device) -> int:
    """Run every kind of product once, forward and backward; return the bytes that stay allocated after it.

    cuBLAS keeps a workspace for each thread that multiplies (lora_lab/memory/gpus.py). They belong to the
    process and not to a run, and are asked for here before anything is measured.
    """
    index = get_gpu_api(device).current_device() if device.index is None else device.index
    return _measure_workspaces_once(torch.device(device.type, index))


@functools.cache
def _measure_workspaces_once(device: torch.device) -> int:
    """Measure them at the first products of this process: later ones find the workspaces there."""
    before = live_bytes(device)
    run_products(device)
    return live_bytes(device) - before


def predict_workspace_bytes(device: torch.device) -> int | None:
    """Return the bytes that the workspaces should have; None where products aren't computed by cuBLAS."""
    capability = get_gpu_api(device).get_device_capability(device)
    if torch.version.hip or not isinstance(capability, tuple):  # AMD's; Intel's describes itself with a dict
        return None
    return compute_workspace_bytes(capability[0], os.environ.get("CUBLAS_WORKSPACE_CONFIG", ""))


def list_memory_figures(memory: GpuMemory, device: torch.device) -> dict[str, int]:
    """List the figures of a GPU's memory as a run's event holds them, in bytes."""
    figures: dict[str, int] = {**asdict(memory), "workspaces": measure_workspace_bytes(device)}
    predicted = predict_workspace_bytes(device)
    return figures if predicted is None else {**figures, "predicted_workspaces": predicted}


def run_products(device: torch.device) -> None:
    """Run every kind of product once, forward and backward, and wait for it.

    Raises RuntimeError where the device fails, AssertionError where PyTorch is built without it.
    """
    layer = nn.Linear(64, 64, device=device)
    x = torch.ones(2, 64, 64, device=device, requires_grad=True)
    (layer(x) @ x.transpose(1, 2)).sum().backward()
    assert x.grad is not None
    x.grad.sum().item()


def make_current(device: torch.device) -> None:
    """Make a GPU the current one of this process, which is the first one otherwise.

    bitsandbytes 0.50.2 waits for the current one after each update of moments in 8 bits, and fills paged
    moments there: beside another GPU it would open a context on the first, whose memory may be full.
    """
    if device.index is not None:  # without an index it names the current one
        get_gpu_api(device).set_device(device)


def choose_kernels() -> None:
    """Choose the CUDA kernels whose numbers and memory the lab can answer for.

    cuDNN's attention builds a plan for every new length, and a run has a new length at almost every step.
    Split-K products may otherwise add up their parts in the narrow type.
    """
    torch.backends.cuda.enable_cudnn_sdp(False)
    torch.backends.cuda.matmul.allow_bf16_reduced_precision_reduction = False
    torch.backends.cuda.matmul.allow_fp16_reduced_precision_reduction = False


def empty_cache(device: torch.device) -> None:
    """Give what the allocator keeps back to the driver, where there is such a cache."""
    if device.type != "cpu":
        get_gpu_api(device).empty_cache()
