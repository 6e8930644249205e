"""The single checks of `make gpu-check`: each does one thing that the lab does on a GPU, and returns a line.

A check raises CheckFailed, or any error, when it fails; benchmarks/gpu_check.py then runs the next one.
"""

import gc
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from lora_lab.data.datasets import build_own_dataset
from lora_lab.data.lab_folder import LabHome
from lora_lab.engine.worker_process import WorkerProcess, start_worker
from lora_lab.runs.export_script import build_script
from lora_lab.runs.folder import RunFolder, create_run
from lora_lab.runs.merged_model import Merged
from lora_lab.runs.predicted_vs_measured import percent_above
from lora_lab.runs.state import RunState
from lora_lab.spec import BITS, EMBEDDED_MODEL, Bits, RunSpec
from lora_lab.worker.chat import ChatModel
from lora_lab.worker.device.gpu import (
    empty_cache,
    live_bytes,
    measure_workspace_bytes,
    predict_workspace_bytes,
)
from lora_lab.worker.device.machine import DEVICE_VARIABLE, Machine
from lora_lab.worker.merge import merge_run
from lora_lab.worker.model.load import build_tiny_tokenizer
from lora_lab.worker.training.model_cache import ModelCache
from lora_lab.worker.training.run import execute_group
from study.base.settings import Settings
from study.base.units import as_bytes

LIMIT_PERCENT = 2
"""Largest miss of a predicted peak, in bytes that tensors ask for; .25 % on the simulated device."""

GROUP_LIMIT_PERCENT = 10
SCRIPT_TOLERANCE = 1e-3
WIDTHS: tuple[Bits, ...] = BITS
RANKS = (1, 8, 64)
RANK_OF_WIDTHS = 8
PAGED_RANK = 128
"""bitsandbytes pages moments of at least 100,000 numbers; at rank 64 the embedded model's have 98,304."""
PATIENCE_SECONDS = 600
LARGE: dict[str, int] = {
    "hidden_size": 2048,
    "intermediate_size": 8192,
    "num_hidden_layers": 16,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "vocab_size": 32_000,
}
"""A model with 1.04 billion random weights: its bytes and times are those of a trained one."""


class CheckFailed(Exception):
    """The error of a check whose result is not what it must be."""


@dataclass(frozen=True, kw_only=True)
class CheckMachine:
    """Where checks work: machine, folders and settings of a run."""

    machine: Machine
    models_dir: Path
    folder: Path
    spec: RunSpec
    large: dict[str, int]

    def start(self, spec: RunSpec) -> RunFolder:
        """Create a run's folder."""
        return create_run(self.folder / "runs", spec, build_own_dataset(), now=datetime.now(UTC))

    @property
    def home(self) -> LabHome:
        """The lab's folder."""
        return LabHome(self.folder)


@dataclass(frozen=True, kw_only=True)
class CheckRow:
    """One finished run."""

    spec: RunSpec
    state: RunState
    held_before_bytes: int = 0
    """What the process held before, which is not the run's."""

    @property
    def started(self) -> dict[str, Any]:
        """The run's start event: device, versions, prediction."""
        assert self.state.started is not None
        return self.state.started

    @property
    def measured_bytes(self) -> int:
        """The run's own peak."""
        return self.state.peak_bytes - self.held_before_bytes

    @property
    def error_percent(self) -> float:
        """How far the measured peak is above (+) or below (-) the prediction."""
        return percent_above(self.measured_bytes, self.started["predicted_bytes"])


def run_specs(spec: RunSpec) -> Iterator[RunSpec]:
    """Yield every bit width at one rank, other ranks, and settings that change what a step allocates."""
    for bits in WIDTHS:
        yield replace(spec, bits=bits)
    for rank in RANKS:
        if rank != RANK_OF_WIDTHS:
            yield replace(spec, rank=rank, alpha=2.0 * rank)
    yield replace(spec, variant="dora")
    yield replace(spec, variant="dora", bits="bf16")
    yield replace(spec, checkpointing=True)
    yield replace(spec, optimizer="adamw8bit")
    yield replace(spec, optimizer="paged_adamw8bit", rank=PAGED_RANK, alpha=2.0 * PAGED_RANK)
    yield replace(spec, compute_dtype="fp32")
    yield replace(spec, compute_dtype="fp16")


def run_once(place: CheckMachine, spec: RunSpec) -> CheckRow:
    """Run once, as a worker does."""
    held = measure_held_bytes(place.machine)
    run = place.start(spec)
    execute_group([run], place.home, place.models_dir)
    return CheckRow(spec=spec, state=require_end(run), held_before_bytes=held)


def describe_miss(row: CheckRow) -> str:
    """Return what is wrong with a finished run; empty if nothing is."""
    if abs(row.error_percent) > LIMIT_PERCENT:
        return f"the peak is {row.error_percent:+.1f} % off (limit {LIMIT_PERCENT} %)"
    if row.state.loss_after is None or row.state.loss_before is None:
        return "it was not evaluated"
    if row.state.loss_after >= row.state.loss_before and row.spec.model == EMBEDDED_MODEL:
        return "the held-out loss did not fall"
    return ""


def group_of_four(place: CheckMachine) -> str:
    """Train four ranks side by side; compare with one of them alone.

    Runs in fp16 are always alone (memory/written_out.py), so cards that compute in it do this in fp32.
    """
    held, in_fp16 = measure_held_bytes(place.machine), place.machine.compute_name == "fp16"
    spec = replace(place.spec, compute_dtype="fp32") if in_fp16 else place.spec
    runs = [place.start(replace(spec, rank=rank, alpha=2.0 * rank)) for rank in (2, 4, 8, 16)]
    cache = ModelCache(place.models_dir, home=place.home)
    execute_group(runs, place.home, place.models_dir, cache=cache)
    states = [require_end(run) for run in runs]
    if states[0].shared_by != len(runs):
        raise CheckFailed(f"{states[0].shared_by} of {len(runs)} runs shared their steps")
    cache.clear()
    alone = run_once(place, spec).state
    measured, started = states[0].group_peak_bytes - held, states[0].started
    assert started is not None
    error = percent_above(measured, started["group_predicted_bytes"])
    if abs(error) > GROUP_LIMIT_PERCENT:
        raise CheckFailed(f"the group's peak is {error:+.1f} % off (limit {GROUP_LIMIT_PERCENT} %)")
    gain = (alone.seconds_per_step or 0) / max(1e-9, states[0].seconds_per_step or 0)
    named = f"in {started['device']['compute_dtype']}: peak {as_bytes(measured)} ({error:+.1f} %)"
    return f"{named}, {gain:.2f} x the speed of one run alone"


def chat_with_two_adapters(place: CheckMachine) -> str:
    """Ask the base and two adapters the same question."""
    runs = [place.start(replace(place.spec, rank=rank)) for rank in (4, 8)]
    for run in runs:
        execute_group([run], place.home, place.models_dir)
        require_end(run)
    model = ChatModel(place.models_dir, place.home)
    names = model.load_models(runs, lambda **_: None)
    began = time.perf_counter()
    texts = list(model.generate_answers(names, "What is LoRA?", seed=0, temperature=0.0))
    if set(texts[-1]) != set(names):
        raise CheckFailed(f"only {', '.join(texts[-1])} answered")
    return f"{len(names)} models, {len(texts)} rounds in {time.perf_counter() - began:.1f} s"


def merge_of_a_run(place: CheckMachine) -> str:
    """Merge a run's adapter into its base."""
    run = place.start(place.spec)
    execute_group([run], place.home, place.models_dir)
    require_end(run)
    before = live_bytes(place.machine.device) if place.machine.on_gpu else 0
    if not merge_run(run, place.models_dir):
        raise CheckFailed(Merged(run).state["text"])
    after = live_bytes(place.machine.device) if place.machine.on_gpu else 0
    if after > before:
        raise CheckFailed(f"merging left {as_bytes(after - before)} on the GPU, where it has no business")
    size = sum(path.stat().st_size for path in Merged(run).folder.glob("*.safetensors"))
    return f"{as_bytes(size)} written"


def exported_script(place: CheckMachine, bits: Bits = "nf4-dq") -> str:
    """Run the exported script in its own process; its losses are the run's.

    In fp32: in 16 bits the libraries round in other places than the lab, and in 20 steps that grows.
    """
    run = place.start(replace(place.spec, bits=bits, compute_dtype="fp32"))
    execute_group([run], place.home, place.models_dir)
    losses = [step["loss"] for step in require_end(run).steps]
    script = run.path / "run.py"
    script.write_text(build_script(run, place.home, place.models_dir), "utf-8")
    command = [sys.executable, "-W", "ignore", script.name, "--out", "kept"]
    out = _run_command(command, folder=run.path, device=place.machine.device)
    found = [float(loss) for loss in re.findall(r"   loss (\S+)", out)]
    if len(found) != len(losses):
        raise CheckFailed(f"it printed {len(found)} of {len(losses)} losses")
    worst = max(abs(a - b) for a, b in zip(found, losses, strict=True))
    if worst > SCRIPT_TOLERANCE:
        raise CheckFailed(f"a loss is {worst:.4f} off (limit {SCRIPT_TOLERANCE})")
    return f"{len(found)} losses, largest difference {worst:.1e}"


def killed_and_restarted_worker(place: CheckMachine) -> str:
    """Kill a worker process in the middle of a run; the next one trains on the same device at once."""
    settings = Settings(
        home=place.folder,
        database_url=f"sqlite:///{place.folder / 'study.sqlite3'}",
        models_dir=place.models_dir,
    )
    run = place.start(replace(place.spec, steps=2000))
    process = start_worker(settings, ["--run", str(run.path)])
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not run.state().steps and time.monotonic() < deadline and process.poll() is None:
        time.sleep(0.2)
    reached = len(run.state().steps)
    process.kill()
    process.wait()
    if process.stdin is not None:
        process.stdin.close()
    if not reached:
        raise CheckFailed("the worker did not do a step")
    worker = WorkerProcess(settings, ["--cold"])
    try:
        second = place.start(place.spec)
        exit_code = worker.do([second])
    finally:
        worker.finish(30)
    if exit_code is not None:
        raise CheckFailed(f"the second worker ended with status {exit_code}")
    state = require_end(second)
    assert state.started is not None
    return f"killed after step {reached}; the next worker finished on {state.started['device']['name']}"


def large_model(place: CheckMachine) -> str:
    """Train a model of a billion weights in NF4; only its bytes and its speed mean anything."""
    folder = place.folder / "large"
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        config = LlamaConfig(**place.large, pad_token_id=256, eos_token_id=256, bos_token_id=257)
        model = LlamaForCausalLM(config).to(torch.bfloat16)
    numbers = sum(parameter.numel() for parameter in model.parameters())
    model.save_pretrained(folder)
    build_tiny_tokenizer().save_pretrained(folder)
    del model
    gc.collect()
    # Every example is longer than that in bytes, so all rows are equal, the first step's too.
    row = run_once(place, replace(place.spec, model=str(folder), batch=16, seq_len_tokens=128))
    if problem := describe_miss(row):
        raise CheckFailed(problem)
    return (
        f"{numbers / 1e9:.2f} billion weights: peak {as_bytes(row.measured_bytes)} "
        f"({row.error_percent:+.1f} %), {row.state.tokens_per_second:.0f} tokens/s"
    )


def beside_trainer(place: CheckMachine) -> str:
    """Compare the time of a step with Trainer's on the same batches: the median, without the first, which
    loads kernels in Trainer's new process and not in this one.
    """
    spec = replace(place.spec, bits="nf4-dq", compute_dtype="auto")
    row = run_once(place, spec)
    command = [sys.executable, "-W", "ignore", "-m", "benchmarks.trainer", "--rank", str(spec.rank)]
    command += ["--learning-rate", str(spec.learning_rate), "--steps", str(spec.steps)]
    command += ["--compute", place.machine.compute_name]
    command += ["--adapter", str(place.folder / "trainer"), *(["--gpu"] if place.machine.on_gpu else [])]
    out = _run_command(command, folder=Path.cwd(), device=place.machine.device)
    theirs, ours = json.loads(out.strip().splitlines()[-1])["seconds_per_step"], row.state.seconds_per_step
    assert ours is not None
    return f"a step: lab {1000 * ours:.0f} ms, Trainer {1000 * theirs:.0f} ms: {theirs / ours:.2f} x"


def gpu_tests(place: CheckMachine) -> str:
    """Run the tests that need CUDA."""
    command = [sys.executable, "-m", "pytest", "-q", "-m", "gpu", "tests/gpu"]
    out = _run_command(command, folder=Path.cwd(), device=place.machine.device)
    return out.strip().splitlines()[-1]


def workspaces(place: CheckMachine) -> str:
    """Compare the workspaces of the matrix products with what is computed for this kind of GPU."""
    if not place.machine.on_gpu:
        return "none on a processor"
    measured = measure_workspace_bytes(place.machine.device)
    predicted = predict_workspace_bytes(place.machine.device)
    if predicted is None:
        return f"{as_bytes(measured)}, and none predicted: products here aren't computed by cuBLAS"
    if measured != predicted:
        raise CheckFailed(f"{as_bytes(measured)} instead of {as_bytes(predicted)}")
    return f"{as_bytes(measured)}, as predicted"


CHECKS: dict[str, Callable[[CheckMachine], str]] = {
    "workspaces of the products": workspaces,
    "a group of four": group_of_four,
    "chat with two adapters": chat_with_two_adapters,
    "merge": merge_of_a_run,
    "exported script": exported_script,
    "exported script, int8": lambda place: exported_script(place, "int8"),
    "a killed worker and the next": killed_and_restarted_worker,
    "a model of a billion weights": large_model,
    "beside Trainer": beside_trainer,
    "tests on the GPU": gpu_tests,
}
"""What the lab does besides single runs, by the name in the report."""


def measure_held_bytes(machine: Machine) -> int:
    """Measure the bytes that tensors hold before a run, without the workspaces, which a run doesn't count."""
    gc.collect()
    if not machine.on_gpu:
        return 0
    empty_cache(machine.device)
    return live_bytes(machine.device) - measure_workspace_bytes(machine.device)


def show_only(device: torch.device) -> dict[str, str]:
    """Return the variables that show a child process one CUDA device only: of several, Trainer takes all,
    with a batch for each, and an exported script takes the first.
    """
    if device.type != "cuda":
        return {}
    number, shown = device.index or 0, os.environ.get("CUDA_VISIBLE_DEVICES", "")
    return {"CUDA_VISIBLE_DEVICES": shown.split(",")[number] if shown else str(number), DEVICE_VARIABLE: ""}


def require_end(run: RunFolder) -> RunState:
    """Return the state of a run that finished. Raises CheckFailed with its own words otherwise."""
    state = run.state()
    if state.failure:
        raise CheckFailed(state.failure_text)
    if state.status != "finished":
        raise CheckFailed(f"the run is {state.status}")
    return state


def _run_command(command: Sequence[str], *, folder: Path, device: torch.device) -> str:
    variables = os.environ | show_only(device)
    done = subprocess.run(
        command, cwd=folder, env=variables, capture_output=True, text=True, timeout=1800, check=False
    )
    if done.returncode:
        said = (done.stderr or done.stdout).strip().splitlines()
        raise CheckFailed(said[-1] if said else f"it ended with status {done.returncode}")
    return done.stdout
