"""Benchmark on an emulated CPU without bf16: the lab's loop, a plain fp32 loop, the usual bf16 recipe.

    python -m benchmarks.laptop --rounds 3

PyTorch, oneDNN and MKL are limited to AVX2, as on an ordinary laptop. The lab chooses its compute type as at
every start. The plain loop is PEFT's own layers on padded rows; the usual recipe is the same in bf16 under
autocast, as in tutorials for 4-bit models.
"""

import json
import os
import statistics
import subprocess
import sys
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from time import perf_counter, process_time

import torch
from torch import nn

from benchmarks.trainer import Timed
from benchmarks.training import CPU, SPEC, LabRun, PaddedStep, Setting
from lora_lab.data.batches import step_plan
from lora_lab.spec import RunSpec
from lora_lab.worker.device.machine import Machine, find_machine
from lora_lab.worker.model.load import silence_libraries
from lora_lab.worker.training.loop import CLIP_NORM
from lora_lab.worker.training.work import list_versions
from study.base.command_line import build_module_parser

AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2", "MKL_ENABLE_INSTRUCTIONS": "AVX2"}
GOALS = {"plain fp32 loop": 1.25, "usual bf16 recipe": 10.0}


@dataclass(frozen=True)
class PlainRun:
    """A tutorial's own training loop: PEFT's layers, rows padded to the longest, AdamW."""

    setting: Setting
    model: nn.Module

    def __call__(self, spec: RunSpec) -> Timed:
        """Run all steps of `spec`."""
        trained = [p for p in self.model.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=spec.learning_rate, weight_decay=0.0)
        forward = PaddedStep(self.setting, self.model, None)
        examples = self.setting.examples
        losses = []
        cpu, wall = process_time(), perf_counter()
        for picked in step_plan(len(examples), batch=spec.batch, steps=spec.steps, seed=spec.seed):
            loss = forward([examples[i] for i in picked])
            loss.backward()
            torch.nn.utils.clip_grad_norm_(trained, CLIP_NORM)
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
        return Timed(process_time() - cpu, perf_counter() - wall, losses)


def main() -> None:
    """Print the comparison, then one JSON line with everything."""
    parser = build_module_parser("benchmarks.laptop", __doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--steps", type=int, default=4, help="steps per round; the bf16 recipe does one")
    options = parser.parse_args()
    if not AVX2.items() <= os.environ.items():
        # The libraries read these when they are loaded, so a new process has to start.
        command = [sys.executable, "-m", "benchmarks.laptop", *sys.argv[1:]]
        raise SystemExit(subprocess.run(command, env=os.environ | AVX2).returncode)
    silence_libraries()
    setting = Setting(find_machine().compute_name)
    print(f"The lab computes in {setting.machine.compute_name} here. {setting.format_headline()}")
    in_bf16 = setting.move_to(Machine(device=CPU, compute_dtype=torch.bfloat16))
    plain = setting.move_to(Machine(device=CPU, compute_dtype=torch.float32))
    runs: dict[str, LabRun | PlainRun] = {
        "the lab's loop": LabRun(setting.load_lab(), metered=False),
        "plain fp32 loop": PlainRun(plain, plain.load_usual()),
        "usual bf16 recipe": PlainRun(in_bf16, in_bf16.load_usual()),
    }
    rounds: dict[str, list[Timed]] = {name: [] for name in runs}
    for number in range(options.rounds + 1):
        for name, run in runs.items():
            steps = 1 if run is runs["usual bf16 recipe"] else options.steps
            timed = run(replace(SPEC, steps=steps, seed=number))
            if number:  # the first round warms up
                rounds[name].append(timed)
    report = {name: _compare(rounds["the lab's loop"], timed) for name, timed in rounds.items()}
    for name, (seconds, ratio, low, high) in report.items():
        goal = f", goal {GOALS[name]:g} x" if name in GOALS else ""
        spread = f"{ratio:.2f} x ({low:.2f} to {high:.2f})"
        print(f"{name:20}{seconds:8.2f} CPU s a step; the lab is faster by {spread}{goal}")
    at = datetime.now(UTC).isoformat(timespec="seconds")
    kept = {name: [asdict(timed) for timed in found] for name, found in rounds.items()}
    print(
        json.dumps(
            {"at": at, "compute": setting.machine.compute_name, "versions": list_versions(), "rounds": kept}
        )
    )


def _compare(lab: list[Timed], other: list[Timed]) -> tuple[float, float, float, float]:
    """Return the CPU seconds per step, and the ratio to the lab's same round: median, lowest, highest."""
    ratios = [_compute_step_seconds(b) / _compute_step_seconds(a) for a, b in zip(lab, other, strict=True)]
    return (
        statistics.median(map(_compute_step_seconds, other)),
        statistics.median(ratios),
        min(ratios),
        max(ratios),
    )


def _compute_step_seconds(timed: Timed) -> float:
    return timed.cpu_seconds / len(timed.losses)


if __name__ == "__main__":
    main()
