"""Sweeps that go on: after Ctrl-C on the command line, and after the app was killed.

Starting a worker takes seconds, so each story is told once by a fixture and looked at by several tests.
"""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from lora_lab.__main__ import main
from lora_lab.engine.fork_server import ForkServer
from lora_lab.engine.local import LocalEngine
from lora_lab.engine.queue import take_first
from lora_lab.runs.folder import RunFolder, create_run, list_runs
from lora_lab.runs.state import fold_events
from lora_lab.runs.sweeps import Sweep, list_sweeps, open_sweep
from lora_lab.settings.grid import parse_grid
from lora_lab.spec import TINY_MODEL
from study.base.settings import Settings
from tests.lora_lab.engine.real_runs import (
    NOW,
    ROOT,
    SHORT,
    ended,
    environment,
    settings_in,
    sums,
    two_steps_done,
    wait_until,
)

LONG = replace(SHORT, steps=80, batch=1)
"""Long enough to be cut off in the middle."""


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
    assert engine.list_waiting() == []
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
def restarted(
    tmp_path_factory: pytest.TempPathFactory, models_dir: Path, shared_fork_server: ForkServer
) -> Restarted:
    folder = tmp_path_factory.mktemp("restarted")
    data = create_run(folder / "data", SHORT, sums(), now=NOW)
    settings = settings_in(folder / "home", models_dir)
    grid = parse_grid(LONG, {"ranks": "1,2,4,8"})
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

    engine = LocalEngine(settings, warm=False, gather=take_first, fork_server=shared_fork_server)
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
