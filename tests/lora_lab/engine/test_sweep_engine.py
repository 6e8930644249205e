"""Sweeps with real worker processes: one process for many cells, failures between them, and lives of the app.

Starting a worker takes seconds, so each story is told once by a fixture and looked at by several tests.
"""

import csv
import io
import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from lora_lab.__main__ import main
from lora_lab.data.datasets import own_dataset
from lora_lab.data.lab_folder import LabHome
from lora_lab.engine.local import LocalEngine
from lora_lab.engine.queue import take_first
from lora_lab.runs.folder import RunFolder, create_run, list_runs
from lora_lab.runs.state import fold_events
from lora_lab.runs.sweeps import Sweep, list_sweeps, open_sweep
from lora_lab.settings.grid import grid_from
from lora_lab.spec import TINY_MODEL, RunSpec
from lora_lab.worker.training.run import execute_run
from study.base.settings import Settings
from tests.lora_lab.engine.real_runs import (
    NOW,
    ROOT,
    SHORT,
    ended,
    is_gone,
    settings_in,
    sums,
    two_steps_done,
    wait_until,
)

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
LONG = replace(SHORT, steps=80, batch=1)
"""Long enough to be cut off in the middle."""


def losses(run: RunFolder) -> list[float]:
    state = fold_events(run.events())
    return [step["loss"] for step in state.steps] + [state.loss_before or 0.0, state.loss_after or 0.0]


def never_stop() -> bool:
    return False


def environment(models_dir: Path) -> dict[str, str]:
    return os.environ | {"LORA_STUDY_MODELS": str(models_dir)}


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
        asdict(spec) for spec in on_command_line.sweep.grid.specs()
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
    alone = create_run(tmp_path / "runs", in_sweep.spec, own_dataset(), now=NOW)
    assert execute_run(alone, LabHome(tmp_path), models_dir, app_is_gone=never_stop)
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
    grid = grid_from(base, {"ranks": "1,4", "learning_rates": "2e-3,1e30"})
    sweep = LocalEngine(settings, warm=False, own_only=True).submit_sweep(grid, own_dataset(), now=NOW)
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
        asdict(spec) for spec in on_ray.sweep.grid.specs()
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


# ---- Ctrl-C, and going on


@dataclass
class Interrupted:
    """A sweep that was interrupted in its second cell, as it was then and as it is at its end."""

    sweep_id: str
    settings: Settings
    status: int
    printed: list[dict[str, Any]]
    said: str
    attempts_before: tuple[tuple[str, ...], ...]
    statuses_before: Sequence[str]
    status_after: int
    printed_after: list[dict[str, Any]]


def hear_ctrl_c() -> None:
    """A shell starts what it runs in the background deaf to Ctrl-C, and tests may run there."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.fixture(scope="module")
def interrupted(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Interrupted:
    folder = tmp_path_factory.mktemp("interrupted")
    command = [sys.executable, "-m", "lora_lab", "sweep", "--model", TINY_MODEL, "--steps", "80", "--json"]
    command += [
        "--ranks",
        "1,2,4",
        "--bits",
        "nf4",
        "--batch",
        "1",
        "--compute-dtype",
        "fp32",
        "--one-by-one",
    ]
    process = subprocess.Popen(
        [*command, "--data-folder", str(folder)],
        cwd=ROOT,
        env=environment(models_dir),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=hear_ctrl_c,
    )
    assert process.stderr is not None
    said = ""
    for line in process.stderr:
        said += line
        if line.startswith("cell 2 of 3, r=2 nf4: step "):
            os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of its processes
            break
    out, rest = process.communicate()
    settings = settings_in(folder, models_dir)
    (sweep,) = list_sweeps(settings.sweeps_dir)
    statuses = [fold_events(run.events()).status for _, run in sweep.cells(settings.runs_dir) if run]

    again = subprocess.run(
        [*command[:4], "--resume", sweep.sweep_id, "--json", "--one-by-one", "--data-folder", str(folder)],
        cwd=ROOT,
        env=environment(models_dir),
        capture_output=True,
        text=True,
    )
    return Interrupted(
        sweep.sweep_id,
        settings,
        process.returncode,
        [json.loads(line) for line in out.splitlines()],
        said + rest,
        sweep.attempts,
        statuses,
        again.returncode,
        [json.loads(line) for line in again.stdout.splitlines()],
    )


def test_ctrl_c_keeps_what_is_finished_and_says_how_to_go_on(interrupted: Interrupted) -> None:
    assert interrupted.status == 130
    assert [summary["spec"]["rank"] for summary in interrupted.printed] == [1]
    assert interrupted.statuses_before == ["finished", "stopped", "queued"]
    last = interrupted.said.splitlines()[-1]
    assert last == (
        f"Continue with: python -m lora_lab sweep --resume {interrupted.sweep_id} --engine local"
        f" --data-folder {interrupted.settings.home} --one-by-one"
    )


def test_the_app_leaves_the_waiting_cells_of_a_command_line_alone(interrupted: Interrupted) -> None:
    engine = LocalEngine(interrupted.settings, warm=False)
    engine.pause()
    engine.start()
    assert engine.waiting() == []
    engine.close()


def test_resuming_does_what_is_left_and_nothing_twice(interrupted: Interrupted) -> None:
    sweep = open_sweep(interrupted.settings.sweeps_dir, interrupted.sweep_id)
    assert interrupted.status_after == 0
    assert [summary["spec"]["rank"] for summary in interrupted.printed_after] == [1, 2, 4]
    assert interrupted.printed_after[0] == interrupted.printed[0]
    assert [len(runs) for runs in sweep.attempts] == [1, 2, 1]
    assert [runs[0] for runs in sweep.attempts] == [runs[0] for runs in interrupted.attempts_before]
    assert all(summary["eval_loss_after"] for summary in interrupted.printed_after)


def test_a_sweep_that_nobody_has_is_an_error_in_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["sweep", "--resume", "../../etc", "--json", "--data-folder", str(tmp_path)]) == 1
    assert json.loads(capsys.readouterr().out)["error"].startswith("There is no sweep with that name.")


# ---- the app is killed in the middle of a grid, and started again

APP = """
import sys, threading
from datetime import UTC, datetime
from pathlib import Path
from lora_lab.data.datasets import load_saved
from lora_lab.settings.grid import Grid
from lora_lab.engine.local import LocalEngine
from lora_lab.engine.queue import take_first
from study.base.settings import Settings
home, models_dir, data, grid = sys.argv[1:]
settings = Settings(home=Path(home), database_url="", models_dir=Path(models_dir))
engine = LocalEngine(settings, warm=False, gather=take_first)
engine.start()
engine.pause()
sweep = engine.submit_sweep(Grid.from_json(grid), load_saved(Path(data)), now=datetime.now(UTC))
engine.move(sweep.run_ids[3], 2)
engine.resume()
print(sweep.sweep_id, flush=True)
threading.Event().wait()
"""


@dataclass
class Restarted:
    """A grid that two apps worked on."""

    settings: Settings
    sweep: Sweep
    finished_first: bytes
    order_before: list[str]
    ended_at: list[float]


@pytest.fixture(scope="module")
def restarted(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Restarted:
    folder = tmp_path_factory.mktemp("restarted")
    data = create_run(folder / "data", SHORT, sums(), now=NOW)
    settings = settings_in(folder / "home", models_dir)
    grid = grid_from(LONG, {"ranks": "1,2,4,8"})
    arguments = [str(settings.home), str(models_dir), str(data.path), grid.to_json()]
    app = subprocess.Popen(
        [sys.executable, "-c", APP, *arguments], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    assert app.stdout is not None
    before = open_sweep(settings.sweeps_dir, app.stdout.readline().strip())
    first, second = (RunFolder(settings.runs_dir / run_id) for run_id in before.run_ids[:2])
    wait_until(first, ended)
    finished_first = first.events_path.read_bytes()
    wait_until(second, two_steps_done)
    app.kill()
    app.wait()
    order = json.loads((settings.home / "lab" / "queue.json").read_text())["order"]

    engine = LocalEngine(settings, warm=False, gather=take_first)
    engine.start()
    last = RunFolder(settings.runs_dir / before.run_ids[2])
    wait_until(last, ended)
    engine.close()
    sweep = open_sweep(settings.sweeps_dir, before.sweep_id)
    runs = [run for _, run in sweep.cells(settings.runs_dir) if run]
    return Restarted(
        settings, sweep, finished_first, order, [fold_events(run.events()).ended_at or 0.0 for run in runs]
    )


def test_after_a_restart_every_cell_of_a_grid_is_finished(restarted: Restarted) -> None:
    runs = [run for _, run in restarted.sweep.cells(restarted.settings.runs_dir) if run]
    assert [fold_events(run.events()).status for run in runs] == ["finished"] * 4
    assert [len(fold_events(run.events()).steps) for run in runs] == [LONG.steps] * 4


def test_what_was_finished_before_the_app_was_killed_is_untouched(restarted: Restarted) -> None:
    first = RunFolder(restarted.settings.runs_dir / restarted.sweep.run_ids[0])
    assert first.events_path.read_bytes() == restarted.finished_first


def test_the_cell_that_was_cut_off_is_begun_anew_and_the_old_run_is_kept(restarted: Restarted) -> None:
    assert [len(runs) for runs in restarted.sweep.attempts] == [1, 2, 1, 1]
    old = RunFolder(restarted.settings.runs_dir / restarted.sweep.attempts[1][0])
    state = fold_events(old.events())
    assert state.cut_off
    assert 2 <= len(state.steps) < LONG.steps


def test_the_order_of_the_queue_outlives_a_killed_app(restarted: Restarted) -> None:
    third, fourth = restarted.sweep.run_ids[2:]
    assert restarted.order_before == [fourth, third]
    times = restarted.ended_at
    assert times[1] < times[3] < times[2], "the cell that was cut off comes first, then the moved one"


def test_a_restart_leaves_the_finished_runs_one_process(restarted: Restarted) -> None:
    pids = {fold_events(run.events()).worker_pid for run in list_runs(restarted.settings.runs_dir)}
    assert len(pids) == 2, "one for each life of the app"
