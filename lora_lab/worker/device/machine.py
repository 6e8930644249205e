"""The machine of this process: its device, its number type, and how both were chosen."""

import os
import platform
from contextlib import AbstractContextManager, nullcontext, suppress
from dataclasses import asdict, dataclass, replace
from functools import cache, cached_property
from typing import Any, cast

import psutil
import torch

from lora_lab.data.lab_folder import CHOSEN_VARIABLE, LabHome
from lora_lab.data.machine import NumberType, name_device
from lora_lab.spec import Compute, ComputeType
from lora_lab.worker.device.diagnosis import (
    UNTRIED,
    Notice,
    diagnose,
    diagnose_untried,
    list_untried,
    read_setup,
    warn_of_untried,
)
from lora_lab.worker.device.gpu import (
    choose_kernels,
    free_bytes,
    get_gpu_api,
    make_current,
    measure_workspace_bytes,
    on_gpu,
    run_products,
)
from lora_lab.worker.device.number_type import DTYPES, choose_number_type
from study.base.errors import LearnerError, first_line

CORES = torch.get_num_threads()  # PyTorch's own default: physical cores
SHORT_OPERATORS_HIDDEN = 1024
DEVICE_VARIABLE = "LORA_STUDY_DEVICE"
"""Names the device, such as `cpu` or `cuda:1`; without it CHOSEN_VARIABLE, the first GPU, or the CPU."""


CPU = torch.device("cpu")


@dataclass(frozen=True, kw_only=True)
class Machine:
    """The device and the number type with which this process computes."""

    device: torch.device
    compute_dtype: torch.dtype
    why: str = "it was asked for"
    """The reason for the number type, as the end of "computing in bf16, because ..."."""

    notice: Notice | None = None
    """Why a GPU of this machine, or the device that was chosen, is not used; or what to beware of on it."""

    @property
    def description(self) -> dict[str, Any]:
        """Device, its memory and number type, for the page and for every result; `devices` when a learner
        can choose between several.
        """
        more: dict[str, Any] = {"notice": asdict(self.notice)} if self.notice else {}
        devices = list_devices()
        if len(devices) > 1 or os.environ.get(CHOSEN_VARIABLE):
            more |= {"id": str(self.device), "devices": devices}
        return self._hardware | more | {"compute_dtype": self.compute_name, "because": self.why}

    @cached_property
    def _hardware(self) -> dict[str, Any]:
        values = {"type": self.device.type, "processor": platform.processor() or platform.machine()}
        if self.on_gpu:
            properties = get_gpu_api(self.device).get_device_properties(self.device)
            values |= {"name": properties.name, "memory_bytes": properties.total_memory}
            capability = get_gpu_api(self.device).get_device_capability(self.device)
            return values | ({"capability": list(capability)} if isinstance(capability, tuple) else {})
        memory_bytes = psutil.virtual_memory().total
        if self.device.type != "cpu":
            return values | {"name": _name_untried(self.device.type), "memory_bytes": memory_bytes}
        threads = torch.get_num_threads()
        used = f"{threads} of {CORES} cores" if CORES > 1 else "1 core"
        return values | {"name": f"CPU, {used}", "memory_bytes": memory_bytes}

    @property
    def on_gpu(self) -> bool:
        """Whether the device is a GPU with memory of its own, which an Apple GPU is not."""
        return on_gpu(self.device)

    @property
    def compute_name(self) -> Compute:
        """The number type in RunSpec's spelling."""
        return cast(Compute, next(name for name, dtype in DTYPES.items() if dtype == self.compute_dtype))

    def autocast(self) -> AbstractContextManager[Any]:
        """Return a context with narrow products under bf16 and fp16; a null context under fp32."""
        if self.compute_dtype == torch.float32:
            return nullcontext()
        return torch.autocast(self.device.type, self.compute_dtype)

    def with_free_bytes(self, held_bytes: int = 0) -> dict[str, Any]:
        """Return the description with what a run can use on a GPU: what is free, and `held_bytes` that the
        run's own process holds and a run replaces.
        """
        if not self.on_gpu:
            return self.description
        return self.description | {"free_bytes": free_bytes(self.device) + held_bytes}


def find_machine(wanted: ComputeType = "auto", home: LabHome | None = None) -> Machine:
    """Find the device that is named, chosen or first, and the number type that `wanted` names.

    `auto` is decided by the device's instructions and kept in the data folder, where a learner may change it.
    Raises LearnerError when LORA_STUDY_DEVICE names a device that doesn't work.
    """
    device, notice = find_device()
    found = Machine(device=device, compute_dtype=torch.float32, notice=notice)
    if wanted != "auto":
        return replace(found, compute_dtype=DTYPES[wanted])
    described = found.description
    kept = home.number_type() if home else None
    compute, why = choose_number_type(device)
    chosen = kept.chosen if kept and kept.device == name_device(described) else None
    kept = NumberType(device=name_device(described), decided=compute, why=why, chosen=chosen)
    if home:
        home.save_number_type(kept)
    return replace(found, compute_dtype=DTYPES[kept.compute], why=kept.because)


@cache
def find_device() -> tuple[torch.device, Notice | None]:
    """Find the device once per process, with one small product on it; and why a GPU is not used.

    A driver can list a card that then fails: no kernels for it, held by another process, or out of memory.
    The same may have become of the device that a learner chose: the first GPU or the CPU is used then.
    Raises LearnerError when LORA_STUDY_DEVICE names a device that doesn't work.
    """
    named, chosen = os.environ.get(DEVICE_VARIABLE, ""), os.environ.get(CHOSEN_VARIABLE, "")
    if named:
        device = _open_named_device(named)
        return device, warn_of_untried(device.type)
    if not chosen:
        return _find_first_device()
    try:
        device = _try_device(chosen)
        return device, warn_of_untried(device.type)
    except RuntimeError as error:
        device, notice = _find_first_device()
        problem = f"{chosen}, which you chose, can't compute ({first_line(error)})."
        return device, notice or Notice(what=problem, do_next="Choose another device.")


def _find_first_device() -> tuple[torch.device, Notice | None]:
    setup, problem = read_setup(), ""
    if setup.usable:
        device = torch.device("cuda", torch.cuda.current_device())
        problem = try_products(device)
        if not problem:
            return device, None
    return CPU, diagnose(setup, problem) or diagnose_untried()


def _open_named_device(named: str) -> torch.device:
    try:
        return _try_device(named)
    except RuntimeError as error:
        raise LearnerError(
            f"{DEVICE_VARIABLE} names {named}, which can't compute ({first_line(error)}).",
            do_next=f"Set {DEVICE_VARIABLE} to cpu or cuda:0, or unset it.",
        ) from error


def _try_device(named: str) -> torch.device:
    """Return a device that computes. Raises RuntimeError otherwise."""
    device = torch.device(named)
    if device != CPU and (problem := try_products(device)):
        raise RuntimeError(problem)
    if on_gpu(device):
        make_current(device)
    return device


@cache
def list_devices() -> list[dict[str, str]]:
    """List what a learner can choose on this machine: each CUDA device, a GPU by another maker that PyTorch
    sees, and the CPU; none to choose where LORA_STUDY_DEVICE has decided.
    """
    if os.environ.get(DEVICE_VARIABLE):
        return []
    found = []
    with suppress(RuntimeError, AssertionError):  # a driver that lists a card and fails
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        found = [{"id": f"cuda:{place}", "name": torch.cuda.get_device_name(place)} for place in range(count)]
    untried = [{"id": kind, "name": _name_untried(kind)} for kind in list_untried()]
    return [*found, *untried, {"id": "cpu", "name": "Processor"}]


def _name_untried(kind: str) -> str:
    return f"GPU by {UNTRIED[kind]}"


def try_products(device: torch.device) -> str:
    """Try a GPU's products; return the first line of the error, empty when it works."""
    try:
        choose_kernels()
        if on_gpu(device):
            measure_workspace_bytes(device)
        else:
            run_products(device)
    except (RuntimeError, AssertionError) as error:  # PyTorch asserts that it was compiled with CUDA
        return first_line(error)
    return ""


def set_threads(hidden_size: int, compute_dtype: torch.dtype) -> None:
    """Use all cores, or one fewer where a step is thousands of operators too short to parallelize.

    Measured on two cores with the embedded model (docs/performance.md): in bf16 a step takes 1.03 s of wall
    time with one thread and 1.25 s with two; in fp32, where products dominate, 1.76 s and 1.46 s.
    OMP_NUM_THREADS takes precedence.
    """
    if "OMP_NUM_THREADS" not in os.environ:
        short = compute_dtype == torch.bfloat16 and hidden_size <= SHORT_OPERATORS_HIDDEN
        torch.set_num_threads(max(1, CORES - 1) if short else CORES)
