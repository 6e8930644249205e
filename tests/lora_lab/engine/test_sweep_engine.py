"""Sweeps with real worker processes: one process for many cells, failures between them, and the same on Ray.

Starting a worker takes seconds, so each story is told once by a fixture and looked at by several tests.
"""

import csv
import io
import json
import subprocess
import sys
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pytest

from lora_lab.data.datasets import build_own_dataset
from lora_lab.data.lab_folder import LabHome
from lora_lab.engine.local import LocalEngine
from lora_lab.runs.folder import RunFolder, create_run
from lora_lab.runs.state import fold_events
from lora_lab.runs.sweeps import Sweep, list_sweeps, open_sweep
from lora_lab.settings.grid import parse_grid
from lora_lab.spec import TINY_MODEL, RunSpec
from lora_lab.worker.training.run import execute_group
from tests.lora_lab.engine.real_runs import NOW, ROOT, environment, is_gone, settings_in

SUMMARY = {
    "run_dir",
    "trainable",
    "total",
    "loss_first",
    "loss_last",
    "eval_loss_before",
    "eval_loss_after",
    "peak_bytes",
    "predicted_bytes",
    "tokens_per_second",
    "seconds",
    "device",
    "compute_dtype",
    "spec",
    "table",
}


def losses(run: RunFolder) -> list[float]:
    state = fold_events(run.events())
    return [step["loss"] for step in state.steps] + [state.loss_before or 0.0, state.loss_after or 0.0]


def never_stop() -> bool:
    return False


# ---- a grid on the command line, half of whose cells must fail


@dataclass
class OnCommandLine:
    """What the command printed, and what it left."""

    summaries: list[dict[str, Any]]
    said: str
    status: int
    sweep: Sweep
    runs: list[RunFolder]


@pytest.fixture(scope="module")
def on_command_line(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> OnCommandLine:
    folder = tmp_path_factory.mktemp("command-line")
    command = [sys.executable, "-m", "lora_lab", "sweep", "--model", TINY_MODEL, "--steps", "3", "--json"]
    command += ["--ranks", "1,4", "--bits", "nf4,int8", "--learning-rates", "2e-3,1e30"]
    command += ["--compute-dtype", "fp32", "--engine", "local", "--one-by-one"]
    command += ["--data-folder", str(folder)]
    done = subprocess.run(command, cwd=ROOT, env=environment(models_dir), capture_output=True, text=True)
    summaries = [json.loads(line) for line in done.stdout.splitlines()]
    (sweep,) = list_sweeps(folder / "sweeps")
    runs = [RunFolder(Path(summary["run_dir"])) for summary in summaries]
    return OnCommandLine(summaries, done.stderr, done.returncode, sweep, runs)


def test_sweep_prints_one_summary_a_cell_in_the_grids_order(on_command_line: OnCommandLine) -> None:
    summaries = on_command_line.summaries
    assert [summary["spec"] for summary in summaries] == [
        asdict(spec) for spec in on_command_line.sweep.grid.list_specs()
    ]
    assert all(set(summary) - {"error", "shared_by"} == SUMMARY for summary in summaries)
    for summary in summaries:
        if "error" not in summary:
            assert all(value is not None for value in summary.values())
            assert summary["eval_loss_after"] < summary["eval_loss_before"]


def test_a_failed_cell_is_a_line_with_its_error_and_the_rest_goes_on(on_command_line: OnCommandLine) -> None:
    failed = [summary for summary in on_command_line.summaries if "error" in summary]
    assert {summary["spec"]["learning_rate"] for summary in failed} == {1e30}
    assert len(failed) == 4
    assert all("stopped being a number at step 2" in summary["error"] for summary in failed)
    assert on_command_line.status == 1


def test_sweep_says_first_what_it_will_take_and_then_what_it_does(on_command_line: OnCommandLine) -> None:
    said = on_command_line.said.splitlines()
    assert said[0].startswith("8 cells. Largest predicted peak: at most ")
    assert said[0].endswith("Time: not known, no similar run finished here.")
    steps = Counter(line.split(":")[0] for line in said if ": step " in line)
    assert steps["cell 1 of 8, r=1 nf4 lr 0.002"] == 3
    assert steps["cell 8 of 8, r=4 int8 lr 1e+30"] == 1
    assert said[-1] == f"Results table: {on_command_line.sweep.table_path}"


def test_the_table_has_a_line_for_each_cell(on_command_line: OnCommandLine) -> None:
    text = on_command_line.sweep.table_path.read_text("utf-8")
    rows = list(csv.DictReader(io.StringIO(text)))
    assert [row["run_id"] for row in rows] == list(on_command_line.sweep.run_ids)
    for row, summary in zip(rows, on_command_line.summaries, strict=True):
        assert (int(row["rank"]), row["bits"]) == (summary["spec"]["rank"], summary["spec"]["bits"])
        assert row["status"] == ("failed" if "error" in summary else "finished")
        assert row["error"] == summary.get("error", "")
        assert row["eval_loss_after"] == str(summary["eval_loss_after"] or "")
        assert int(row["peak_bytes"]) == summary["peak_bytes"]
        assert summary["table"] == str(on_command_line.sweep.table_path)


def test_one_process_serves_all_cells_and_loads_a_base_once_for_each_bit_width(
    on_command_line: OnCommandLine,
) -> None:
    """Also after cells whose loss was no number."""
    states = [fold_events(run.events()) for run in on_command_line.runs]
    assert len({state.worker_pid for state in states}) == 1
    assert is_gone(states[0].worker_pid)
    loads = [
        run.spec.bits
        for run in on_command_line.runs
        for event in run.events()
        if event.get("text") == "Loading the model"
    ]
    assert loads == ["nf4", "int8"]


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing. is deprecated")
@pytest.mark.parametrize("cell", [0, 1, 4, 5])
def test_a_cell_has_the_losses_of_the_same_spec_run_alone(
    cell: int, on_command_line: OnCommandLine, tmp_path: Path, models_dir: Path
) -> None:
    """Cell 4 comes after failed cells and another base, cells 1 and 5 after a base that was used."""
    in_sweep = on_command_line.runs[cell]
    alone = create_run(tmp_path / "runs", in_sweep.spec, build_own_dataset(), now=NOW)
    assert execute_group([alone], LabHome(tmp_path), models_dir, app_is_gone=never_stop)
    assert losses(in_sweep) == losses(alone)
    measured = [
        [
            (step["live_bytes"], step["peak_bytes"], step["grad_norm"])
            for step in fold_events(run.events()).steps
        ]
        for run in (in_sweep, alone)
    ]
    assert measured[0] == measured[1]


# ---- the same on Ray, which goes on with what somebody else left


@dataclass
class OnRay:
    """A sweep whose first cell was cut off before Ray got it."""

    summaries: list[dict[str, Any]]
    status: int
    said: str
    sweep: Sweep
    runs: list[RunFolder]


@pytest.fixture(scope="module")
def on_ray(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> OnRay:
    settings = settings_in(tmp_path_factory.mktemp("ray"), models_dir)
    base = RunSpec(model=TINY_MODEL, bits="nf4", steps=3, compute_dtype="fp32")
    grid = parse_grid(base, {"ranks": "1,4", "learning_rates": "2e-3,1e30"})
    sweep = LocalEngine(settings, warm=False, own_only=True).submit_sweep(grid, build_own_dataset(), now=NOW)
    first = RunFolder(settings.runs_dir / sweep.run_ids[0])
    first.emit("stopped", step=2, cut_off=True)
    for run_id in sweep.run_ids[1:]:
        (settings.runs_dir / run_id / "events.jsonl").unlink()  # its holder is gone
    command = [sys.executable, "-m", "lora_lab", "sweep", "--resume", sweep.sweep_id, "--engine", "ray"]
    command += ["--cpus-per-run", "1", "--json", "--data-folder", str(settings.home)]
    done = subprocess.run(command, cwd=ROOT, env=environment(models_dir), capture_output=True, text=True)
    summaries = [json.loads(line) for line in done.stdout.splitlines()]
    runs = [RunFolder(Path(summary["run_dir"])) for summary in summaries]
    found = open_sweep(settings.sweeps_dir, sweep.sweep_id)
    return OnRay(summaries, done.returncode, done.stderr, found, runs)


def test_ray_gets_the_numbers_of_the_local_engine(on_ray: OnRay, on_command_line: OnCommandLine) -> None:
    assert [summary["spec"] for summary in on_ray.summaries] == [
        asdict(spec) for spec in on_ray.sweep.grid.list_specs()
    ], on_ray.said
    local = {run.spec: run for run in on_command_line.runs}
    for run in on_ray.runs:
        # A trial has one processor, the local engine all of them: sums may be rounded in another order.
        assert losses(run) == pytest.approx(losses(local[run.spec]), rel=1e-5)
        there, here = (fold_events(found.events()) for found in (run, local[run.spec]))
        assert there.peak_bytes == here.peak_bytes
        assert (there.status, (there.failure or {}).get("what")) == (
            here.status,
            (here.failure or {}).get("what"),
        )


def test_ray_leaves_the_same_events_and_the_same_table(on_ray: OnRay, on_command_line: OnCommandLine) -> None:
    local = {run.spec: run for run in on_command_line.runs}
    for run in on_ray.runs:
        assert _milestones(run) == _milestones(local[run.spec])
        assert set(started_of(run)) == set(started_of(local[run.spec]))
    with on_ray.sweep.table_path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["status"] for row in rows] == ["finished", "finished", "failed", "failed"]
    assert [row["run_id"] for row in rows] == list(on_ray.sweep.run_ids)
    assert on_ray.status == 1


def test_ray_takes_up_what_was_left_and_begins_anew_what_was_cut_off(on_ray: OnRay) -> None:
    assert [len(attempts) for attempts in on_ray.sweep.attempts] == [2, 1, 1, 1]
    assert [run.run_id for run in on_ray.runs] == list(on_ray.sweep.run_ids)
    assert all(is_gone(fold_events(run.events()).worker_pid) for run in on_ray.runs)


def _milestones(run: RunFolder) -> list[str]:
    return [event["kind"] for event in run.events() if event["kind"] != "status"]


def started_of(run: RunFolder) -> dict[str, Any]:
    started = fold_events(run.events()).started
    assert started is not None
    return started
