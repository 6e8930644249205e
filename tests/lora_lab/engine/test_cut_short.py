"""A killed worker, a stop, and an app that closes or is killed in the middle of a run.

Starting a worker takes seconds, so the story is told once by a fixture and looked at by several tests.
"""

import os
import signal
import subprocess
import sys
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from lora_lab.engine.fork_server import ForkServer
from lora_lab.engine.local import LocalEngine
from lora_lab.runs.folder import RunFolder, create_run, list_runs
from lora_lab.runs.state import fold_events
from study.base.settings import Settings
from tests.lora_lab.engine.real_runs import (
    DEADLINE_SECONDS,
    ENDLESS,
    NOW,
    ROOT,
    SHORT,
    ended,
    is_gone,
    kinds,
    settings_in,
    sums,
    two_steps_done,
    wait_until,
)
from tests.waiting import wait_for


@dataclass
class RoughDay:
    """Runs that ended before their last step."""

    killed: RunFolder
    stopped: RunFolder
    taken_back: RunFolder
    closed: RunFolder
    stop_was_asked_after: int


@pytest.fixture(scope="module")
def rough_day(
    tmp_path_factory: pytest.TempPathFactory, models_dir: Path, shared_fork_server: ForkServer
) -> RoughDay:
    settings = settings_in(tmp_path_factory.mktemp("rough-day"), models_dir)
    engine = LocalEngine(settings, warm=False, fork_server=shared_fork_server)
    engine.start()
    killed = engine.submit(ENDLESS, sums(), now=NOW)
    stopped = engine.submit(ENDLESS, sums(), now=NOW + timedelta(seconds=1))
    taken_back = engine.submit(ENDLESS, sums(), now=NOW + timedelta(seconds=2))
    engine.stop(taken_back.run_id)
    closed = engine.submit(ENDLESS, sums(), now=NOW + timedelta(seconds=3))

    os.kill(wait_until(killed, two_steps_done).worker_pid, signal.SIGKILL)
    wait_until(killed, ended)
    asked_after = len(wait_until(stopped, two_steps_done).steps)
    engine.stop(stopped.run_id)
    wait_until(stopped, ended)
    wait_until(closed, two_steps_done)
    engine.close()
    return RoughDay(killed, stopped, taken_back, closed, asked_after)


def test_a_killed_worker_is_a_failed_run_with_cause_and_next_action(rough_day: RoughDay) -> None:
    state = fold_events(rough_day.killed.events())
    assert state.failure is not None
    assert state.failure["cause"] == "killed"
    assert f"killed from outside after step {len(state.steps)}" in state.failure["what"]
    assert "probably ran out of memory" in state.failure["what"]
    assert "your settings are kept" in state.failure["what"]
    assert state.failure["do_next"].startswith("Start again. If it happens again, try")


def test_the_run_after_a_killed_one_works(rough_day: RoughDay) -> None:
    assert two_steps_done(fold_events(rough_day.stopped.events()))


def test_stop_keeps_the_adapter_and_says_at_which_step(rough_day: RoughDay) -> None:
    state = fold_events(rough_day.stopped.events())
    assert state.status == "stopped"
    assert rough_day.stop_was_asked_after <= len(state.steps) < ENDLESS.steps
    assert state.saved_step == len(state.steps) == rough_day.stopped.events()[-1]["step"]
    assert (rough_day.stopped.adapter_path / "adapter_model.safetensors").is_file()
    assert state.loss_after is not None, "a stopped run is compared with the base model as well"


def test_a_waiting_run_that_is_stopped_leaves_the_queue(rough_day: RoughDay) -> None:
    assert kinds(rough_day.taken_back) == ["queued", "stopped"]


def test_closing_the_app_stops_the_run_and_keeps_its_adapter(rough_day: RoughDay) -> None:
    state = fold_events(rough_day.closed.events())
    assert state.status == "stopped"
    assert 2 <= len(state.steps) < ENDLESS.steps
    assert state.saved_step == len(state.steps)
    assert (rough_day.closed.adapter_path / "adapter_model.safetensors").is_file()


def test_no_worker_is_left_behind(rough_day: RoughDay) -> None:
    pids = {
        fold_events(run.events()).worker_pid
        for run in (rough_day.killed, rough_day.stopped, rough_day.closed)
    }
    assert len(pids) == 3
    assert all(is_gone(pid) for pid in pids)


# ---- the app is killed, not closed

APP = """
import json, sys, threading
from datetime import UTC, datetime
from pathlib import Path
from lora_lab.data.datasets import load_saved
from lora_lab.engine.local import LocalEngine
from lora_lab.spec import RunSpec
from study.base.settings import Settings
home, models_dir, data, spec = sys.argv[1:]
engine = LocalEngine(Settings(home=Path(home), database_url="", models_dir=Path(models_dir)), warm=False)
engine.start()
engine.submit(RunSpec.from_json(spec), load_saved(Path(data)), now=datetime(2026, 3, 4, tzinfo=UTC))
threading.Event().wait()
"""


def test_a_killed_app_leaves_no_worker_and_its_run_keeps_its_adapter(
    tmp_path: Path, models_dir: Path
) -> None:
    data = create_run(tmp_path / "data", SHORT, sums(), now=NOW)
    settings = settings_in(tmp_path / "home", models_dir)
    arguments = [str(settings.home), str(models_dir), str(data.path), ENDLESS.to_json()]
    app = subprocess.Popen([sys.executable, "-c", APP, *arguments], cwd=ROOT)
    run = the_only_run(settings)
    worker_pid = wait_until(run, two_steps_done).worker_pid
    app.kill()
    app.wait()

    engine = LocalEngine(settings, warm=False)
    engine.start()  # waits for the worker, which notices that nobody is there any more
    state = wait_until(run, ended)
    engine.close()

    assert state.status == "stopped"
    assert state.saved_step == len(state.steps)
    assert (run.adapter_path / "adapter_model.safetensors").is_file()
    psutil.wait_procs([psutil.Process(worker_pid)] if psutil.pid_exists(worker_pid) else [], timeout=10)
    assert is_gone(worker_pid)


def the_only_run(settings: Settings) -> RunFolder:
    return wait_for(lambda: list(list_runs(settings.runs_dir)), seconds=DEADLINE_SECONDS)[0]
