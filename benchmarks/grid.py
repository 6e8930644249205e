"""Benchmark of a whole grid, start-ups included: the lab's sweep against one Trainer process per cell.

    python -m benchmarks.grid                     4 ranks x 3 learning rates x 40 steps, some 30 minutes
    python -m benchmarks.grid --quick             the same twelve cells, 8 steps each
    python -m benchmarks.grid --core --rounds 5   ranks 4, 16 and 32 at one learning rate, in five rounds
    python -m benchmarks.grid --rounds 5 --trainers 1   one Trainer process per round stands for all twelve

Both sides start their processes, load and quantize, train every cell on the same batches and save every
adapter. The lab's side is its own command `sweep`, so it also measures the held-out loss of every cell, asks
sample questions and writes all events. A process of the Hugging Face Trainer evaluates its cell too; the main
ratio excludes that, and a second, labelled ratio includes it.

The measure is CPU seconds of all processes, because other load disturbs it least. Half of the Trainer runs
come before the lab's grid and half after it. The ratio's spread is over the Trainer runs, each times twelve.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import product
from pathlib import Path
from typing import Any

from lora_lab.runs.folder import list_runs
from lora_lab.runs.state import RunState
from study.base.command_line import build_module_parser
from study.base.settings import Settings, load_settings

RANKS = (4, 8, 16, 32)
LEARNING_RATES = (5e-4, 1e-3, 2e-3)
CORE_RANKS, CORE_LEARNING_RATES = (4, 16, 32), (1e-3,)
STEPS, QUICK_STEPS = 40, 8
GIB = 2**30


@dataclass(frozen=True)
class Spent:
    """The resources that a process and its children used."""

    cpu_seconds: float
    wall_seconds: float
    rss_bytes: int
    """Resident memory of the largest process."""

    output: str


def main() -> None:
    """Print each round's comparison, then one JSON line with everything about it; at the end the median."""
    options = _parse_options()
    _load_once()
    ratios = [_compare(options, number) for number in range(options.rounds)]
    low, high, middle = min(ratios), max(ratios), statistics.median(ratios)
    print(f"{options.rounds} rounds: {middle:.2f} x in the middle ({low:.2f} to {high:.2f})")


def _compare(options: argparse.Namespace, number: int) -> float:
    """Run both sides once; return how many times faster the lab is, in CPU seconds."""
    steps = QUICK_STEPS if options.quick else STEPS
    ranks, rates = (CORE_RANKS, CORE_LEARNING_RATES) if options.core else (RANKS, LEARNING_RATES)
    cells = list(product(rates, ranks))
    count = options.trainers or len(cells)
    sample = [cells[(number * count + each) % len(cells)] for each in range(count)]
    first, then = sample[: (count + 1) // 2], sample[(count + 1) // 2 :]
    loads = [os.getloadavg()[0]]
    trainers = [_run_trainer(rank, rate, steps, options) for rate, rank in first]
    loads.append(os.getloadavg()[0])
    lab, states = _run_lab(ranks, rates, steps, options)
    loads.append(os.getloadavg()[0])
    trainers += [_run_trainer(rank, rate, steps, options) for rate, rank in then]
    loads.append(os.getloadavg()[0])
    report = _summarize(lab, states, trainers, sample)
    _print(report, steps)
    print(f"load {min(loads):.1f} to {max(loads):.1f}")
    setting = {"steps": steps, "threads": options.threads, "compute": options.compute, "loads": loads}
    at = datetime.now(UTC).isoformat(timespec="seconds")
    print(json.dumps({"at": at, **setting, **report}), flush=True)
    return float(report["ratio"])


def _parse_options() -> argparse.Namespace:
    parser = build_module_parser("benchmarks.grid", __doc__)
    parser.add_argument(
        "--quick", action="store_true", help=f"{QUICK_STEPS} steps per cell instead of {STEPS}"
    )
    parser.add_argument("--core", action="store_true", help="three cells instead of twelve")
    parser.add_argument("--trainers", type=int, help="Trainer processes per round, which stand for all cells")
    parser.add_argument("--rounds", type=int, default=1, help="times that both sides run")
    parser.add_argument("--compute", choices=("bf16", "fp32"), default="bf16")
    parser.add_argument("--threads", type=int, default=1, help="of every process; 0 leaves it to each side")
    return parser.parse_args()


def _load_once() -> None:
    """Fetch the model before either side starts."""
    from lora_lab.worker.model.load import prepare_embedded

    prepare_embedded(load_settings().models_dir)


def _run_trainer(rank: int, rate: float, steps: int, options: argparse.Namespace) -> Spent:
    with tempfile.TemporaryDirectory() as folder:
        command = ["benchmarks.trainer", "--rank", str(rank), "--learning-rate", str(rate)]
        command += ["--steps", str(steps), "--compute", options.compute, "--adapter", f"{folder}/adapter"]
        return _measure(command, options.threads)


def _run_lab(
    ranks: Sequence[int], rates: Sequence[float], steps: int, options: argparse.Namespace
) -> tuple[Spent, list[RunState]]:
    """Run the lab's grid; return its resources and the final state of each cell."""
    with tempfile.TemporaryDirectory() as folder:
        command = ["lora_lab", "sweep", "--json", "--data-folder", folder, "--steps", str(steps)]
        command += ["--ranks", _join(ranks), "--learning-rates", _join(rates)]
        command += ["--compute-dtype", options.compute]
        spent = _measure(command, options.threads)
        runs = list(list_runs(Settings(home=Path(folder), database_url="", models_dir=Path()).runs_dir))
        return spent, [run.state() for run in reversed(runs)]


def _join(values: Sequence[float]) -> str:
    return ",".join(str(value) for value in values)


def _measure(module: Sequence[str], threads: int) -> Spent:
    """Run `python -m ...` to its end and return its resources. Raises SystemExit when it fails."""
    environment = os.environ | {"LORA_STUDY_MODELS": str(load_settings().models_dir)}
    environment |= {"OMP_WAIT_POLICY": "PASSIVE"} | ({"OMP_NUM_THREADS": str(threads)} if threads else {})
    with tempfile.TemporaryFile("w+") as output:
        started = time.perf_counter()
        process = subprocess.Popen([sys.executable, "-m", *module], stdout=output, env=environment)
        _, status, used = os.wait4(process.pid, 0)
        wall_seconds = time.perf_counter() - started
        output.seek(0)
        if status:
            raise SystemExit(f"{' '.join(module)} failed: {output.read()[-2000:]}")
        return Spent(used.ru_utime + used.ru_stime, wall_seconds, used.ru_maxrss * 1024, output.read())


def _summarize(
    lab: Spent, states: Sequence[RunState], trainers: Sequence[Spent], cells: Sequence[tuple[float, int]]
) -> dict[str, Any]:
    """Summarize one round. `cells` are those of the Trainer processes, which may be fewer than the lab's."""
    steps = [json.loads(run.output.splitlines()[-1]) for run in trainers]
    each = len(states) / len(trainers)
    evaluating = each * sum(timed["cpu_seconds_of_held_out_loss"] for timed in steps)
    cpu = [
        run.cpu_seconds - timed["cpu_seconds_of_held_out_loss"]
        for run, timed in zip(trainers, steps, strict=True)
    ]
    trained, wall_seconds = each * sum(cpu), each * sum(run.wall_seconds for run in trainers)
    ends = {cell: timed["losses"][-1] for cell, timed in zip(cells, steps, strict=True)}
    ours = {(s["spec"]["learning_rate"], s["spec"]["rank"]): s["loss_last"] for s in _parse_summaries(lab)}
    return {
        "lab": {
            "cpu_seconds": lab.cpu_seconds,
            "wall_seconds": lab.wall_seconds,
            "rss_bytes": lab.rss_bytes,
            "group_peak_bytes": max(state.group_peak_bytes for state in states),
            "predicted_bytes": max((state.started or {})["group_predicted_bytes"] for state in states),
            "shared_by": [state.shared_by for state in states],
            "ended": [state.status for state in states],
        },
        "trainer": {
            "processes": len(trainers),
            "cpu_seconds": trained,
            "wall_seconds": wall_seconds,
            "rss_bytes": max(run.rss_bytes for run in trainers),
            "cpu_seconds_in_steps": each * sum(timed["cpu_seconds"] for timed in steps),
            "cpu_seconds_each": [min(cpu), max(cpu)],
            "cpu_seconds_of_held_out_losses": evaluating,
        },
        "ratio": trained / lab.cpu_seconds,
        "ratio_spread": [len(states) * min(cpu) / lab.cpu_seconds, len(states) * max(cpu) / lab.cpu_seconds],
        "ratio_with_held_out_losses": (trained + evaluating) / lab.cpu_seconds,
        "ratio_wall": wall_seconds / lab.wall_seconds,
        "largest_difference_of_last_losses": max(abs(ends[cell] - ours[cell]) for cell in cells),
    }


def _parse_summaries(lab: Spent) -> list[dict[str, Any]]:
    return [json.loads(line) for line in lab.output.splitlines() if line.startswith("{")]


def _print(report: dict[str, Any], steps: int) -> None:
    lab, trainer = report["lab"], report["trainer"]
    print(f"{len(lab['ended'])} cells of {steps} steps, start-ups included")
    print(f"{'':28}{'CPU seconds':>12}{'wall':>10}{'largest process':>18}")
    for name, side in (("the lab's sweep", lab), ("Trainer, dynamic padding", trainer)):
        print(
            f"{name:28}{side['cpu_seconds']:10.0f} s{side['wall_seconds']:8.0f} s"
            f"{side['rss_bytes'] / GIB:14.2f} GiB"
        )
    low, high = report["ratio_spread"]
    print(
        f"the lab is {report['ratio']:.2f} x faster ({low:.2f} to {high:.2f}), "
        f"wall with evaluation {report['ratio_wall']:.2f} x"
    )
    print(f"with Trainer's evaluation counted, too: {report['ratio_with_held_out_losses']:.2f} x")
    print(
        f"side by side: {max(lab['shared_by'])}; live tensors at their peak "
        f"{lab['group_peak_bytes'] / 1e6:.0f} MB, predicted {lab['predicted_bytes'] / 1e6:.0f} MB"
    )
    print(f"last losses differ by at most {report['largest_difference_of_last_losses']:.3f}")


if __name__ == "__main__":
    main()
