"""Failures of a run in words for a learner, with the next thing to try."""

import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from lora_lab.spec import RunSpec
from study.base.errors import first_line
from study.base.units import as_bytes
from study.base.yaml_loader import load_yaml

Cause = Literal["out-of-memory", "non-finite", "killed", "settings", "disk", "crash"]
Case = Literal[
    "out-of-memory", "too-large", "non-finite", "non-finite-at-once", "killed", "crash", "unknown",
    "closed-app", "lost-worker", "lost-machine", "cluster", "disk", "refused",
]  # fmt: skip
_CASES: Mapping[Case, Mapping[str, Any]] = load_yaml(
    Path(__file__).with_name("failures.yaml").read_text("utf-8")
)

TRANSIENT_CAUSES: frozenset[Cause] = frozenset({"killed", "disk", "crash"})
"""Causes from outside a run: the same settings may go well another time."""

SIGKILL = getattr(signal, "SIGKILL", 9)  # Windows has no such name

OUT_OF_MEMORY = (
    "DefaultCPUAllocator",
    "MemoryError",
    "OutOfMemoryError",
    "CUDA out of memory",
    "CUDA error: out of memory",  # from the driver, outside PyTorch's allocator
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
    "Error out of memory at line",  # bitsandbytes' C code, which then ends the process
    "cudaErrorMemoryAllocation",
)
"""What libraries write when an allocation fails: not every one raises torch.OutOfMemoryError."""


@dataclass(frozen=True, kw_only=True)
class Failure:
    """A failure with its cause; its fields go into the `failed` event."""

    cause: Cause
    what: str
    do_next: str


def describe(case: Case, **values: object) -> Failure:
    """Describe a failure in the words of failures.yaml, with `values` in their places."""
    return Failure(**{field: text.format_map(values) for field, text in _CASES[case].items()})


def describe_refusal(case: Literal["disk", "refused"], error: Exception) -> Failure:
    """Describe what the system refused: a file, or a process."""
    return describe(case, error=getattr(error, "strerror", "") or error)


def says_out_of_memory(text: str) -> bool:
    """Return whether an error's text, or the last lines of a log, is about memory that ran out."""
    return any(mark in text for mark in OUT_OF_MEMORY)


def describe_out_of_memory(spec: RunSpec, *, step: int, saved_step: int) -> Failure:
    """Describe an allocation failure on CPU or GPU."""
    return describe("out-of-memory", step=step, kept=_say_kept(saved_step), smaller=_list_smaller(spec))


def describe_non_finite(spec: RunSpec, *, step: int, saved_step: int) -> Failure:
    """Describe a loss or gradient that is not a number. Before the first update no learning rate is to blame:
    then numbers of 16 bits have most likely overflowed.
    """
    if step == 1:
        return describe("non-finite-at-once", alpha=spec.alpha)
    rate = spec.learning_rate
    lower = min(RunSpec.learning_rate, rate / 10)
    kept = _say_kept(saved_step)
    return describe("non-finite", step=step, kept=kept, rate=rate, lower=lower, alpha=spec.alpha)


def describe_early_end(
    spec: RunSpec, *, exit_code: int, step: int, saved_step: int, last_lines: str | None
) -> Failure:
    """Describe a worker process that ended without reporting why; `last_lines` are None without a log."""
    kept = _say_kept(saved_step)
    if exit_code in (-SIGKILL, 128 + SIGKILL):
        smaller = _list_smaller(spec)
        return describe("killed", step=step, kept=kept, smaller=f"{smaller[0].lower()}{smaller[1:]}")
    if says_out_of_memory(last_lines or ""):
        return describe_out_of_memory(spec, step=step + 1, saved_step=saved_step)
    log = "worker.log in the data folder" if last_lines is None else "the run's stdout.log"
    return describe("crash", exit_code=exit_code, step=step, kept=kept, log=log)


def describe_unknown(error: Exception, *, step: int, saved_step: int) -> Failure:
    """Describe an error that nothing here foresees."""
    said = f"{type(error).__name__}: {first_line(error)}"
    return describe("unknown", step=step, error=said, kept=_say_kept(saved_step))


def say_silent(seconds: int, *, saved_step: int, measured: bool) -> str:
    """Say what a stopped run has and lacks whose process the app ended."""
    return (
        f"The training process reported nothing for {seconds} s after the stop, so the app ended it "
        f"without {_say_lacking(measured)}. {_say_kept(saved_step)}"
    )


def say_cut_short(*, saved_step: int, measured: bool) -> str:
    """Say what a stopped run has and lacks whose process went away before its end."""
    return f"Its process ended before it had {_say_lacking(measured)}. {_say_kept(saved_step)}"


def _say_lacking(measured: bool) -> str:
    return "its sample answers" if measured else "its held-out loss"


def describe_too_large(spec: RunSpec, peak_bytes: int, free_bytes: int) -> Failure:
    """Describe a run that fits on no machine of a cluster."""
    peak, free = as_bytes(peak_bytes), as_bytes(free_bytes)
    return describe("too-large", peak=peak, free=free, smaller=_list_smaller(spec))


def _say_kept(saved_step: int) -> str:
    if saved_step:
        return f"The adapter of step {saved_step} is saved."
    return "No adapter had been saved yet; your settings are kept."


def _list_smaller(spec: RunSpec) -> str:
    """List what to lower, in the order that helps most."""
    options = []
    if spec.batch > 1:
        options.append(f"a batch of {max(1, spec.batch // 2)} instead of {spec.batch}")
    if spec.seq_len_tokens > 64:
        options.append(f"sequences of {spec.seq_len_tokens // 2} tokens")
    if spec.rank > 8:
        options.append("a rank of 8")
    if spec.bits not in ("nf4", "nf4-dq", "fp4"):
        options.append("4-bit weights")
    return f"Try {', or '.join(options)}." if options else "Close other programs or choose a smaller model."
