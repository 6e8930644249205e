"""After a stop, with a worker that only tells what a real one would: slow but at work, or silent."""

import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest

from lora_lab.data.datasets import build_own_dataset
from lora_lab.engine import stopping, worker_process
from lora_lab.engine.local import LocalEngine
from lora_lab.runs.folder import RunFolder
from lora_lab.runs.state import RunState
from lora_lab.spec import TINY_MODEL, RunSpec
from study.base.settings import Settings
from tests.waiting import wait_for

ROOT = Path(__file__).parents[3]
NOW = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)
GRACE_SECONDS = 1.2
DEADLINE_SECONDS = 60

WORKER = """
import sys, time
from pathlib import Path
from lora_lab.runs.folder import RunFolder
batches, ends = int(sys.argv[1]), sys.argv[2] == "ends"
for line in sys.stdin:
    runs = [RunFolder(Path(name)) for name in line.strip().split(chr(9))]
    for run in runs:
        run.emit("step", step=1, loss=4.0, grad_norm=1.0, tokens=8, seconds=0.1)
    while not any(run.stop_path.exists() for run in runs):
        time.sleep(0.02)
    for run in runs:
        run.emit("saved", step=1)
    for done in range(batches):
        runs[0].emit("status", text=f"Measuring the held-out loss: {done}")
        time.sleep(0.25)
    if not ends:
        time.sleep(600)
    runs[0].emit("evaluated", loss_before=4.5, loss_after=4.0)
    runs[0].emit("stopped", step=1)
    sys.stdout.buffer.write(b"done" + bytes([10]))
    sys.stdout.flush()
"""


@pytest.fixture
def engine_with(
    settings: Settings, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> Callable[..., LocalEngine]:
    """An engine with a worker that measures so many batches, and then ends the run or falls silent."""
    monkeypatch.setattr(stopping, "STOP_GRACE_SECONDS", GRACE_SECONDS)
    monkeypatch.setattr(stopping, "LOOK_AGAIN_SECONDS", 0.05)

    def build(batches: int, then: str, *, together: int = 1) -> LocalEngine:
        def start(*_: object, **__: object) -> "subprocess.Popen[bytes]":
            return subprocess.Popen(
                [sys.executable, "-c", WORKER, str(batches), then],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                cwd=ROOT,
            )

        monkeypatch.setattr(worker_process, "start_worker", start)
        engine = LocalEngine(settings, warm=False, gather=lambda waiting: tuple(waiting)[:together])
        request.addfinalizer(lambda: engine.close(grace_seconds=0))
        return engine

    return build


def submit(engine: LocalEngine) -> RunFolder:
    return engine.submit(RunSpec(model=TINY_MODEL, steps=9), build_own_dataset(), now=NOW)


def wait_until(run: RunFolder, reached: Callable[[RunState], bool]) -> RunState:
    return wait_for(run.state, reached, seconds=DEADLINE_SECONDS)


def stop_in_training(engine: LocalEngine, run: RunFolder) -> RunState:
    wait_until(run, lambda state: bool(state.steps))
    engine.stop(run.run_id)
    return wait_until(run, lambda state: state.ended)


def test_a_worker_that_goes_on_measuring_is_left_to_it_longer_than_the_grace_period(
    engine_with: Callable[..., LocalEngine],
) -> None:
    engine = engine_with(8, "ends")
    run = submit(engine)
    engine.start()
    asked_at = time.monotonic()
    state = stop_in_training(engine, run)
    assert time.monotonic() - asked_at > GRACE_SECONDS
    assert (state.status, state.loss_after, state.note) == ("stopped", 4.0, "")


def test_a_silent_worker_ends_as_a_stop_that_says_what_is_missing(
    engine_with: Callable[..., LocalEngine],
) -> None:
    engine = engine_with(1, "is silent")
    run = submit(engine)
    engine.start()
    state = stop_in_training(engine, run)
    assert (state.status, state.failure) == ("stopped", None)
    assert state.note == (
        "The training process reported nothing for 60 s after the stop, so the app ended it without its "
        "held-out loss. The adapter of step 1 is saved."
    )


def test_a_run_beside_it_is_cut_off_and_no_memory_is_blamed(engine_with: Callable[..., LocalEngine]) -> None:
    engine = engine_with(1, "is silent", together=2)
    run, beside = submit(engine), submit(engine)
    engine.start()
    assert stop_in_training(engine, run).status == "stopped"
    state = wait_until(beside, lambda state: state.ended)
    assert state.cut_off
    assert state.failure is not None
    assert state.failure["what"].startswith("Another run in the same process did not end after a stop")
