"""bf16 matrix products on processors without bf16 instructions, where the library's take 60 times as long.

The numbers are the same: both multiply bf16 values, add in fp32 and round once at the end. A processor with
the instructions uses them. Entered outside the memory meter, which then counts what it would have counted.
"""

from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

PRODUCTS = {"mm", "addmm", "bmm", "baddbmm", "addmv", "mv"}
FLAGS = ("avx512_bf16", "amx_bf16", "bf16")


def quick_bf16() -> AbstractContextManager[Any]:
    """While it is entered, bf16 products take a moment on any processor."""
    cpu = Path("/proc/cpuinfo")
    flags = set(cpu.read_text().split()) if cpu.exists() else set(FLAGS)
    return nullcontext() if flags & set(FLAGS) else _InFp32()


class _InFp32(TorchDispatchMode):
    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        tensors = [value for value in args if isinstance(value, Tensor)]
        product = func._schema.name.partition("::")[2].rstrip("_") in PRODUCTS
        if not product or not any(each.dtype == torch.bfloat16 for each in tensors):
            return func(*args, **kwargs)
        out = kwargs.pop("out", None)
        if out is None and func._schema.name.endswith("_"):
            out = args[0]
        wide = [value.float() if isinstance(value, Tensor) else value for value in args]
        operator = getattr(torch.ops.aten, func._schema.name.partition("::")[2].rstrip("_")).default
        result = operator(*wide, **{name: value for name, value in kwargs.items() if name != "out_dtype"})
        return result.to(tensors[0].dtype) if out is None else out.copy_(result)
