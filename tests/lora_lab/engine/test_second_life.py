"""A second life of the app finds a cut-off run and a waiting one; then two starts in a row.

Starting a worker takes seconds, so the story is told once by a fixture and looked at by several tests.
"""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from lora_lab.data.lab_folder import LabHome
from lora_lab.engine.fork_server import ForkServer
from lora_lab.engine.local import LocalEngine
from lora_lab.engine.worker_process import build_worker_environment
from lora_lab.runs.folder import RunFolder, create_run
from lora_lab.runs.predicted_vs_measured import read_measured
from lora_lab.runs.state import fold_events
from tests.lora_lab.engine.real_runs import NOW, SHORT, ended, kinds, settings_in, sums, wait_until
from tests.lora_lab.run_builders import training


def a_dead_process() -> int:
    """The id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


@dataclass
class SecondLife:
    """What an earlier app left, and what was submitted next."""

    cut_off: RunFolder
    left_waiting: RunFolder
    submitted: RunFolder
    waiting_when_submitted: list[str]
    environment: dict[str, str]


@pytest.fixture(scope="module")
def second_life(
    tmp_path_factory: pytest.TempPathFactory, models_dir: Path, shared_fork_server: ForkServer
) -> Iterator[SecondLife]:
    settings = settings_in(tmp_path_factory.mktemp("second-life"), models_dir)
    cut_off = training(settings.runs_dir, SHORT, steps=2)
    cut_off.emit("status", text="Training", worker_pid=a_dead_process())
    left_waiting = create_run(settings.runs_dir, SHORT, sums(), now=NOW + timedelta(seconds=1))
    left_waiting.emit("queued")
    with left_waiting.events_path.open("ab") as events:
        events.write(b'{"kind": "sta\xff\n')

    engine = LocalEngine(settings, warm=False, fork_server=shared_fork_server)
    engine.start()
    begun = wait_until(left_waiting, lambda state: state.worker_pid > 0)
    environment = psutil.Process(begun.worker_pid).environ()
    submitted = engine.submit(SHORT, sums(), now=NOW + timedelta(seconds=2))
    waiting = engine.list_waiting()
    for run in (left_waiting, submitted):
        wait_until(run, ended)
    yield SecondLife(cut_off, left_waiting, submitted, waiting, environment)
    engine.close()


def test_a_run_that_was_cut_off_says_after_which_step(second_life: SecondLife) -> None:
    state = fold_events(second_life.cut_off.events())
    assert state.failure is not None
    assert state.failure["cause"] == "killed"
    assert state.failure["what"] == "The app was closed after step 2 of this run."
    assert state.failure["do_next"] == "Start it again with the same settings."


def test_a_waiting_run_goes_on_after_a_restart_with_its_events_in_order(second_life: SecondLife) -> None:
    """Also with a damaged line in its events."""
    told = kinds(second_life.left_waiting)
    without_status = [kind for kind in told if kind != "status"]
    assert without_status == ["queued", "started", "step", "step", "step", "saved", "evaluated", "finished"]
    assert told.index("status") == 1
    times = [event["at"] for event in second_life.left_waiting.events()]
    assert times == sorted(times)


def test_every_step_says_what_it_measured(second_life: SecondLife) -> None:
    for number, step in enumerate(fold_events(second_life.left_waiting.events()).steps, start=1):
        assert step["step"] == number
        assert step["loss"] > 0
        assert step["tokens"] > 0
        assert step["seconds"] > 0
        assert 0 < step["live_bytes"] < step["peak_bytes"]


def test_of_two_starts_the_second_waits_and_then_runs(second_life: SecondLife) -> None:
    assert second_life.waiting_when_submitted == [second_life.submitted.run_id]
    first, second = (run.events() for run in (second_life.left_waiting, second_life.submitted))
    assert second[0]["kind"] == "queued"
    assert second[1]["at"] >= first[-1]["at"], "two runs at once"
    assert second[-1]["kind"] == "finished"


def test_equal_runs_in_two_processes_report_equal_losses_and_peaks(second_life: SecondLife) -> None:
    told = [
        [
            (step["loss"], step["grad_norm"], step["live_bytes"], step["peak_bytes"])
            for step in fold_events(run.events()).steps
        ]
        for run in (second_life.left_waiting, second_life.submitted)
    ]
    assert told[0] == told[1]


def test_the_peak_of_a_run_stands_beside_what_was_announced_for_it(second_life: SecondLife) -> None:
    measured = read_measured(second_life.submitted)
    assert measured is not None
    assert abs(measured.error_percent) < 3
    started = fold_events(second_life.submitted.events()).started
    assert started is not None
    assert measured.predicted_bytes == started["predicted_bytes"]


def test_the_worker_runs_with_a_passive_openmp(second_life: SecondLife) -> None:
    """docs/traps.md 13: set before torch is imported, so in the environment it is started with."""
    assert build_worker_environment()["OMP_WAIT_POLICY"] == "PASSIVE"
    assert second_life.environment["OMP_WAIT_POLICY"] == "PASSIVE"


def test_a_finished_run_leaves_adapter_and_answers(second_life: SecondLife) -> None:
    for run in (second_life.left_waiting, second_life.submitted):
        assert (run.adapter_path / "adapter_model.safetensors").is_file()
        assert len(run.samples()) == min(3, len(sums().held_out))


def test_the_device_is_known_after_a_run_although_no_worker_was_kept_warm(second_life: SecondLife) -> None:
    home = LabHome(second_life.submitted.path.parents[1])
    assert home.read_worker_state()["device"]["compute_dtype"] in ("fp32", "bf16")
