"""Memory as bytes of live tensors on a CPU, and as the allocator's own counters on a GPU.

Process RSS is not a usable measure: it is noisy and does not fall when tensors are freed (docs/traps.md 5).
On a CPU every operator's result passes a dispatch mode that counts each storage once and forgets it when it
is freed, so two equal runs report equal peaks to the byte.
"""

import weakref
from collections.abc import Callable, Iterable
from typing import Any, Protocol, Self

import torch
from torch.utils._python_dispatch import TorchDispatchMode


class MemoryMeter(Protocol):
    """A meter that counts while it is entered; `live_bytes` and `peak_bytes` can be read at any time."""

    live_bytes: int
    peak_bytes: int

    def __enter__(self) -> Self: ...

    def __exit__(self, *error: Any) -> None: ...


Meter = Callable[[Iterable[torch.Tensor]], MemoryMeter]
"""Builds a meter that counts the given tensors as already alive."""


class LiveStorages(TorchDispatchMode):
    """A meter of live CPU storages: those given at the start, and all created while it is entered."""

    def __init__(self, resident: Iterable[torch.Tensor] = ()) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
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


class CudaAllocator:
    """A meter with the CUDA allocator's counters: tensors, not the driver's view with cache and context."""

    def __init__(self, device: torch.device) -> None:
        self._device = device
        self.live_bytes = 0
        self.peak_bytes = 0

    def __enter__(self) -> Self:
        torch.cuda.synchronize(self._device)
        torch.cuda.reset_peak_memory_stats(self._device)
        return self

    def __exit__(self, *error: Any) -> None:
        torch.cuda.synchronize(self._device)
        self.live_bytes = torch.cuda.memory_allocated(self._device)
        self.peak_bytes = torch.cuda.max_memory_allocated(self._device)


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an allocation failed, on CPU or GPU."""
    return isinstance(error, MemoryError | torch.OutOfMemoryError) or "DefaultCPUAllocator" in str(error)
