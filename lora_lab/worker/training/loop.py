"""The training loop of one run, from the first batch to the last step."""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import bitsandbytes as bnb
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lora_lab.data.batches import RowSize, step_plan
from lora_lab.spec import RunSpec
from lora_lab.worker.device.gpu import GpuMemory
from lora_lab.worker.device.machine import Machine
from lora_lab.worker.training.loaded_model import build_meter
from lora_lab.worker.training.memory_meter import MemoryMeter, Meter
from lora_lab.worker.training.packing import Encoded, PackedRow, pack_examples
from study.base.errors import LearnerError

CLIP_NORM = 1.0  # the usual bound; QLoRA's own 0.3 (arXiv:2305.14314 appendix B) is for models of 7B and more
WARMUP_SHARE = 0.1
EVALUATION_BATCH = 8


@dataclass(frozen=True, kw_only=True)
class Step:
    """The measurements of one optimizer step that a run has alone and side by side with others."""

    step: int
    loss: float
    learning_rate: float
    grad_norm: float
    tokens: int
    seconds: float
    """Of a shared step, the wall time divided by the number of cells in it."""


@dataclass(frozen=True, kw_only=True)
class StepResult(Step):
    live_bytes: int
    peak_bytes: int


class NonFiniteLoss(Exception):
    """The error when the loss or its gradient is not a number; the adapter keeps its last good values."""

    def __init__(self, step: int, loss: float, grad_norm: float) -> None:
        super().__init__(f"loss {loss}, gradient norm {grad_norm} at step {step}")
        self.step = step


def compute_learning_rate(step: int, *, steps: int, peak: float) -> float:
    """Compute linear warm-up over the first tenth, then linear decay; the last step still learns."""
    warmup = max(1, round(WARMUP_SHARE * steps))
    if step <= warmup:
        return peak * step / warmup
    return peak * (steps - step + 1) / (steps - warmup + 1)


def answer_loss(model: nn.Module, row: PackedRow, autocast: AbstractContextManager[Any]) -> Tensor:
    """Compute mean next-token loss over the answers in a packed row; the head runs on those positions only.

    `use_cache=False` makes transformers detect the packed examples; with a cache they would attend to each
    other without a warning (docs/traps.md 10).
    """
    with autocast:
        logits = model(
            input_ids=row.input_ids,
            position_ids=row.position_ids,
            use_cache=False,
            logits_to_keep=row.keep,
            example_lengths=row.example_lengths,
        ).logits[0]  # (answers, vocab)
    return F.cross_entropy(logits.float(), row.targets)


def never_stop() -> bool:
    """Return False: nobody stops the run."""
    return False


def train_adapter(
    model: nn.Module,
    examples: Sequence[Encoded],
    spec: RunSpec,
    machine: Machine,
    *,
    on_step: Callable[[StepResult], None],
    should_stop: Callable[[], bool] = never_stop,
    meter: Meter | None = None,
) -> GpuMemory | None:
    """Run `spec.steps` optimizer steps on the adapter, or fewer when asked to stop; return the figures of a
    GPU's memory at the peak, None on a CPU.

    Raises NonFiniteLoss before the update that would spoil the adapter.
    """
    parameters = [p for p in model.parameters() if p.requires_grad]
    device = parameters[0].device
    optimizer = build_optimizer(parameters, spec)
    plan = step_plan(len(examples), batch=spec.batch, steps=spec.steps, seed=spec.seed)
    memory = PeakWatch(meter or build_meter(model, machine), optimizer)
    scale = LossScale() if machine.compute_name == "fp16" else None
    model.train()

    for step, picked in enumerate(plan, start=1):
        if should_stop():
            break
        started = time.perf_counter()
        learning_rate = compute_learning_rate(step, steps=spec.steps, peak=spec.learning_rate)
        for group in optimizer.param_groups:
            group["lr"] = learning_rate

        row = pack_examples([examples[i] for i in picked], device)
        with memory.watch_step(step, row.size):
            while True:
                loss_of_row = answer_loss(model, row, machine.autocast())
                scale.backward(loss_of_row, parameters) if scale else loss_of_row.backward()
                norm_before = torch.nn.utils.clip_grad_norm_(parameters, CLIP_NORM)
                loss, grad_norm = loss_of_row.item(), norm_before.item()
                if scale is None or not scale.check_overflow(loss, grad_norm):
                    break
                optimizer.zero_grad(set_to_none=False)  # the same row again, with half the scale
            if not (math.isfinite(loss) and math.isfinite(grad_norm)):
                raise NonFiniteLoss(step, loss, grad_norm)
            optimizer.step()
            # Zeroed in place: gradients stay allocated, so a step's peak is the sum of its parts.
            optimizer.zero_grad(set_to_none=False)

        on_step(
            StepResult(
                step=step,
                loss=loss,
                learning_rate=learning_rate,
                grad_norm=grad_norm,
                tokens=row.input_ids.numel(),
                seconds=time.perf_counter() - started,
                live_bytes=memory.live_bytes,
                peak_bytes=memory.peak_bytes,
            )
        )
    return memory.on_gpu


class LossScale:
    """Loss scaling: a factor keeps small fp16 gradients above zero; the loss is multiplied by it, gradients
    are divided.

    The numbers are those of torch.amp.GradScaler (arXiv:1710.03740 section 3.2). A step whose gradient
    overflows is computed again with half the factor, where GradScaler would leave it out: a run keeps its
    steps, and a short one does not lose its first.
    """

    def __init__(self) -> None:
        self.factor = 2.0**16
        self._good_steps = 0

    def backward(self, loss: Tensor, parameters: Sequence[nn.Parameter]) -> None:
        """Compute the gradients of `loss`, with the factor in between."""
        (loss * self.factor).backward()
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        torch._foreach_mul_(gradients, 1 / self.factor)

    def check_overflow(self, loss: float, grad_norm: float) -> bool:
        """Check whether the factor was too large, and halve it if so; after many good steps double it."""
        if math.isfinite(loss) and not math.isfinite(grad_norm) and self.factor > 1:
            self.factor /= 2
            self._good_steps = 0
            return True
        self._good_steps += 1
        if self._good_steps == 2000:
            self.factor *= 2
            self._good_steps = 0
        return False


def build_optimizer(parameters: Sequence[nn.Parameter], spec: RunSpec) -> torch.optim.Optimizer:
    """Build AdamW without weight decay, with moments in 32 bits, or in 8 for tensors of at least 4,096
    numbers.

    Paged moments can move to the host's memory when a GPU runs out (arXiv:2305.14314 section 3). A CPU has no
    other memory to move to: bitsandbytes would keep them like any tensor and warn.

    Raises LearnerError for moments in 8 bits on an Apple GPU: bitsandbytes 0.50.2 lacks a kernel for them.
    """
    if spec.optimizer == "adamw":
        return torch.optim.AdamW(parameters, lr=spec.learning_rate, weight_decay=0.0, fused=True)
    if parameters[0].device.type == "mps":
        raise LearnerError(
            "bitsandbytes can't keep AdamW's moments in 8 bits on an Apple GPU.",
            do_next="Choose AdamW in 32 bits, or the processor as the device.",
        )
    paged = spec.optimizer == "paged_adamw8bit" and parameters[0].device.type == "cuda"
    made: torch.optim.Optimizer = bnb.optim.AdamW8bit(
        parameters, lr=spec.learning_rate, weight_decay=0.0, is_paged=paged
    )
    return made


class PeakWatch:
    """A meter of the steps that can set a new peak: the first two, and every row that no measured one
    dominates (`RowSize.dominates`), 8 to 15 of 100 steps of four examples.

    Counting every operator costs a sixth of a step on a CPU. The first step doesn't count as measured,
    because it runs before gradients and moments exist.
    """

    def __init__(self, meter: Meter, optimizer: torch.optim.Optimizer) -> None:
        self._meter = meter
        self._optimizer = optimizer
        self._measured: list[RowSize] = []
        self._current: MemoryMeter | None = None
        self.live_bytes = 0
        self.peak_bytes = 0
        self.on_gpu: GpuMemory | None = None
        """The figures of a GPU at that peak; None on a CPU."""

    def watch_step(self, step: int, row: RowSize) -> "PeakWatch":
        """Prepare the context manager for one step's work."""
        dominated = any(before.dominates(row) for before in self._measured)
        if step > 1 and not dominated:
            self._measured.append(row)
        self._current = None if dominated else self._meter(_list_training_state(self._optimizer))
        return self

    def __enter__(self) -> None:
        if self._current is not None:
            self._current.__enter__()

    def __exit__(self, *error: Any) -> None:
        if self._current is not None:
            self._current.__exit__(*error)
            self.live_bytes = self._current.live_bytes
            if self._current.peak_bytes > self.peak_bytes:
                self.peak_bytes, self.on_gpu = self._current.peak_bytes, self._current.on_gpu
            self._current = None


def _list_training_state(optimizer: torch.optim.Optimizer) -> Iterator[Tensor]:
    """List gradients and optimizer moments, which outlive a step."""
    for group in optimizer.param_groups:
        for parameter in group["params"]:
            if parameter.grad is not None:
                yield parameter.grad
            yield from (item for item in optimizer.state[parameter].values() if isinstance(item, Tensor))


@torch.no_grad()
def held_out_loss(
    model: nn.Module,
    examples: Sequence[Encoded],
    autocast: Callable[[], AbstractContextManager[Any]],
    on_batch: Callable[[int], None] | None = None,
) -> float:
    """Compute the mean loss over all answer tokens of `examples`, with the adapter on or off as it is set.

    `on_batch` is told how many examples are done.
    """
    device = next(model.parameters()).device
    was_training = model.training
    model.eval()
    total, answers = 0.0, 0
    for start in range(0, len(examples), EVALUATION_BATCH):
        row = pack_examples(examples[start : start + EVALUATION_BATCH], device)
        total += answer_loss(model, row, autocast()).item() * row.targets.numel()
        answers += row.targets.numel()
        if on_batch is not None:
            on_batch(min(start + EVALUATION_BATCH, len(examples)))
    model.train(was_training)
    return total / answers
