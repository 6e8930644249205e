"""The engine with real worker processes: a queue, stops, kills, memory limits, and lives of the app.

Starting a worker takes seconds, so each story below is told once by a fixture and looked at by several tests.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import psutil
import pytest

from lora_lab.data.datasets import Dataset, Example, split_examples
from lora_lab.data.lab_folder import LabHome
from lora_lab.engine.local import LocalEngine
from lora_lab.engine.worker_process import WorkerProcess, worker_environment
from lora_lab.runs.folder import RunFolder, create_run, list_runs
from lora_lab.runs.predicted_vs_measured import measured_runs
from lora_lab.runs.state import RunState, fold_events
from lora_lab.spec import EMBEDDED_MODEL, TINY_MODEL, RunSpec
from study.base.settings import Settings
from tests.lora_lab.run_builders import training

ROOT = Path(__file__).parents[3]
NOW = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)
SHORT = RunSpec(model=TINY_MODEL, bits="nf4", steps=3, compute_dtype="fp32")
ENDLESS = replace(SHORT, steps=2000, batch=1)
"""Takes longer than any test looks at it."""

DEADLINE_SECONDS = 180
LOOK_AGAIN_SECONDS = 0.05
LIMIT_BYTES = 12 * 10**9
"""Of address space: enough for the libraries, not for an attention mask of 69 GB."""


def sums() -> Dataset:
    return split_examples(
        [Example(prompt=f"What is {n} + {n}?", answer=f"It is {2 * n}.") for n in range(16)], label="sums"
    )


def settings_in(folder: Path, models_dir: Path) -> Settings:
    return Settings(home=folder, database_url=f"sqlite:///{folder / 'study.sqlite3'}", models_dir=models_dir)


def wait_until(run: RunFolder, reached: Callable[[RunState], bool]) -> RunState:
    """The run's state once it is as asked. Fails when it ends otherwise."""
    pause, deadline = threading.Event(), time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        state = fold_events(run.events())
        if reached(state):
            return state
        assert not state.ended, f"it ended as {state.status}: {state.failure}"
        pause.wait(LOOK_AGAIN_SECONDS)
    raise AssertionError(f"still {state.status} after {DEADLINE_SECONDS} s: {_log(run)}")


def _log(run: RunFolder) -> str:
    log = run.path / "stdout.log"
    return log.read_text("utf-8", "replace")[-2000:] if log.exists() else "no log"


def ended(state: RunState) -> bool:
    return state.ended


def two_steps_done(state: RunState) -> bool:
    return len(state.steps) >= 2


def is_gone(pid: int) -> bool:
    """No such process any more, or one that only waits to be collected; a busy machine takes a moment."""
    pause, deadline = threading.Event(), time.monotonic() + DEADLINE_SECONDS
    try:
        while psutil.Process(pid).status() != psutil.STATUS_ZOMBIE and time.monotonic() < deadline:
            pause.wait(LOOK_AGAIN_SECONDS)
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True


def a_dead_process() -> int:
    """The id of a process that has ended."""
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def kinds(run: RunFolder) -> list[str]:
    return [event["kind"] for event in run.events()]


# ---- a second life of the app, which finds a cut-off run and a waiting one; then two starts in a row


@dataclass
class SecondLife:
    """What an earlier app left, and what was submitted next."""

    cut_off: RunFolder
    left_waiting: RunFolder
    submitted: RunFolder
    waiting_when_submitted: list[str]
    environment: dict[str, str]


@pytest.fixture(scope="module")
def second_life(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[SecondLife]:
    settings = settings_in(tmp_path_factory.mktemp("second-life"), models_dir)
    cut_off = training(settings.runs_dir, SHORT, steps=2)
    cut_off.emit("status", text="Training", worker_pid=a_dead_process())
    left_waiting = create_run(settings.runs_dir, SHORT, sums(), now=NOW + timedelta(seconds=1))
    left_waiting.emit("queued")
    with left_waiting.events_path.open("ab") as events:
        events.write(b'{"kind": "sta\xff\n')

    engine = LocalEngine(settings, warm=False)
    engine.start()
    begun = wait_until(left_waiting, lambda state: state.worker_pid > 0)
    environment = psutil.Process(begun.worker_pid).environ()
    submitted = engine.submit(SHORT, sums(), now=NOW + timedelta(seconds=2))
    waiting = engine.waiting()
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
    (measured,) = measured_runs([second_life.submitted])
    assert abs(measured.error_percent) < 3
    started = fold_events(second_life.submitted.events()).started
    assert started is not None
    assert measured.predicted_bytes == started["predicted_bytes"]


def test_the_worker_runs_with_a_passive_openmp(second_life: SecondLife) -> None:
    """docs/traps.md 13: set before torch is imported, so in the environment it is started with."""
    assert worker_environment()["OMP_WAIT_POLICY"] == "PASSIVE"
    assert second_life.environment["OMP_WAIT_POLICY"] == "PASSIVE"


def test_a_finished_run_leaves_adapter_and_answers(second_life: SecondLife) -> None:
    for run in (second_life.left_waiting, second_life.submitted):
        assert (run.adapter_path / "adapter_model.safetensors").is_file()
        assert len(run.samples()) == min(3, len(sums().held_out))


def test_the_device_is_known_after_a_run_although_no_worker_was_kept_warm(second_life: SecondLife) -> None:
    home = LabHome(second_life.submitted.path.parents[1])
    assert home.worker_state()["device"]["compute_dtype"] in ("fp32", "bf16")


# ---- a day with a killed worker, a stop, and the app closing in the middle of a run


@dataclass
class RoughDay:
    """Runs that ended before their last step."""

    killed: RunFolder
    stopped: RunFolder
    taken_back: RunFolder
    closed: RunFolder
    stop_was_asked_after: int


@pytest.fixture(scope="module")
def rough_day(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> RoughDay:
    settings = settings_in(tmp_path_factory.mktemp("rough-day"), models_dir)
    engine = LocalEngine(settings, warm=False)
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
    assert state.failure["do_next"].startswith("Start again. If it happens again: Try")


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
    pause, deadline = threading.Event(), time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        runs = list(list_runs(settings.runs_dir))
        if runs:
            return runs[0]
        pause.wait(LOOK_AGAIN_SECONDS)
    raise AssertionError("no run was created")


# ---- memory


@dataclass
class TightMemory:
    """Three runs in one process whose address space is limited; the second one asks for too much."""

    before: RunFolder
    refused: RunFolder
    after: RunFolder
    survived: bool


@pytest.fixture(scope="module")
def tight_memory(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> TightMemory:
    """With PyTorch's graph, a row of 64 long examples asks for a mask of some 69 GB."""
    settings = settings_in(tmp_path_factory.mktemp("tight-memory"), models_dir)
    words = "word " * 780
    long = split_examples(
        [Example(prompt=f"{number} {words}", answer="yes") for number in range(70)], label="long"
    )
    too_much = replace(SHORT, batch=64, seq_len_tokens=4096, rank=16, bits="int8", optimizer="adamw8bit")
    before, after = (create_run(settings.runs_dir, SHORT, sums(), now=NOW) for _ in range(2))
    refused = create_run(settings.runs_dir, too_much, long, now=NOW)
    worker = WorkerProcess(settings, ["--cold", "--memory-limit-bytes", str(LIMIT_BYTES)])
    answers = [worker.do([run]) for run in (before, refused, after)]
    survived = worker.is_alive and answers == [None, None, None]
    worker.finish(DEADLINE_SECONDS)
    return TightMemory(before, refused, after, survived)


def test_a_run_that_exceeds_its_memory_says_so_and_what_to_lower(tight_memory: TightMemory) -> None:
    state = fold_events(tight_memory.refused.events())
    assert state.failure is not None
    assert state.failure["cause"] == "out-of-memory", _log(tight_memory.refused)
    assert state.failure["what"].startswith("Ran out of memory at step 1. No adapter had been saved yet")
    assert state.failure["do_next"] == (
        "Try a batch of 32 instead of 64, or sequences of 2048 tokens, or a rank of 8, or 4-bit weights."
    )
    assert state.started is not None
    assert state.started["predicted_bytes"] > LIMIT_BYTES, "it could have been known before"


def test_after_it_the_process_goes_on_and_gets_the_same_losses(tight_memory: TightMemory) -> None:
    assert tight_memory.survived
    before, after = (fold_events(run.events()) for run in (tight_memory.before, tight_memory.after))
    assert after.status == "finished"
    assert [step["loss"] for step in after.steps] == [step["loss"] for step in before.steps]
    assert after.loss_after == before.loss_after


# ---- the warm worker


@pytest.mark.embedded
def test_a_warm_worker_takes_the_first_run_and_another_one_is_warmed_up_after_it(
    tmp_path: Path, embedded_dir: Path
) -> None:
    settings = settings_in(tmp_path, embedded_dir)
    spec = RunSpec(model=EMBEDDED_MODEL, steps=1, batch=1)
    engine = LocalEngine(settings, warm=True)
    engine.start()
    ready = worker_state(settings, "ready")
    run = engine.submit(spec, sums(), now=NOW)
    state = wait_until(run, ended)
    next_pid = another_worker(ready["pid"])
    engine.close()

    assert state.status == "finished"
    assert state.worker_pid == ready["pid"], "the run had to wait for a worker of its own"
    assert "Loading the model" not in [event.get("text") for event in run.events()]
    assert state.started is not None
    assert state.started["trainable"] == 2_442_240
    assert is_gone(next_pid)


def worker_state(settings: Settings, wanted: str) -> dict[str, Any]:
    pause, deadline = threading.Event(), time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        state = LabHome(settings.home).worker_state()
        if state["state"] == wanted:
            return state
        assert state["state"] != "no-model", state
        pause.wait(LOOK_AGAIN_SECONDS)
    raise AssertionError(f"the worker is still {state}")


def another_worker(than: int) -> int:
    """A child of this process that waits for the next run."""
    pause, deadline = threading.Event(), time.monotonic() + DEADLINE_SECONDS
    while time.monotonic() < deadline:
        for child in psutil.Process().children():
            if child.pid != than and _is_worker(child):
                return child.pid
        pause.wait(LOOK_AGAIN_SECONDS)
    raise AssertionError("no other worker was started")


def _is_worker(process: psutil.Process) -> bool:
    """One that trains; other tests may have one that reads shapes."""
    try:
        command = process.cmdline()
        return "lora_lab.worker" in command and "--shapes" not in command
    except psutil.Error:  # it ended meanwhile
        return False


# ---- the command line


def test_train_prints_the_contracts_object_and_shows_progress_meanwhile(
    tmp_path: Path, models_dir: Path
) -> None:
    command = [sys.executable, "-m", "lora_lab", "train", "--model", TINY_MODEL, "--steps", "3", "--json"]
    done = subprocess.run(
        [*command, "--data-folder", str(tmp_path)],
        cwd=ROOT,
        env=os.environ | {"LORA_STUDY_MODELS": str(models_dir)},
        capture_output=True,
        text=True,
        check=True,
    )
    (line,) = done.stdout.splitlines()
    summary = json.loads(line)
    contract = (
        "run_dir trainable total loss_first loss_last eval_loss_before eval_loss_after peak_bytes "
        "predicted_bytes tokens_per_second seconds device compute_dtype"
    )
    assert set(summary) == set(contract.split())
    assert all(value is not None for value in summary.values())
    assert summary["eval_loss_after"] < summary["eval_loss_before"]
    steps = fold_events(RunFolder(Path(summary["run_dir"])).events()).steps
    assert [step["step"] for step in steps] == [1, 2, 3]
    assert (steps[0]["loss"], steps[-1]["loss"]) == (summary["loss_first"], summary["loss_last"])
    assert [line.split()[:2] for line in done.stderr.splitlines() if line.startswith("step ")] == [
        ["step", "1"],
        ["step", "2"],
        ["step", "3"],
    ]
    assert all(a["at"] <= b["at"] for a, b in pairwise(steps))
