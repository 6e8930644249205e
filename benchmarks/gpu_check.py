"""The lab's end-to-end run on a CUDA device, for several bit widths and ranks, and a report of it.

    python -m benchmarks.gpu_check

Each row of the report is a whole run as the page does it: load, train, save, evaluate, answer. Its peak is
the CUDA allocator's `max_memory_allocated` less what the process held before (cuBLAS keeps a workspace),
next to the prediction made before the run started.
"""

import argparse
import gc
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import torch

from lora_lab.data.datasets import own_dataset
from lora_lab.data.lab_folder import LabHome
from lora_lab.runs.folder import create_run
from lora_lab.runs.predicted_vs_measured import percent_above
from lora_lab.runs.state import RunState, fold
from lora_lab.spec import BITS_LABELS, EMBEDDED_MODEL, Bits, RunSpec
from lora_lab.worker.model.load import quiet_libraries
from lora_lab.worker.training.run import execute
from study.base.settings import load_settings
from study.base.units import as_bytes, as_count

LIMIT_PERCENT = 15
WIDTHS: tuple[Bits, ...] = ("nf4-dq", "nf4", "fp4", "int8", "bf16")
RANKS = (1, 8, 64)
RANK_OF_WIDTHS = 8
COLUMNS = (
    "weights", "rank", "trainable", "predicted peak", "measured peak", "error", "tokens/s", "held-out loss"
)  # fmt: skip
REPORT = Path("docs") / "gpu-report.md"


@dataclass(frozen=True, kw_only=True)
class Row:
    """One finished run and the bytes held before it."""

    spec: RunSpec
    state: RunState
    held_before_bytes: int

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


def main(arguments: Sequence[str] | None = None) -> int:
    """Check all runs; return 0 if all are within the limit, 1 without CUDA or a result, 2 on a miss."""
    options = _options(arguments)
    if not torch.cuda.is_available() and not options.allow_cpu:
        print(
            "No CUDA device was found, so there is nothing to check: this needs a machine with an NVIDIA GPU."
        )
        return 1
    quiet_libraries()
    rows, models_dir = [], load_settings().models_dir
    for spec in grid(options.model, options.steps):
        row = one_run(spec, models_dir)
        if row is None:
            return 1
        print(_cells(row), flush=True)
        rows.append(row)
    options.out.parent.mkdir(parents=True, exist_ok=True)
    options.out.write_text(report(rows, now=datetime.now(UTC)), "utf-8")
    print(f"Written: {options.out}")
    return 0 if all(abs(row.error_percent) <= LIMIT_PERCENT for row in rows) else 2


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.gpu_check", description=__doc__)
    parser.add_argument("--model", default=EMBEDDED_MODEL)
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--out", type=Path, default=REPORT)
    parser.add_argument("--allow-cpu", action="store_true", help="run on a CPU where there is no GPU")
    return parser.parse_args(arguments)


def grid(model: str, steps: int) -> Iterator[RunSpec]:
    """Yield every bit width at one rank, then every other rank at the default bit width."""
    spec = RunSpec(model=model, steps=steps, rank=RANK_OF_WIDTHS)
    for bits in WIDTHS:
        yield replace(spec, bits=bits)
    for rank in RANKS:
        if rank != RANK_OF_WIDTHS:
            yield replace(spec, rank=rank, alpha=2.0 * rank)


def one_run(spec: RunSpec, models_dir: Path) -> Row | None:
    """Execute a run in its own data folder; print the failure and return None when it failed."""
    held_before_bytes = held_bytes()
    with tempfile.TemporaryDirectory() as folder:
        run = create_run(Path(folder) / "runs", spec, own_dataset(), now=datetime.now(UTC))
        execute(run, LabHome(Path(folder)), models_dir, app_is_gone=_never)
        state = fold(run.events())
    if state.failure is not None:
        print(f"{spec.bits}, rank {spec.rank}: {state.failure['what']} {state.failure['do_next']}")
        return None
    return Row(spec=spec, state=state, held_before_bytes=held_before_bytes)


def held_bytes() -> int:
    """Return the allocator's bytes before a run: cuBLAS' workspace, nothing of the previous run."""
    if not torch.cuda.is_available():
        return 0
    gc.collect()
    x = torch.ones(64, 64, device="cuda", dtype=torch.bfloat16)
    torch.mm(x, x)
    del x
    torch.cuda.synchronize()
    return torch.cuda.memory_allocated()


def report(rows: Sequence[Row], *, now: datetime) -> str:
    """Render the report page: device, versions, and a table with every run."""
    first = rows[0].started
    device, versions = first["device"], ", ".join(f"{name} {v}" for name, v in first["versions"].items())
    memory, spec = as_bytes(device["memory_bytes"]), rows[0].spec
    worst = max(rows, key=_miss)
    return "\n".join(
        [
            f"# The lab's runs on a {'GPU' if device['type'] == 'cuda' else 'CPU'}",
            "",
            f"Device: {device['name']}, {memory}, computing in {device['compute_dtype']}.",
            f"Versions: {versions}. Written by `make gpu-check` at {now:%Y-%m-%d %H:%M} UTC.",
            f"Model: {spec.model}; {spec.steps} steps of {spec.batch} examples a run.",
            "",
            f"Largest miss of a prediction: {worst.error_percent:+.1f} % (limit {LIMIT_PERCENT} %), for "
            f"{BITS_LABELS[worst.spec.bits]} at rank {worst.spec.rank}.",
            "",
            f"| {' | '.join(COLUMNS)} |",
            "|---" * len(COLUMNS) + "|",
            *map(_cells, rows),
            "",
        ]
    )


def _miss(row: Row) -> float:
    return abs(row.error_percent)


def _cells(row: Row) -> str:
    state, started = row.state, row.started
    cells = (
        BITS_LABELS[row.spec.bits],
        row.spec.rank,
        as_count(started["trainable"]),
        as_bytes(started["predicted_bytes"]),
        as_bytes(row.measured_bytes),
        f"{row.error_percent:+.1f} %",
        f"{state.tokens_per_second:.0f}",
        f"{state.loss_before:.3f} → {state.loss_after:.3f}",
    )
    return f"| {' | '.join(map(str, cells))} |"


def _never() -> bool:
    return False


if __name__ == "__main__":
    sys.exit(main())
