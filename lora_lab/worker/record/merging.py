"""One adapter merged three ways, after several numbers of steps: errors of the weights and the logits, and
the loss.
"""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lora_lab.data.datasets import build_own_dataset
from lora_lab.figures.adapters.merging import STEPS
from lora_lab.memory.ledger import BLOCK_SIZE
from lora_lab.parameters.shapes import find_shape
from lora_lab.spec import EMBEDDED_MODEL, Bits, RunSpec
from lora_lab.worker.device.machine import Machine
from lora_lab.worker.inspect.lora_update import WRAPPED
from lora_lab.worker.inspect.rounding import round_to
from lora_lab.worker.merge import load_dequantized
from lora_lab.worker.model.quantization import copy_weight, list_linears, put_weight
from lora_lab.worker.training.loaded_model import attach_adapter, open_model
from lora_lab.worker.training.loop import StepResult, train_adapter
from lora_lab.worker.training.packing import Encoded, cut_to, encode_example

SPEC = RunSpec(bits="nf4", rank=8, batch=2, steps=max(STEPS), seed=0)
HELD_OUT = 12  # examples
Matrices = dict[str, Tensor]
"""Matrices by the name of the layer."""


def record_merging(models_dir: Path, machine: Machine) -> dict[str, Any]:
    """Train once, then merge every snapshot in every way into the dequantized base."""
    updates, held_out = _train_updates(models_dir, machine)
    plain = load_dequantized(EMBEDDED_MODEL, SPEC.bits, models_dir).eval()
    layers = dict(list_linears(plain))
    base = {name: copy_weight(layer) for name, layer in layers.items()}
    base_loss, _ = _measure_answers(plain, held_out)
    trial = MergeMeasurement(plain, layers, base, held_out)
    return {
        "model": EMBEDDED_MODEL,
        "bits": SPEC.bits, "rank": SPEC.rank, "targets": SPEC.targets, "batch": SPEC.batch,
        "alpha": SPEC.alpha, "learning_rate": SPEC.learning_rate, "seed": SPEC.seed, "steps": SPEC.steps,
        "block_size": BLOCK_SIZE, "held_out_examples": len(held_out), "base_loss": base_loss,
        "snapshots": [{"steps": steps} | trial.measure(update) for steps, update in updates.items()],
    }  # fmt: skip


def _train_updates(models_dir: Path, machine: Machine) -> tuple[dict[int, Matrices], Sequence[Encoded]]:
    """Return B·A times its scale after each number of steps, and the held-out examples."""
    loaded = open_model(EMBEDDED_MODEL, SPEC.bits, machine, models_dir=models_dir)
    dataset = build_own_dataset()
    examples, kept = (
        cut_to([encode_example(loaded.tokenizer, one) for one in part], SPEC.seq_len_tokens)
        for part in (dataset.train, dataset.held_out)
    )
    model = attach_adapter(loaded, SPEC, find_shape(SPEC.model)).model
    updates: dict[int, Matrices] = {}

    def on_step(result: StepResult) -> None:
        if result.step in STEPS:
            updates[result.step] = dict(_list_updates(model))

    train_adapter(model, examples, SPEC, machine, on_step=on_step)
    return updates, kept[:HELD_OUT]


@torch.no_grad()
def _list_updates(model: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for name, layer in model.named_modules():
        if hasattr(layer, "lora_A"):
            a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
            yield name.removeprefix(WRAPPED), layer.scaling["default"] * (b @ a)


WAYS: tuple[Bits, ...] = ("fp32", "bf16", "nf4")
"""How the sum is stored after the base was dequantized."""


class MergeMeasurement:
    """A plain model whose weights are set to one merge after the other."""

    def __init__(
        self, plain: nn.Module, layers: dict[str, nn.Module], base: Matrices, held_out: Sequence[Encoded]
    ) -> None:
        self._plain, self._layers, self._base, self._held_out = plain, layers, base, held_out

    def measure(self, update: Matrices) -> dict[str, Any]:
        """Measure the size of the update, its loss while unmerged, and each way's errors."""
        unmerged_loss, wanted = self._measure_unmerged(update)
        norm = _compute_norm(update.values())
        return {
            "update_over_base": norm / _compute_norm(self._base[name] for name in update),
            "unmerged_loss": unmerged_loss,
            "ways": {way: self._measure_way(way, update, norm, wanted) for way in WAYS},
        }

    @torch.no_grad()
    def _measure_unmerged(self, update: Matrices) -> tuple[float, Tensor]:
        """Measure the adapter in addition to the base: W x + (B·A) x."""
        hooks = []
        for name, layer in self._layers.items():
            put_weight(layer, self._base[name])
            hooks.append(layer.register_forward_hook(partial(_add_update, update[name])))
        asked = _measure_answers(self._plain, self._held_out)
        for hook in hooks:
            hook.remove()
        return asked

    @torch.no_grad()
    def _measure_way(self, way: Bits, update: Matrices, norm: float, wanted: Tensor) -> dict[str, float]:
        errors = []
        for name, layer in self._layers.items():
            exact = self._base[name] + update[name]
            stored = round_to(exact, way)
            put_weight(layer, stored)
            errors.append(stored - exact)
        loss, logits = _measure_answers(self._plain, self._held_out)
        return {
            "weight_error_over_update": _compute_norm(errors) / norm,
            "logit_error": ((logits - wanted).norm() / wanted.norm()).item(),
            "loss": loss,
        }


def _add_update(update: Tensor, layer: nn.Module, given: tuple[Tensor, ...], output: Tensor) -> Tensor:
    return output + F.linear(given[0], update)


@torch.no_grad()
def _measure_answers(model: nn.Module, held_out: Sequence[Encoded]) -> tuple[float, Tensor]:
    """Return the mean loss over all answer tokens, and the logits (answers, vocab) it is computed from."""
    logits, targets = [], []
    for example in held_out:
        ids = torch.tensor([example.ids])
        answers = ids[0, len(example.ids) - example.answer_tokens :]
        given = model(input_ids=ids, use_cache=False, logits_to_keep=len(answers) + 1).logits[0, :-1]
        logits.append(given.float())
        targets.append(answers)
    joined = torch.cat(logits)
    return F.cross_entropy(joined, torch.cat(targets)).item(), joined


def _compute_norm(matrices: Any) -> float:
    """Compute the norm of all matrices together."""
    return float(sum(float(matrix.detach().double().pow(2).sum()) for matrix in matrices) ** 0.5)
