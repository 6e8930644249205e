"""Memory as bytes of live tensors on a CPU, and as what tensors asked for on a GPU.

Process RSS is not a usable measure: it is noisy and does not fall when tensors are freed (docs/traps.md 5).
On a CPU every operator's result passes a dispatch mode that counts each storage once and forgets it when it
is freed, so two equal runs report equal peaks to the byte.
"""

import weakref
from collections.abc import Callable, Iterable
from typing import Any, Protocol, Self

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from lora_lab.runs.failures import says_out_of_memory
from lora_lab.worker.device.gpu import (
    GpuMemory,
    get_gpu_api,
    live_bytes,
    measure_workspace_bytes,
    read_peak_memory,
)


class MemoryMeter(Protocol):
    """A meter that counts while it is entered; `live_bytes` and `peak_bytes` can be read at any time."""

    live_bytes: int
    peak_bytes: int
    on_gpu: GpuMemory | None

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: Any) -> None: ...


Meter = Callable[[Iterable[torch.Tensor]], MemoryMeter]
"""Builds a meter that counts the given tensors as already alive."""


class LiveStorages(TorchDispatchMode):
    """A meter of live CPU storages: those given at the start, and all created while it is entered."""

    on_gpu: GpuMemory | None = None

    def __init__(self, resident: Iterable[torch.Tensor] = ()) -> None:
        super().__init__()
        self.live_bytes = 0
        self.peak_bytes = 0
        self._seen: dict[int, weakref.ref[torch.UntypedStorage]] = {}
        for tensor in resident:
            self._count(tensor)

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        if isinstance(result, torch.Tensor):
            self._count(result)
        elif isinstance(result, tuple | list):
            for item in result:
                if isinstance(item, torch.Tensor):
                    self._count(item)
        return result

    def _count(self, tensor: torch.Tensor) -> None:
        storage = tensor.untyped_storage()
        key = storage._cdata
        if key in self._seen:
            return
        size_bytes = storage.nbytes()
        self._seen[key] = weakref.ref(storage)
        weakref.finalize(storage, self._forget, key, size_bytes)
        self.live_bytes += size_bytes
        self.peak_bytes = max(self.peak_bytes, self.live_bytes)

    def _forget(self, key: int, size_bytes: int) -> None:
        self._seen.pop(key, None)
        self.live_bytes -= size_bytes


class GpuAllocator:
    """A meter with a GPU allocator's own counter of the bytes that tensors asked for.

    cuBLAS' workspaces belong to the process and are left out. bitsandbytes keeps paged moments outside
    PyTorch's allocator, so they are added.
    """

    def __init__(self, device: torch.device, training_state: Iterable[torch.Tensor] = ()) -> None:
        self._device = device
        paged = sum(tensor.nbytes for tensor in training_state if getattr(tensor, "is_paged", False))
        self._beside_bytes = paged - measure_workspace_bytes(device)
        self.live_bytes = 0
        self.peak_bytes = 0
        self.on_gpu: GpuMemory | None = None

    def __enter__(self) -> Self:
        get_gpu_api(self._device).synchronize(self._device)
        get_gpu_api(self._device).reset_peak_memory_stats(self._device)
        return self

    def __exit__(self, *error: Any) -> None:
        get_gpu_api(self._device).synchronize(self._device)
        self.live_bytes = live_bytes(self._device) + self._beside_bytes
        self.on_gpu = read_peak_memory(self._device)
        self.peak_bytes = self.on_gpu.requested + self._beside_bytes


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an allocation failed, on CPU or GPU."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or says_out_of_memory(str(error))
