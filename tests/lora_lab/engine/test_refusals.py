"""The engine where the system refuses something: a folder is gone, a file or a process can't be made.

The worker here only says that it has trained.
"""

import errno
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from lora_lab.data.datasets import build_own_dataset
from lora_lab.engine import worker_process
from lora_lab.engine.local import LocalEngine
from lora_lab.engine.worker_process import open_log, wait_for_earlier_worker
from lora_lab.runs.folder import RunFolder
from lora_lab.runs.state import RunState
from lora_lab.settings.grid import parse_grid
from lora_lab.spec import TINY_MODEL, RunSpec
from study.base.settings import Settings
from tests.lora_lab.run_builders import NOW
from tests.waiting import wait_for

GRID = parse_grid(RunSpec(model=TINY_MODEL, steps=1), {"ranks": "1,2,4"})
DEADLINE_SECONDS = 30

WORKER = """
import json, sys
from pathlib import Path
for line in sys.stdin:
    for name in line.strip().split(chr(9)):
        with (Path(name) / "events.jsonl").open("a") as events:
            events.write(json.dumps({"kind": "finished", "at": 1.0, "step": 1}) + chr(10))
    print("done", flush=True)
"""


@pytest.fixture
def refusals(monkeypatch: pytest.MonkeyPatch) -> list[OSError]:
    """What the next starts of a worker meet; without any, they succeed."""
    waiting: list[OSError] = []

    def start(*_: object, **__: object) -> "subprocess.Popen[bytes]":
        if waiting:
            raise waiting.pop()
        command = [sys.executable, "-S", "-c", WORKER]
        return subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    monkeypatch.setattr(worker_process, "start_worker", start)
    return waiting


@pytest.fixture
def engine(settings: Settings, refusals: list[OSError]) -> Iterator[LocalEngine]:
    """Its queue is held back."""
    opened = LocalEngine(settings, warm=False)
    opened.pause()
    opened.start()
    yield opened
    opened.close(grace_seconds=0)


def submit(engine: LocalEngine) -> RunFolder:
    return engine.submit(RunSpec(model=TINY_MODEL, steps=1), build_own_dataset(), now=NOW)


def wait_until(reached: Callable[[], bool]) -> None:
    wait_for(reached, seconds=DEADLINE_SECONDS)


def ended(run: RunFolder) -> RunState:
    return wait_for(run.state, lambda state: state.ended, seconds=DEADLINE_SECONDS)


def test_a_waiting_run_whose_folder_was_removed_does_not_keep_the_others_waiting(engine: LocalEngine) -> None:
    gone, after = submit(engine), submit(engine)
    shutil.rmtree(gone.path)
    engine.resume()
    assert ended(after).status == "finished"
    wait_until(lambda: engine.find_current() is None)
    assert engine.list_waiting() == []


def test_a_cell_whose_folder_was_removed_does_not_keep_its_neighbours_waiting(engine: LocalEngine) -> None:
    """They are read to find those that can be trained together."""
    sweep = engine.submit_sweep(GRID, build_own_dataset(), now=NOW)
    first, gone, last = (RunFolder(engine.settings.runs_dir / run_id) for run_id in sweep.run_ids)
    shutil.rmtree(gone.path)
    engine.resume()
    assert [ended(run).status for run in (first, last)] == ["finished"] * 2


def test_a_process_that_cannot_be_started_fails_its_run_in_words_and_the_next_one_works(
    engine: LocalEngine, refusals: list[OSError]
) -> None:
    refusals.append(OSError(errno.ENOMEM, "Cannot allocate memory"))
    refused, after = submit(engine), submit(engine)
    engine.resume()
    failure = ended(refused).failure
    assert failure is not None
    assert failure["what"] == "The app could not go on with this run (Cannot allocate memory)."
    assert ended(after).status == "finished"


def test_where_no_event_can_be_written_the_queue_is_paused_and_goes_on_when_it_is_resumed(
    engine: LocalEngine,
) -> None:
    refused, after = submit(engine), submit(engine)

    def refuse(run: RunFolder) -> None:
        if run == refused:
            run.events_path.unlink()
            run.events_path.mkdir()

    engine.before_run.append(refuse)
    engine.resume()
    wait_until(lambda: engine.is_paused and engine.find_current() is None)
    assert engine.list_waiting() == [after.run_id]
    engine.resume()
    assert ended(after).status == "finished"


def test_a_warm_worker_that_ended_before_it_was_ready_is_said_and_can_be_started_again(
    settings: Settings, refusals: list[OSError]
) -> None:
    """A full disk may refuse its last words as well."""
    engine = LocalEngine(settings, warm=True)
    engine.warm_up()
    assert engine.read_worker_state()["state"] == "preparing"
    for child in psutil.Process().children():
        child.kill()
    wait_until(lambda: engine.read_worker_state()["state"] == "no-model")
    assert "worker.log" in engine.read_worker_state()["do_next"]
    engine.retry_model()
    assert engine.read_worker_state()["state"] == "preparing"
    engine.close(grace_seconds=0)


def test_a_worker_that_is_started_while_the_last_one_ends_stays_the_only_one(
    settings: Settings, refusals: list[OSError], monkeypatch: pytest.MonkeyPatch
) -> None:
    engine, others = LocalEngine(settings, warm=True), set(psutil.Process().children())
    finish, finished = worker_process.WorkerProcess.finish, list[worker_process.WorkerProcess]()

    def retry_meanwhile(worker: worker_process.WorkerProcess, grace_seconds: float) -> None:
        engine.retry_model()
        finish(worker, grace_seconds)
        finished.append(worker)

    monkeypatch.setattr(worker_process.WorkerProcess, "finish", retry_meanwhile)
    engine.start()
    ended(submit(engine))
    wait_until(lambda: bool(finished) and len({*psutil.Process().children()} - others) == 1)
    engine.close(grace_seconds=0)
    wait_until(lambda: not {*psutil.Process().children()} - others)


def test_a_run_that_is_stopped_while_others_free_their_memory_for_it_is_not_begun(
    engine: LocalEngine,
) -> None:
    engine.before_run.append(RunFolder.ask_to_stop)
    run = submit(engine)
    engine.resume()
    assert ended(run).status == "stopped"
    assert [event["kind"] for event in run.events()] == ["queued", "stopped"]


def test_a_second_worker_leaves_what_the_first_one_writes_in_the_log(tmp_path: Path) -> None:
    first, second = open_log(tmp_path), open_log(tmp_path)
    for descriptor, line in ((first, b"one\n"), (second, b"two\n"), (first, b"three\n")):
        with open(descriptor, "wb", closefd=False) as log:
            log.write(line)
    assert (tmp_path / "worker.log").read_text() == "one\ntwo\nthree\n"
    (tmp_path / "worker.log").write_bytes(b"x" * (worker_process.LOG_BYTES + 1))
    open_log(tmp_path)
    assert (tmp_path / "worker.log").stat().st_size == 0


def test_a_process_that_only_has_the_number_of_an_earlier_worker_is_not_waited_for() -> None:
    """As the app's own new worker has it in a container that was restarted."""
    command = [sys.executable, "-c", "input()", "lora_lab.worker"]
    with subprocess.Popen(command, stdin=subprocess.PIPE) as younger:
        begun = time.monotonic()
        wait_for_earlier_worker(younger.pid, DEADLINE_SECONDS, since=time.time() - 60)
        assert time.monotonic() - begun < DEADLINE_SECONDS / 2
        with pytest.raises(psutil.TimeoutExpired):
            psutil.Process(younger.pid).wait(0)
        younger.kill()
