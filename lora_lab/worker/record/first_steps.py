"""B and A of one adapted matrix before training and after each of the first steps: how far each has moved."""

from pathlib import Path
from typing import Any

from torch import Tensor, nn

from lora_lab.data.datasets import build_own_dataset
from lora_lab.figures.adapters.first_steps import LAST_STEP, PARTS
from lora_lab.parameters.shapes import find_shape
from lora_lab.spec import EMBEDDED_MODEL, RunSpec
from lora_lab.worker.device.machine import Machine
from lora_lab.worker.model.quantization import copy_weight
from lora_lab.worker.training.loop import StepResult, train_adapter
from lora_lab.worker.training.packing import cut_to, encode_example
from lora_lab.worker.training.session import attach_adapter, build_meter, open_session

SPEC = RunSpec(steps=LAST_STEP)
LAYER = 15
MATRIX = f"layers.{LAYER}.self_attn.q_proj"
DIGITS = 3


def record_first_steps(models_dir: Path, machine: Machine) -> dict[str, Any]:
    """Train as the introduction's run does, and measure one matrix's B and A around every step."""
    session = open_session(EMBEDDED_MODEL, SPEC.bits, machine, models_dir=models_dir)
    given = [encode_example(session.tokenizer, one) for one in build_own_dataset().train]
    examples = cut_to(given, SPEC.seq_len_tokens)
    model = attach_adapter(session, SPEC, find_shape(SPEC.model)).model
    layer = next(layer for name, layer in model.named_modules() if name.endswith(MATRIX))
    measured = MeasuredAdapter(layer)
    snapshots = [measured.measure(0)]

    def on_step(result: StepResult) -> None:
        snapshots.append(measured.measure(result.step))

    train_adapter(
        model, examples, SPEC,
        autocast=machine.autocast, meter=build_meter(model, machine), on_step=on_step,
    )  # fmt: skip
    return {
        "model": EMBEDDED_MODEL,
        "layer": LAYER, "matrix": "q_proj",
        "bits": SPEC.bits, "rank": SPEC.rank, "targets": SPEC.targets, "batch": SPEC.batch,
        "alpha": SPEC.alpha, "learning_rate": SPEC.learning_rate, "seed": SPEC.seed, "steps": SPEC.steps,
        "snapshots": snapshots,
    }  # fmt: skip


class MeasuredAdapter:
    """One adapted layer, measured against its frozen W and against the A that it began with."""

    def __init__(self, layer: Any) -> None:
        self._layer = layer
        self._weight_norm = copy_weight(layer.base_layer).double().norm()
        self._first_a = self._a.clone()

    @property
    def _a(self) -> Tensor:
        return _weight_of(self._layer.lora_A)  # (rank, d_in)

    @property
    def _b(self) -> Tensor:
        return _weight_of(self._layer.lora_B)  # (d_out, rank)

    def measure(self, step: int) -> dict[str, Any]:
        """Return the sizes of A, B and their product after `step` steps.

        `b` (PARTS, rank) and `a` (rank, PARTS) are root mean squares of equal parts of the long side.
        """
        update = self._layer.scaling["default"] * (self._b @ self._a)
        moved = (self._a - self._first_a).norm() / self._first_a.norm()
        return {
            "step": step,
            "update_over_base": _rounded((update.norm() / self._weight_norm).item()),
            "a_moved": _rounded(moved.item()),
            "b_norm": _rounded(self._b.norm().item()),
            "b": _list_rows(_part_sizes(self._b.T).T),
            "a": _list_rows(_part_sizes(self._a)),
        }


def _weight_of(adapters: Any) -> Tensor:
    weight: nn.Parameter = adapters["default"].weight
    return weight.detach().double()


def _part_sizes(matrix: Tensor) -> Tensor:
    """Return the root mean square of each of PARTS equal parts of a row: (rank, d) -> (rank, PARTS)."""
    parts = matrix.reshape(matrix.shape[0], PARTS, -1)
    return parts.pow(2).mean(dim=2).sqrt()


def _list_rows(sizes: Tensor) -> list[list[float]]:
    return [[_rounded(size.item()) for size in row] for row in sizes]


def _rounded(number: float) -> float:
    return float(f"{number:.{DIGITS}g}")
