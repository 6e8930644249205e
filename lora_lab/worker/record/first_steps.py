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
from lora_lab.worker.training.loaded_model import attach_adapter, open_model
from lora_lab.worker.training.loop import StepResult, train_adapter
from lora_lab.worker.training.packing import cut_to, encode_example

SPEC = RunSpec(steps=LAST_STEP)
LAYER = 15
MATRIX = f"layers.{LAYER}.self_attn.q_proj"
DIGITS = 3


def record_first_steps(models_dir: Path, machine: Machine) -> dict[str, Any]:
    """Train as the introduction's run does, and measure one matrix's B and A around every step."""
    loaded = open_model(EMBEDDED_MODEL, SPEC.bits, machine, models_dir=models_dir)
    given = [encode_example(loaded.tokenizer, one) for one in build_own_dataset().train]
    examples = cut_to(given, SPEC.seq_len_tokens)
    model = attach_adapter(loaded, SPEC, find_shape(SPEC.model)).model
    layer = next(layer for name, layer in model.named_modules() if name.endswith(MATRIX))
    measured = MeasuredAdapter(layer)
    snapshots = [measured.measure(0)]

    def on_step(result: StepResult) -> None:
        snapshots.append(measured.measure(result.step))

    train_adapter(model, examples, SPEC, machine, on_step=on_step)
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
        return _read_weight(self._layer.lora_A)  # (rank, d_in)

    @property
    def _b(self) -> Tensor:
        return _read_weight(self._layer.lora_B)  # (d_out, rank)

    def measure(self, step: int) -> dict[str, Any]:
        """Return the sizes of A, B and their product after `step` steps.

        `b` (PARTS, rank) and `a` (rank, PARTS) are root mean squares of equal parts of the long side.
        """
        update = self._layer.scaling["default"] * (self._b @ self._a)
        moved = (self._a - self._first_a).norm() / self._first_a.norm()
        return {
            "step": step,
            "update_over_base": _round_digits((update.norm() / self._weight_norm).item()),
            "a_moved": _round_digits(moved.item()),
            "b_norm": _round_digits(self._b.norm().item()),
            "b": _list_rows(_measure_parts(self._b.T).T),
            "a": _list_rows(_measure_parts(self._a)),
        }


def _read_weight(adapters: Any) -> Tensor:
    weight: nn.Parameter = adapters["default"].weight
    return weight.detach().double()


def _measure_parts(matrix: Tensor) -> Tensor:
    """Measure the root mean square of each of PARTS equal parts of a row: (rank, d) -> (rank, PARTS)."""
    parts = matrix.reshape(matrix.shape[0], PARTS, -1)
    return parts.pow(2).mean(dim=2).sqrt()


def _list_rows(sizes: Tensor) -> list[list[float]]:
    return [[_round_digits(size.item()) for size in row] for row in sizes]


def _round_digits(number: float) -> float:
    return float(f"{number:.{DIGITS}g}")
