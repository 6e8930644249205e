"""The training loop of a group: every cell does a step before the next step begins."""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, fields

import torch

from lora_lab.data.batches import RowSize, step_plan
from lora_lab.worker.training.adapter_stack import CellAdapter
from lora_lab.worker.training.group import AdapterGroup, count_shared_tokens
from lora_lab.worker.training.loaded_model import build_meter
from lora_lab.worker.training.loop import NonFiniteLoss, PeakWatch, Step, StepResult, compute_learning_rate
from lora_lab.worker.training.memory_meter import Meter, is_out_of_memory
from lora_lab.worker.training.packing import Encoded, PackedRow, pack_examples


@dataclass(frozen=True, kw_only=True)
class SharedStep(Step):
    """The measurements of one optimizer step for one of the cells that took it together.

    A cell alone has no measured peak: `group_peak_bytes` is that of all cells.
    """

    shared_seconds: float
    shared_by: int
    group_live_bytes: int
    group_peak_bytes: int

    @property
    def alone(self) -> StepResult:
        """The same for a group of one, whose memory is the run's own."""
        own = {each.name: getattr(self, each.name) for each in fields(Step)}
        return StepResult(**own, live_bytes=self.group_live_bytes, peak_bytes=self.group_peak_bytes)


def train_group(
    group: AdapterGroup,
    examples: Sequence[Encoded],
    *,
    on_step: Callable[[CellAdapter, SharedStep], None],
    should_stop: Callable[[CellAdapter], bool],
    on_end: Callable[[CellAdapter, NonFiniteLoss | None], None],
    meter: Meter | None = None,
) -> list[CellAdapter]:
    """Train every cell; return those that reach the last step.

    A cell that is asked to stop, or whose loss is not finite, is passed to `on_end`, and the others continue.
    """
    going = list(group.cells)
    spec = going[0].spec
    optimizer = torch.optim.AdamW([cell.flat for cell in going], weight_decay=0.0, fused=True)
    optimizer.param_groups = [{**optimizer.param_groups[0], "params": [cell.flat]} for cell in going]
    plans = [step_plan(len(examples), batch=spec.batch, steps=spec.steps, seed=c.spec.seed) for c in going]
    plan_of = dict(zip(going, plans, strict=True))
    # The meter also counts adapters in the compute type, which outlive a step.
    measure = meter or build_meter(group.model, group.machine)
    memory = PeakWatch(lambda state: measure((*state, *group.kept)), optimizer)
    width, device = len(going), going[0].flat.device
    measured = set(range(1, spec.steps + 1)) if width == 1 else _select_measured_steps(examples, plans)
    shared = count_shared_tokens(examples, device)

    for step in range(1, spec.steps + 1):
        for cell in [cell for cell in going if should_stop(cell)]:
            _remove_cell(cell, going, optimizer)
            on_end(cell, None)
        if not going:
            break
        started = time.perf_counter()
        for cell, settings in zip(group.cells, optimizer.param_groups, strict=True):
            settings["lr"] = compute_learning_rate(step, steps=spec.steps, peak=cell.spec.learning_rate)

        batches = [[examples[i] for i in plan_of[cell][step - 1]] for cell in going]
        rows = [pack_examples(batch, device, shared=shared) for batch in batches]
        size = _compute_size(batches, rows)
        with memory.watch_step(step, size) if step in measured else nullcontext():
            losses, norms, width = compute_gradients(group, going, rows, width)
            for cell, norm in zip(going, norms, strict=True):
                cell.flat.grad = cell.grad if math.isfinite(norm) else None
            optimizer.step()
        group.memory_on_gpu = memory.on_gpu
        seconds, shared_by = time.perf_counter() - started, len(going)

        for cell, batch, loss, norm in zip(tuple(going), batches, losses, norms, strict=True):
            if not math.isfinite(norm):
                _remove_cell(cell, going, optimizer)
                on_end(cell, NonFiniteLoss(step, loss, norm))
                continue
            on_step(
                cell,
                SharedStep(
                    step=step,
                    loss=loss,
                    learning_rate=compute_learning_rate(step, steps=spec.steps, peak=cell.spec.learning_rate),
                    grad_norm=norm,
                    tokens=sum(len(item.ids) for item in batch),
                    seconds=seconds / shared_by,
                    shared_seconds=seconds,
                    shared_by=shared_by,
                    group_live_bytes=memory.live_bytes,
                    group_peak_bytes=memory.peak_bytes,
                ),
            )
    return going


def _compute_size(batches: Sequence[Sequence[Encoded]], rows: Sequence[PackedRow]) -> RowSize:
    """Compute the size of all cells' rows as if they were one."""
    if len(rows) == 1:
        return rows[0].size
    return RowSize(
        lengths=tuple(len(item.ids) for batch in batches for item in batch),
        answer_tokens=sum(row.targets.numel() for row in rows),
    )


def _select_measured_steps(examples: Sequence[Encoded], plans: Sequence[Sequence[Sequence[int]]]) -> set[int]:
    """Select a group's steps to measure. Counting every operator doubles the time of a shared step, so only
    three are measured at most: the first, for a learner who is watching, and of the others the one with the
    most tokens and the one with the most answer tokens in a row. One of the two has the peak to within a
    millionth on SmolLM2; on a model without a real vocabulary another row may need up to 1 % more.
    """
    weights = []
    for together in zip(*plans, strict=True):
        rows = [[examples[i] for i in picked] for picked in together]
        tokens = sum(len(item.ids) for row in rows for item in row)
        answers = max(sum(item.answer_tokens for item in row) for row in rows)
        weights.append((tokens, answers))
    later = range(1, len(weights))
    most_tokens = max(later, key=weights.__getitem__, default=0)
    most_answers = max(later, key=lambda step: weights[step][::-1], default=0)
    return {1, most_tokens + 1, most_answers + 1}


def compute_gradients(
    group: AdapterGroup, cells: Sequence[CellAdapter], rows: Sequence[PackedRow], width: int
) -> tuple[list[float], list[float], int]:
    """Compute losses and norms of the gradients, `width` cells at a time, halved when memory runs out; return
    also the width that fitted.
    """
    losses: list[float] = []
    norms: list[float] = []
    while len(losses) < len(cells):
        part = slice(len(losses), len(losses) + width)
        try:
            found = group.compute_gradients(cells[part], rows[part])
        except (MemoryError, RuntimeError) as error:
            if width == 1 or not is_out_of_memory(error):
                raise
            width = (width + 1) // 2
        else:
            losses += found[0]
            norms += found[1]
    return losses, norms, width


def _remove_cell(cell: CellAdapter, going: list[CellAdapter], optimizer: torch.optim.Optimizer) -> None:
    """Remove a cell: its parameters keep their last values; its gradient and moments are freed."""
    going.remove(cell)
    cell.flat.grad = None
    optimizer.state.pop(cell.flat, None)
