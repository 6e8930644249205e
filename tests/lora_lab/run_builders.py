"""Runs as their events leave them, without a worker: for pages, downloads and lists that read folders."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from lora_lab.data.datasets import build_own_dataset
from lora_lab.runs.folder import RunFolder, create_run
from lora_lab.spec import RunSpec

NOW = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)
TINY = RunSpec(model="tiny-random", steps=20)
DEVICE = {"type": "cpu", "name": "CPU, 2 threads", "memory_bytes": 8 * 10**9, "compute_dtype": "fp32"}
PREDICTED = {
    "weights": 300_000, "constants": 20_000, "adapters": 30_000, "gradients": 30_000, "optimizer": 60_000,
    "activations": 400_000, "logits": 100_000, "scratch": 60_000, "fixed": 0,
}  # fmt: skip
VERSIONS = {"torch": "2.13.0", "transformers": "5.24.0", "peft": "0.21.2", "bitsandbytes": "0.50.2"}


def queued(runs_dir: Path, spec: RunSpec = TINY, *, after_seconds: int = 0) -> RunFolder:
    """A run that waits."""
    run = create_run(runs_dir, spec, build_own_dataset(), now=NOW + timedelta(seconds=after_seconds))
    run.emit("queued")
    return run


def training(runs_dir: Path, spec: RunSpec = TINY, *, steps: int = 3, after_seconds: int = 0) -> RunFolder:
    """A run in the middle of its work."""
    run = queued(runs_dir, spec, after_seconds=after_seconds)
    train(run, steps=steps)
    return run


def emit_started(run: RunFolder, **changed: Any) -> None:
    """What a worker says of a run when its model is loaded."""
    said = {
        "trainable": 448,
        "total": 10_000,
        "predicted": PREDICTED,
        "predicted_bytes": sum(PREDICTED.values()),
        "row": {"lengths": [10] * 4, "answer_tokens": 12},
        "device": DEVICE,
        "versions": VERSIONS,
        "train_examples": 140,
        "cut_examples": 0,
    }
    run.emit("started", **said | changed)


def emit_step(run: RunFolder, number: int, **changed: Any) -> None:
    """What a worker says of a step, without its bytes."""
    said = {
        "loss": 4.0 - number / 8,
        "learning_rate": 2e-3,
        "grad_norm": 1.0,
        "tokens": 40,
        "seconds": 0.5,
    }
    run.emit("step", step=number, **said | changed)


def train(run: RunFolder, *, steps: int = 3) -> None:
    """What a worker says of a queued run until its last step."""
    run.emit("status", text="Loading the model", worker_pid=0)
    emit_started(run, cut_examples=3)
    for number in range(1, steps + 1):
        emit_step(run, number, live_bytes=700_000, peak_bytes=990_000)


def side_by_side(runs_dir: Path, spec: RunSpec = TINY, *, shared_by: int = 3) -> RunFolder:
    """A run that shared its two steps and its base with others, and ended well."""
    run = queued(runs_dir, spec)
    run.emit("status", text="Loading the model", worker_pid=0)
    emit_started(run, shared_by=shared_by, group_predicted_bytes=2_000_000)
    for number in (1, 2):
        emit_step(
            run,
            number,
            seconds=0.2,
            shared_seconds=0.2 * shared_by,
            shared_by=shared_by,
            group_live_bytes=1_500_000,
            group_peak_bytes=1_990_000,
        )
    run.emit("evaluated", loss_before=5.5, loss_after=2.25, examples=20)
    run.emit("finished", step=2)
    return run


def finished(runs_dir: Path, spec: RunSpec = TINY, *, steps: int = 3, after_seconds: int = 0) -> RunFolder:
    """A run that ended well, with an adapter and answers."""
    run = training(runs_dir, spec, steps=steps, after_seconds=after_seconds)
    run.adapter_path.mkdir()
    (run.adapter_path / "adapter_config.json").write_text('{"r": 8}')
    (run.adapter_path / "adapter_model.safetensors").write_bytes(b"weights")
    run.emit("saved", step=steps)
    run.emit("evaluated", loss_before=5.5, loss_after=2.25, examples=20)
    answers = [
        {"prompt": "What is W?", "reference": "Frozen.", "base": "<b>W</b>", "tuned": "The frozen weight."}
    ]
    (run.path / "samples.json").write_text(json.dumps({"samples": answers}))
    run.emit("finished", step=steps)
    return run


def failed(runs_dir: Path, spec: RunSpec = TINY, *, after_seconds: int = 0) -> RunFolder:
    """A run that did not."""
    run = training(runs_dir, spec, after_seconds=after_seconds)
    run.emit("failed", step=3, cause="killed", what="The process was killed.", do_next="Start again.")
    return run
