"""The simulated GPU for Python: built once, with the interface of torch.cuda and a check of mixed devices."""

import ctypes
import hashlib
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import bitsandbytes as bnb
import torch
import torch.nn.functional as F
from torch import Tensor
from torch.utils._python_dispatch import (
    TorchDispatchMode,
    _disable_current_modes,
    _get_current_dispatch_mode,
)
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import (
    _DummyBackendModule,
    _setup_privateuseone_for_python_backend,
)

NAME = "simgpu"
DEVICE = torch.device("privateuseone", 0)  # called by its name once it is registered
SOURCE = Path(__file__).with_name("device.cpp")
TOTAL_BYTES = 80 * 2**30
RESERVED_STEP = 2 * 2**20  # CUDA's allocator takes memory from the driver in blocks of 2 MiB and more
CONTEXT_BYTES = 500 * 10**6
MAY_MIX = frozenset({"aten::copy_", "aten::_to_copy", "aten::_copy_from"})
INDEXING = frozenset({"aten::index", "aten::index_put_", "aten::_index_put_impl_"})
SYNCS = frozenset({"aten::_local_scalar_dense", "aten::nonzero", "aten::masked_select", "aten::equal"})
READ_BACK_NUMBERS = 8  # a loop's read-back; the operators here also copy to the CPU, but larger tensors
VIEWS = frozenset(
    {
        *("view", "t", "transpose", "as_strided", "slice", "select", "expand", "unsqueeze", "squeeze"),
        *("detach", "alias", "split", "permute", "_reshape_alias", "_unsafe_view", "split_with_sizes"),
        *("unbind", "narrow", "lift_fresh", "empty_like", "new_empty"),
    }
)
"""Operators that start no kernel."""

NOT_ON_WINDOWS = (
    "The tests on the simulated GPU are left out on Windows, "
    "because g++ or clang build it for Linux and macOS only."
)
"""What the Makefile prints there."""

CODES = ("quantize_4bit", "dequantize_4bit", "quantize_blockwise", "dequantize_blockwise")
_registered: list[Any] = []  # a registration lasts as long as its library object

_Backend: Any = _DummyBackendModule  # PyTorch gives it no types


class SimulatedGpu(_Backend):  # type: ignore[misc]
    """What torch.cuda is for CUDA."""

    def __init__(self, library: ctypes.CDLL) -> None:
        self._library = library
        self._reserved_bytes = 0
        self.capability = (9, 0)
        self.taken_bytes = 0  # by other programs
        for name in ("requested_bytes", "requested_peak_bytes", "allocated_bytes", "allocated_peak_bytes"):
            getattr(library, name).restype = ctypes.c_int64

    def get_amp_supported_dtype(self) -> list[torch.dtype]:
        """Number types of autocast."""
        return [torch.bfloat16, torch.float16]

    def get_device_capability(self, device: Any = None) -> tuple[int, int]:
        """Like an H100's, unless a test sets another."""
        return self.capability

    def get_device_properties(self, device: Any = None) -> SimpleNamespace:
        """Name and memory."""
        return SimpleNamespace(name="Simulated GPU", total_memory=TOTAL_BYTES)

    def set_device(self, device: Any) -> None:
        """There is one only."""

    def synchronize(self, device: Any = None) -> None:
        """Every operator has ended when it returns."""

    def memory_stats(self, device: Any = None) -> dict[str, int]:
        """The counters that the lab reads."""
        reserved = self._reserve()
        return {
            "requested_bytes.all.current": self._library.requested_bytes(),
            "requested_bytes.all.peak": self._library.requested_peak_bytes(),
            "allocated_bytes.all.current": self._library.allocated_bytes(),
            "allocated_bytes.all.peak": self._library.allocated_peak_bytes(),
            "reserved_bytes.all.current": reserved,
            "reserved_bytes.all.peak": reserved,
        }

    def mem_get_info(self, device: Any = None) -> tuple[int, int]:
        """Free and total bytes as a driver sees them."""
        return TOTAL_BYTES - CONTEXT_BYTES - self.taken_bytes - self._reserve(), TOTAL_BYTES

    def reset_peak_memory_stats(self, device: Any = None) -> None:
        """Start peaks from what is allocated now."""
        self._reserve()
        self._library.reset_peaks()

    def empty_cache(self) -> None:
        """Give back what is reserved beyond what is allocated."""
        self._reserved_bytes = _in_steps(self._library.allocated_bytes())

    def set_limit_bytes(self, limit: int) -> None:
        """Let allocations beyond that fail; 0 takes the limit away."""
        self._library.set_limit_bytes(ctypes.c_int64(limit))

    def _reserve(self) -> int:
        peak: int = self._library.allocated_peak_bytes()
        self._reserved_bytes = max(self._reserved_bytes, _in_steps(peak))
        return self._reserved_bytes


class OneDevice(TorchDispatchMode):
    """Refuses operators on tensors of two devices, as CUDA does, and counts launches, uploads and waits.

    A CPU scalar and CPU indices are fine on CUDA, and here.
    """

    def __init__(self) -> None:
        super().__init__()
        self.launches: Counter[str] = Counter()
        self.uploads: Counter[str] = Counter()
        self.waits: Counter[str] = Counter()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        kinds = {each.device.type for each in tensors if each.device.type != "cpu" or each.ndim}
        name = func._schema.name
        if len(kinds) > 1 and name not in MAY_MIX | INDEXING:
            found = [(tuple(each.shape), str(each.device)) for each in tensors]
            raise RuntimeError(f"Expected all tensors to be on the same device: {func} got {found}")
        short = name.partition("::")[2]
        if _is_upload(short, tensors, kwargs):
            self.uploads[short] += 1
        if NAME in kinds:
            to_cpu = name in MAY_MIX and str(kwargs.get("device", NAME)) == "cpu"
            if name in SYNCS or (to_cpu and tensors[0].numel() <= READ_BACK_NUMBERS):
                self.waits[short] += 1
            elif short not in VIEWS:
                self.launches[short] += 1
        return func(*args, **kwargs)


def _is_upload(name: str, tensors: list[Tensor], kwargs: dict[str, Any]) -> bool:
    """Whether an operator copies numbers from the CPU; of `torch.tensor(numbers, device=...)` a mode sees
    only the last part, which lifts the new tensor.
    """
    if name == "lift_fresh":
        return tensors[0].device.type == NAME
    sources = [each for each in tensors if each.device.type == "cpu" and each.ndim]
    if name == "_to_copy":
        return bool(sources) and torch.device(kwargs.get("device") or "cpu").type == NAME
    return name == "copy_" and bool(sources) and tensors[0].device.type == NAME


FLASH_BACKWARD_LAUNCHES = 3
"""Sums of output times gradient, the gradients, and the queries' converted (flash_bwd_launch_template.h)."""


class FusedAttention(torch.autograd.Function):
    """Causal attention that keeps what FlashAttention keeps: its inputs, output and log-sum-exp."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, v: Tensor, scale: float | None) -> Tensor:
        """Compute q (batch, heads, seq, head), k and v (batch, kv_heads, seq, head) -> like q."""
        with _as_launches("flash_attention_forward", 1):
            output = _attention(q.cpu(), k.cpu(), v.cpu(), scale).to(q.device)
        summed = q.new_empty(q.shape[:3], dtype=torch.float32)
        ctx.save_for_backward(q, k, v, output, summed)
        ctx.scale = scale
        return output

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        """Compute the gradients of q, k and v."""
        q, k, v, _, _ = ctx.saved_tensors
        with _as_launches("flash_attention_backward", FLASH_BACKWARD_LAUNCHES):
            with torch.enable_grad():
                q_cpu, k_cpu, v_cpu = inputs = [part.detach().cpu().requires_grad_() for part in (q, k, v)]
                output = _attention(q_cpu, k_cpu, v_cpu, ctx.scale)
                found = torch.autograd.grad(output, inputs, grads[0].cpu())
            return (*[part.to(q.device) for part in found], None)


@contextmanager
def _as_launches(name: str, count: int) -> Iterator[None]:
    """Count what is emulated inside as the kernels that a GPU would launch."""
    mode = _get_current_dispatch_mode()
    with _disable_current_modes():
        yield
    if isinstance(mode, OneDevice):
        mode.launches[name] += count


def _attention(q: Tensor, k: Tensor, v: Tensor, scale: float | None) -> Tensor:
    return F.scaled_dot_product_attention(q, k, v, is_causal=True, scale=scale, enable_gqa=True)


def _fused(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Tensor:
    """Attention as a GPU dispatches it: fused where it is causal, otherwise PyTorch's own composition."""
    assert dropout_p == 0.0
    if is_causal and attn_mask is None:
        output: Tensor = FusedAttention.apply(query, key, value, scale)
        return output
    if enable_gqa and key.shape[1] != query.shape[1]:
        times = query.shape[1] // key.shape[1]
        key, value = key.repeat_interleave(times, 1), value.repeat_interleave(times, 1)
    if attn_mask is not None and attn_mask.dtype == torch.bool:  # the operator below would add ones
        attn_mask = torch.zeros_like(attn_mask, dtype=query.dtype).masked_fill_(~attn_mask, float("-inf"))
    found: Tensor = torch.ops.aten._scaled_dot_product_attention_math(
        query, key, value, attn_mask, 0.0, is_causal, scale=scale
    )[0]
    return found


def _by_the_cpu(operator: Any, *args: Any, **kwargs: Any) -> Any:
    """One kernel that allocates its results only, where bitsandbytes would compose it of several."""
    there = tree_map(_to_cpu, (args, kwargs))
    return tree_map(_to_gpu, operator(*there[0], **there[1]))


def _to_cpu(value: Any) -> Any:
    return value.cpu() if isinstance(value, Tensor) else value


def _to_gpu(value: Any) -> Any:
    return value.to(DEVICE) if isinstance(value, Tensor) else value


@cache
def load() -> SimulatedGpu:
    """Build the device if its source or PyTorch is new, and register it. Raises RuntimeError with one
    sentence on Windows and where there is no C++ compiler.
    """
    path = _built()
    gpu = SimulatedGpu(ctypes.CDLL(str(path)))
    _setup_privateuseone_for_python_backend(NAME, gpu)
    kept = torch.library.Library("aten", "IMPL")
    kept.impl("scaled_dot_product_attention", _fused, "AutogradPrivateUse1")
    codes = torch.library.Library("bitsandbytes", "IMPL")
    for name in CODES:
        codes.impl(name, partial(_by_the_cpu, getattr(torch.ops.bitsandbytes, name).default), "PrivateUse1")
    _registered.extend((kept, codes))
    # bitsandbytes assigns `parameter.data = tensor` between devices, which PyTorch allows for CUDA only.
    bnb.nn.Int8Params._quantize = _int8_on_another_device
    bnb.nn.Params4bit.__deepcopy__ = _copy_of_4bit
    bnb.functional.QuantState.__deepcopy__ = lambda state, memo: state  # read only, and shared
    return gpu


def _int8_on_another_device(weight: Any, device: Any) -> Any:
    codes, scales, _ = bnb.functional.int8_vectorwise_quant(
        weight.data.contiguous().to(device, torch.float16)
    )
    return bnb.nn.Int8Params(codes, requires_grad=False, has_fp16_weights=False, CB=codes, SCB=scales)


def _copy_of_4bit(weight: Any, memo: Any) -> Any:
    values = {name: getattr(weight, name) for name in ("blocksize", "compress_statistics", "quant_type")}
    values |= {name: getattr(weight, name) for name in ("quant_storage", "module")}
    return bnb.nn.Params4bit(
        weight.data.clone(), requires_grad=False, quant_state=weight.quant_state, bnb_quantized=True, **values
    )


def _built() -> Path:
    if sys.platform == "win32":
        raise RuntimeError(NOT_ON_WINDOWS)
    text = SOURCE.read_bytes() + torch.__version__.encode() + sys.platform.encode()
    folder = Path(os.environ["LORA_STUDY_MODELS"]).parent / "simulated-gpu"
    path = folder / f"{hashlib.sha256(text).hexdigest()[:16]}.so"
    if path.exists():
        return path
    compiler = os.environ.get("CXX") or shutil.which("c++") or shutil.which("g++") or shutil.which("clang++")
    if compiler is None:
        raise RuntimeError(
            "The simulated GPU can't be built, because this machine has no C++ compiler: "
            "install g++ or clang, or set CXX."
        )
    folder.mkdir(parents=True, exist_ok=True)
    home = Path(torch.__file__).parent
    partial = path.with_suffix(f".{os.getpid()}")
    command = [compiler, "-std=c++20", "-O1", "-shared", "-fPIC", str(SOURCE), "-o", str(partial)]
    command += [f"-I{home / 'include'}", f"-I{home / 'include' / 'torch' / 'csrc' / 'api' / 'include'}"]
    command += [f"-L{home / 'lib'}", f"-Wl,-rpath,{home / 'lib'}", "-ltorch", "-ltorch_cpu", "-lc10"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"The simulated GPU could not be built:\n{done.stderr[-2000:]}")
    os.replace(partial, path)
    return path


def _in_steps(bytes_: int) -> int:
    return -(-bytes_ // RESERVED_STEP) * RESERVED_STEP
