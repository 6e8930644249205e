"""The number type of matrix products, decided by the instructions of the processor or the GPU.

A timing can't decide it: on a busy machine it flips, and a run's computed peak with it (docs/traps.md 9).
"""

from collections.abc import Mapping
from typing import Any

import torch

from lora_lab.spec import Compute
from lora_lab.worker.device.gpu import get_gpu_api, on_gpu

DTYPES: dict[str, torch.dtype] = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
BF16_KERNELS = frozenset({"AVX512", "AVX512_BF16", "AMX"})
"""What ATen calls the kernels that it chose for this processor; the others emulate bf16."""


def choose_number_type(device: torch.device) -> tuple[Compute, str]:
    """Choose the number type for a device, and why, as the end of "computing in bf16, because ..."."""
    if device.type == "mps":
        return "fp32", "the lab has never been run on an Apple GPU, and fp32 loses nothing"
    if device.type == "xpu":
        return _choose_type_of_xpu(has_bf16=torch.xpu.is_bf16_supported(including_emulation=False))
    if on_gpu(device):
        return choose_type_of_gpu(get_gpu_api(device).get_device_capability(device))
    return choose_type_of_processor(torch.cpu.get_capabilities(), torch.backends.cpu.get_cpu_capability())


def choose_type_of_gpu(capability: tuple[int, int]) -> tuple[Compute, str]:
    """Choose by compute capability: bf16 from Ampere (8.0) on, fp16 on tensor cores without bf16 (7.x).

    `torch.cuda.is_bf16_supported()` doesn't help: it is also true for emulation, which a T4 or V100 has.
    """
    major, minor = capability
    named = f"this GPU has compute capability {major}.{minor}"
    if major >= 8:
        return "bf16", f"{named}, and bf16 begins at 8.0"
    if major == 7:
        return "fp16", f"{named}: its tensor cores know fp16 and lack bf16"
    return "fp32", f"{named}, which lacks tensor cores"


def _choose_type_of_xpu(*, has_bf16: bool) -> tuple[Compute, str]:
    if has_bf16:
        return "bf16", "PyTorch says that this GPU computes in it"
    return "fp32", "PyTorch says that this GPU lacks bf16"


def choose_type_of_processor(capabilities: Mapping[str, Any], kernels: str) -> tuple[Compute, str]:
    """Choose by instructions; `kernels` is the instruction set that PyTorch's kernels were chosen for."""
    names = {"amx_bf16": "AMX", "avx512_bf16": "AVX512-BF16"}
    found = [name for flag, name in names.items() if capabilities.get(flag)]
    if found and kernels.upper() in BF16_KERNELS:
        return "bf16", f"this processor has {found[0]} instructions"
    return "fp32", "this processor lacks bf16 instructions, and emulated bf16 takes 16 times as long"
