"""Benchmark of our training loop against Hugging Face Trainer + PEFT + bitsandbytes, on the same data.

    python -m benchmarks.training --rounds 5 --steps 8

All variants have the same weights and supervised tokens, run in one process and take turns, so other load
hits each of them; the measure is the ratio of CPU seconds, paired within a round. The gradient gate runs in
the same process on the same weights.
"""

import argparse
import copy
import json
import os
import statistics
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from functools import partial
from typing import Any, Self

os.environ["OMP_WAIT_POLICY"] = "PASSIVE"

import torch
from torch import Tensor, nn

from benchmarks.trainer import Padding, Timed, as_row, with_trainer, with_usual_adapter
from lora_lab.data.datasets import build_own_dataset
from lora_lab.parameters.shapes import find_shape
from lora_lab.spec import EMBEDDED_MODEL, RunSpec
from lora_lab.worker.device.gpu import GpuMemory
from lora_lab.worker.device.machine import CORES, Machine
from lora_lab.worker.model.load import load_model, load_tokenizer, silence_libraries
from lora_lab.worker.model.quantization import list_resident_tensors
from lora_lab.worker.training.group import AdapterGroup, count_shared_tokens
from lora_lab.worker.training.loaded_model import Adapted, LoadedModel, attach_adapter, open_model
from lora_lab.worker.training.loop import StepResult
from lora_lab.worker.training.memory_meter import LiveStorages
from lora_lab.worker.training.packing import Encoded, encode_example, pack_examples
from lora_lab.worker.training.work import list_versions
from study.base.command_line import build_module_parser
from study.base.settings import load_settings
from tests.lora_lab.worker.alone import train_alone
from tests.lora_lab.worker.builders import cell_gradient

SPEC = RunSpec(rank=8, alpha=16, batch=4, seq_len_tokens=512, learning_rate=2e-4)
GATES = {"bf16": 0.999, "fp32": 0.99999}
GATE_STEPS = (0, 1, 3)
CPU = torch.device("cpu")


@dataclass
class Variant:
    """A training implementation; `run` does a spec's steps, `peak_bytes` measures a step on one batch."""

    name: str
    run: Callable[[RunSpec], Timed]
    model: nn.Module
    peak_bytes: Callable[[Sequence[Encoded]], int]
    rounds: list[Timed] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._fresh = {name: p.detach().clone() for name, p in self._list_trained()}

    def start_over(self) -> None:
        """Reset the adapter, so every round of every variant begins at the same loss."""
        with torch.no_grad():
            for name, parameter in self._list_trained():
                parameter.copy_(self._fresh[name])

    def _list_trained(self) -> list[tuple[str, nn.Parameter]]:
        return [(name, p) for name, p in self.model.named_parameters() if "lora_" in name]


def main() -> None:
    """Print the tables, then one JSON line with everything."""
    options = _parse_options()
    silence_libraries()
    setting = Setting(options.compute)
    variants = setting.build_variants(metered=options.metered, graph_only=options.graph)
    print(setting.format_headline())  # after loading, which decides the number of threads for all variants
    for variant in variants:
        variant.run(replace(SPEC, steps=2))
    for number in range(options.rounds):
        for variant in variants:
            variant.start_over()
            variant.rounds.append(variant.run(replace(SPEC, steps=options.steps, seed=number)))
    speed = [_compare(variants[0], variant) for variant in variants]
    longest = sorted(setting.examples, key=lambda example: len(example.ids))[-SPEC.batch :]
    for row, variant in zip(speed, variants, strict=True):
        row["peak_bytes"] = variant.peak_bytes(longest)
    _print_speed(speed)
    gate = gradient_gate(setting)
    report = {"setting": setting.format_headline(), "versions": list_versions(), "speed": speed, "gate": gate}
    print(json.dumps({"at": datetime.now(UTC).isoformat(timespec="seconds"), **report}))


def _parse_options() -> argparse.Namespace:
    parser = build_module_parser("benchmarks.training", __doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=8, help="steps per round")
    parser.add_argument("--compute", choices=("bf16", "fp32"), default="bf16")
    parser.add_argument(
        "--graph", action="store_true", help="compare with the loop with PyTorch's graph, not with Trainer"
    )
    parser.add_argument(
        "--metered", action="store_true", help="with the lab's memory meter on, as in a real run"
    )
    return parser.parse_args()


class Setting:
    """The examples and the machine that all variants share."""

    def __init__(self, compute: str) -> None:
        dtype = torch.bfloat16 if compute == "bf16" else torch.float32
        self.models_dir = load_settings().models_dir
        self.machine = Machine(device=CPU, compute_dtype=dtype)
        tokenizer = load_tokenizer(EMBEDDED_MODEL, self.models_dir)
        self.examples = [encode_example(tokenizer, example) for example in build_own_dataset().train]

    def move_to(self, machine: Machine) -> "Setting":
        """Return the same examples on another machine (compute type)."""
        other = copy.copy(self)
        other.machine = machine
        return other

    def format_headline(self) -> str:
        """Format one line that names what is compared."""
        lengths = [len(item.ids) for item in self.examples]
        return (
            f"{EMBEDDED_MODEL}, NF4 + double quantization, rank {SPEC.rank} on all linear layers, "
            f"batch {SPEC.batch}, {self.machine.compute_name}; {len(lengths)} examples of {min(lengths)} to "
            f"{max(lengths)} tokens (mean {statistics.mean(lengths):.0f}); "
            f"{torch.get_num_threads()} of {CORES} cores"
        )

    def load_lab(self, *, graph: bool = False) -> "LabModel":
        """Load the lab's model with a fresh adapter, as a worker does; `graph` as it does for DoRA."""
        loaded = open_model(EMBEDDED_MODEL, "nf4-dq", self.machine, models_dir=self.models_dir)
        shape = find_shape(EMBEDDED_MODEL)
        adapted = attach_adapter(loaded, SPEC, shape) if graph else AdapterGroup(loaded, [SPEC], shape)
        return LabModel(loaded, adapted, self.examples)

    def load_usual(self) -> nn.Module:
        """Load the usual recipe: prepare_model_for_kbit_training and PEFT's own layers."""
        base = load_model(
            EMBEDDED_MODEL,
            "nf4-dq",
            compute_dtype=self.machine.compute_dtype,
            device=CPU,
            models_dir=self.models_dir,
        )
        return with_usual_adapter(base, SPEC)  # type: ignore[no-any-return]

    def build_variants(self, *, metered: bool, graph_only: bool) -> list[Variant]:
        """Build all variants, the lab's first because the others are compared with it."""
        labs = {"lab": self.load_lab(), "lab, PyTorch's graph": self.load_lab(graph=True)}
        ours = [
            Variant(name, LabRun(lab, metered), lab.adapted.model, lab.peak_bytes)
            for name, lab in labs.items()
        ]
        if graph_only:
            return ours
        model = self.load_usual()
        return [
            *ours,
            self._build_trainer("Trainer, dynamic padding", model, None),
            self._build_trainer("Trainer, padded to 256", model, 256),
        ]

    def _build_trainer(self, name: str, model: nn.Module, pad_to: int | None) -> Variant:
        bf16 = self.machine.compute_name == "bf16"
        run = partial(with_trainer, model, self.examples, pad_to=pad_to, bf16=bf16)
        return Variant(name, run, model, partial(_peak_bytes, model, PaddedStep(self, model, pad_to)))


@dataclass(frozen=True)
class LabModel:
    """The lab's model with an adapter."""

    loaded: LoadedModel
    adapted: AdapterGroup | Adapted
    examples: list[Encoded]

    def compute_gradient(self, batch: Sequence[Encoded]) -> Tensor:
        """Compute the whole adapter's gradient, in the order of its parameters' names, up to a factor."""
        assert isinstance(self.adapted, AdapterGroup)
        (cell,) = self.adapted.cells
        self.adapted.compute_gradients(
            [cell], [pack_examples(batch, CPU, shared=count_shared_tokens(self.examples, CPU))]
        )
        return cell_gradient(self.adapted, cell)

    def peak_bytes(self, batch: Sequence[Encoded]) -> int:
        """Measure the peak of live tensor bytes in a second step, when the optimizer's state exists."""
        steps: list[StepResult] = []
        train_alone(self.adapted, self.loaded, batch, replace(SPEC, steps=2), on_step=steps.append)
        return steps[-1].peak_bytes


@dataclass(frozen=True)
class LabRun:
    """The training loop as the worker runs it."""

    lab: LabModel
    metered: bool

    def __call__(self, spec: RunSpec) -> Timed:
        """Run all steps of `spec`."""
        lab = self.lab
        losses: list[float] = []
        cpu, wall = time.process_time(), time.perf_counter()
        train_alone(
            lab.adapted,
            lab.loaded,
            lab.examples,
            spec,
            on_step=lambda result: losses.append(result.loss),
            meter=None if self.metered else NoMeter,
        )
        return Timed(time.process_time() - cpu, time.perf_counter() - wall, losses)


class NoMeter:
    """A null memory meter, for runs that measure time only."""

    live_bytes = 0
    peak_bytes = 0
    on_gpu: GpuMemory | None = None

    def __init__(self, resident: Iterable[Tensor]) -> None:
        """Ignore the resident tensors that a meter takes."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: Any) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class PaddedStep:
    """One padded forward pass as Trainer does it."""

    setting: Setting
    model: nn.Module
    pad_to: int | None

    def __call__(self, batch: Sequence[Encoded]) -> Tensor:
        """Return the loss of one batch."""
        with self.setting.machine.autocast():
            loss: Tensor = self.model(
                **Padding(self.pad_to)([as_row(item) for item in batch]), use_cache=False
            ).loss
        return loss


def _peak_bytes(
    model: nn.Module, step: Callable[[Sequence[Encoded]], Tensor], batch: Sequence[Encoded]
) -> int:
    """Measure the peak of live tensor bytes in a second step, when the optimizer's state exists."""
    trained = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=0.0, fused=True)
    model.train()
    peak = 0
    for _ in range(2):
        state = [value for entry in optimizer.state.values() for value in entry.values()]
        meter = LiveStorages([*list_resident_tensors(model), *state])
        with meter:
            step(batch).backward()
            optimizer.step()
            optimizer.zero_grad()
        peak = meter.peak_bytes
    return peak


def _compare(lab: Variant, other: Variant) -> dict[str, Any]:
    ratios = [b.cpu_seconds / a.cpu_seconds for a, b in zip(lab.rounds, other.rounds, strict=True)]
    walls = [b.wall_seconds / a.wall_seconds for a, b in zip(lab.rounds, other.rounds, strict=True)]
    steps = len(other.rounds[0].losses)
    return {
        "variant": other.name,
        "cpu_seconds_a_step": statistics.median(r.cpu_seconds for r in other.rounds) / steps,
        "lab_is_faster": [statistics.median(ratios), min(ratios), max(ratios)],
        "lab_is_faster_wall": [statistics.median(walls), min(walls), max(walls)],
        "mean_loss": statistics.mean(loss for r in other.rounds for loss in r.losses),
    }


def _print_speed(rows: Sequence[dict[str, Any]]) -> None:
    heads = ("cpu-s a step", "lab is x faster (min-max)", "wall", "peak", "mean loss")
    print(
        " " * 26 + "".join(head.rjust(width) for head, width in zip(heads, (13, 28, 20, 9, 11), strict=True))
    )
    for row in rows:
        ratio, wall = (
            f"{middle:.2f} ({low:.2f}-{high:.2f})"
            for middle, low, high in (row["lab_is_faster"], row["lab_is_faster_wall"])
        )
        print(
            f"{row['variant']:26}{row['cpu_seconds_a_step']:13.2f}{ratio:>28}{wall:>20}"
            f"{row['peak_bytes'] / 1e6:6.0f} MB{row['mean_loss']:11.3f}"
        )


def gradient_gate(setting: Setting) -> list[dict[str, Any]]:
    """Compute the cosine, in float64, of the lab's whole adapter gradient with a plain fp32 PEFT model's.

    Both have the same stored weights and the same adapter: at step 0, and after real steps, where a bf16 sum
    can lose a young adapter.
    """
    plain = setting.move_to(Machine(device=CPU, compute_dtype=torch.float32))
    reference = plain.load_usual()
    usual_step = PaddedStep(plain, reference, None)
    fresh = setting.load_lab()
    results = []
    done = 0
    for steps in GATE_STEPS:
        if steps > done:
            LabRun(fresh, metered=False)(replace(SPEC, steps=steps - done, seed=done))
            done = steps
        batch = setting.examples[done * SPEC.batch : (done + 1) * SPEC.batch]
        _copy_adapter(fresh.adapted.model, reference)
        cosine = _compute_cosine(
            fresh.compute_gradient(batch), _compute_gradient(reference, usual_step, batch)
        )
        limit = GATES[setting.machine.compute_name]
        results.append({"after_steps": done, "cosine": cosine, "limit": limit, "passes": cosine >= limit})
        print(f"gradient gate after {done} steps: cosine {cosine:.7f}, limit {limit}")
    return results


def _copy_adapter(source: nn.Module, target: nn.Module) -> None:
    trained = {name: p for name, p in source.named_parameters() if "lora_" in name}
    with torch.no_grad():
        for name, parameter in target.named_parameters():
            if parameter.requires_grad:
                parameter.copy_(trained[name])


def _compute_gradient(
    model: nn.Module, step: Callable[[Sequence[Encoded]], Tensor], batch: Sequence[Encoded]
) -> Tensor:
    model.train()
    trained = sorted((name, p) for name, p in model.named_parameters() if p.requires_grad)
    for _, parameter in trained:
        parameter.grad = None
    step(batch).backward()
    return torch.cat([p.grad.double().flatten() for _, p in trained if p.grad is not None])


def _compute_cosine(a: Tensor, b: Tensor) -> float:
    return float(a @ b / (a.norm() * b.norm()))


if __name__ == "__main__":
    main()
