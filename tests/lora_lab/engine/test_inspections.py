"""The queue of inspections: results as they come, kept over restarts, stoppable, giving way to a run."""

import errno
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from lora_lab.engine import inspections
from lora_lab.engine.inspections import KINDS, Inspection, InspectionQueue
from lora_lab.engine.job_queue import WAITING_OF_ALL, WAITING_OF_ONE
from lora_lab.engine.local import LocalEngine
from study.base.errors import LearnerError
from study.base.settings import Settings
from tests.lora_lab import run_builders
from tests.waiting import wait_for

PATIENCE_SECONDS = 60
COUNTING = """
import os, sys, time
from types import SimpleNamespace
for kind in ("microscope", "xray"):  # without torch a worker starts in a moment
    sys.modules["lora_lab.worker.inspect." + kind] = SimpleNamespace(inspect_matrix=None, inspect_runs=None)
from lora_lab.worker.inspect import serve
from study.base.errors import LearnerError

answers = os.dup(1)

def count(order, models_dir, home, report):
    if order["to"] < 0:
        raise LearnerError("That is below zero.", do_next="Count upwards.")
    print("a library that talks")
    if "cut" in order:
        os.write(answers, b'{"job": "half a li')
        os._exit(1)
    if "mute" in order:
        os.closerange(3, 64)  # as of a process that dies, before it is dead
        time.sleep(600)
    for number in range(order["to"]):
        report("Counting", done=number + 1, total=order["to"], found={str(number): number ** 2})
        while order.get("hold") == number:
            time.sleep(0.01)
    return {"sum": sum(range(order["to"])), "wrong": 1 / order.get("by", 1)}

serve.INSPECTIONS["weights"] = count
serve.serve_inspections(None, None)
"""
"""A worker like the lab's, with a kind of inspection that loads nothing."""


class Engine(LocalEngine):
    """Says that it trains whenever the test says so."""

    training = False

    def find_current(self) -> str | None:
        return "a run" if self.training else None


class CountingQueue(InspectionQueue):
    """Its worker is a real process that counts."""

    started = 0

    def start_worker(self) -> "subprocess.Popen[bytes]":
        self.started += 1
        return subprocess.Popen(
            [sys.executable, "-c", COUNTING], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )


@contextmanager
def opened(home: Path) -> Iterator[CountingQueue]:
    settings = Settings(home=home, database_url="", models_dir=home)
    queue = CountingQueue(settings, Engine(settings, warm=False))
    yield queue
    queue.close()


@pytest.fixture
def queue(tmp_path: Path) -> Iterator[CountingQueue]:
    with opened(tmp_path) as queue:
        yield queue


def until(queue: InspectionQueue, looked: Inspection, true: Callable[[Inspection], bool]) -> Inspection:
    """The inspection once that is so."""
    found = wait_for(
        lambda: queue.find(looked.id), lambda each: each is None or true(each), seconds=PATIENCE_SECONDS
    )
    assert found is not None
    return found


def is_ended(inspection: Inspection) -> bool:
    return inspection.ended


def holds_at(number: int) -> Callable[[Inspection], bool]:
    return lambda inspection: inspection.done == number + 1


def test_results_add_up_are_found_again_and_outlive_the_app(tmp_path: Path) -> None:
    with opened(tmp_path) as queue:
        looked = queue.submit("weights", {"to": 3})
        ended = until(queue, looked, is_ended)
        assert (ended.status, ended.problem) == ("done", "")
        assert ended.found == {"0": 0, "1": 1, "2": 4, "sum": 3, "wrong": 1}
        assert queue.submit("weights", {"to": 3}) == ended
        other = until(queue, queue.submit("weights", {"to": 2}), is_ended)
        assert other.id != ended.id
        assert queue.started == 1
    with opened(tmp_path) as again:
        kept = again.submit("weights", {"to": 3})
        assert (kept.id, kept.status, kept.found) == (ended.id, "done", ended.found)
        assert again.find(kept.id) == kept
        assert again.started == 0


def test_stopping_ends_the_process_keeps_what_was_found_and_the_next_order_is_done(
    queue: CountingQueue,
) -> None:
    order = {"to": 9, "hold": 1}
    looked = until(queue, queue.submit("weights", order), holds_at(1))
    worker = queue._worker
    assert worker is not None
    waits = queue.submit("weights", {"to": 1})
    taken_back = queue.submit("weights", {"to": 2})
    queue.stop(taken_back.id)
    queue.stop(looked.id)
    stopped = until(queue, looked, is_ended)
    assert (stopped.status, stopped.found) == ("stopped", {"0": 0, "1": 1})
    assert worker.poll() is not None
    assert until(queue, waits, is_ended).status == "done"
    assert until(queue, taken_back, is_ended).status == "stopped"
    assert queue.find(stopped.id) == stopped
    assert queue.submit("weights", order).status in ("waiting", "working")  # a stopped one is tried anew


def test_a_worker_whose_output_ended_is_asked_no_more_even_while_it_lives(queue: CountingQueue) -> None:
    """A process is alive for a moment after its output ended; the next question must not go to it."""
    lost = until(queue, queue.submit("weights", {"to": 1, "mute": "before it ends"}), is_ended)
    assert lost.status == "failed"
    assert until(queue, queue.submit("weights", {"to": 2}), is_ended).status == "done"


def test_a_dead_worker_is_said_in_words_and_replaced(queue: CountingQueue) -> None:
    looked = until(queue, queue.submit("weights", {"to": 2, "hold": 0}), holds_at(0))
    assert queue._worker is not None
    psutil.Process(queue._worker.pid).kill()
    failed = until(queue, looked, is_ended)
    assert failed.status == "failed"
    assert failed.problem.endswith("perhaps because memory ran out. Try again.")
    assert until(queue, queue.submit("weights", {"to": 2}), is_ended).status == "done"

    cut = until(queue, queue.submit("weights", {"to": 1, "cut": "in the middle of a line"}), is_ended)
    assert (cut.status, cut.problem) == ("failed", failed.problem)
    assert until(queue, queue.submit("weights", {"to": 4}), is_ended).status == "done"


def test_a_process_that_cannot_be_started_fails_its_job_in_words_and_the_next_one_is_done(
    queue: CountingQueue, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(queue: CountingQueue) -> "subprocess.Popen[bytes]":
        raise OSError(errno.ENOMEM, "Cannot allocate memory")

    with monkeypatch.context() as refusing:
        refusing.setattr(CountingQueue, "start_worker", refuse)
        failed = until(queue, queue.submit("weights", {"to": 2}), is_ended)
    assert (failed.status, failed.problem) == (
        "failed",
        "This machine could not start a process (Cannot allocate memory). Try again later.",
    )
    assert until(queue, queue.submit("weights", {"to": 3}), is_ended).status == "done"


def test_a_full_disk_loses_no_result(tmp_path: Path) -> None:
    (tmp_path / "lab").mkdir()
    (tmp_path / "lab" / "inspections").write_text("a file where the folder should be")
    with opened(tmp_path) as queue:
        ended = until(queue, queue.submit("weights", {"to": 2}), is_ended)
        assert (ended.status, ended.found["sum"]) == ("done", 1)
        assert queue.find(ended.id) == ended


def test_bad_orders_are_said_in_sentences(queue: CountingQueue) -> None:
    below = until(queue, queue.submit("weights", {"to": -1}), is_ended)
    assert (below.status, below.problem) == ("failed", "That is below zero. Count upwards.")
    unforeseen = until(queue, queue.submit("weights", {"to": 1, "by": 0}), is_ended)
    assert "could not be done (division by zero)" in unforeseen.problem
    with pytest.raises(LearnerError, match="Choose one of: " + ", ".join(KINDS)):
        queue.submit("feelings", {})
    assert queue.find("../../secrets") is None
    assert queue.find("nothing") is None
    queue.stop("nothing")


def test_a_run_takes_the_worker_away_and_the_inspection_begins_again_after_it(
    queue: CountingQueue, tmp_path: Path
) -> None:
    engine = queue._engine
    assert isinstance(engine, Engine)
    looked = until(queue, queue.submit("weights", {"to": 2, "hold": 0}), holds_at(0))
    engine.training = True
    for make_room in engine.before_run:
        make_room(run_builders.finished(tmp_path / "runs"))
    assert queue._worker is None
    threading.Event().wait(0.5)
    assert until(queue, looked, lambda now: True).status == "waiting"
    engine.training = False
    until(queue, looked, lambda now: now.status == "working" and queue.started == 2)


def test_closing_the_app_ends_the_worker_and_the_thread(tmp_path: Path) -> None:
    with opened(tmp_path) as queue:
        until(queue, queue.submit("weights", {"to": 2, "hold": 0}), holds_at(0))
        worker, thread = queue._worker, queue._thread
        assert worker is not None
        assert thread is not None
    assert worker.poll() is not None
    thread.join(PATIENCE_SECONDS)
    assert not thread.is_alive()


def test_another_file_in_the_named_folder_is_another_inspection(queue: CountingQueue, tmp_path: Path) -> None:
    order = {"model": str(tmp_path), "to": 1}
    before = queue.derive_id("weights", order)
    assert queue.derive_id("weights", order) == before
    (tmp_path / "model.safetensors").write_bytes(b"weights")
    assert queue.derive_id("weights", order) != before
    assert queue.derive_id("adapter", order) != queue.derive_id("weights", order)


@pytest.mark.parametrize("model", ["models/mine", "mine", "./mine", "~/mine"])
def test_a_folder_is_told_by_its_files_however_its_name_begins(
    queue: CountingQueue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, model: str
) -> None:
    """A worker starts in the project's folder, so that is where a relative name begins."""
    monkeypatch.setattr(inspections, "ROOT", tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    folder = tmp_path / model.removeprefix("~/")
    folder.mkdir(parents=True)
    before = queue.derive_id("weights", {"model": model})
    (folder / "model.safetensors").write_bytes(b"weights")
    assert queue.derive_id("weights", {"model": model}) != before


@pytest.mark.parametrize("model", ["~nobody-of-this-name/model", "a" * 300, "/" + "a" * 300, "nul\0", ""])
def test_a_name_that_can_be_no_folder_has_an_id_all_the_same(queue: CountingQueue, model: str) -> None:
    assert queue.derive_id("weights", {"model": model}) != queue.derive_id("weights", {"model": "other"})


def test_questions_that_wait_have_a_limit_for_each_learner_and_for_all(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    engine = Engine(settings, warm=False)
    engine.training = True  # so that all of them wait
    queue = InspectionQueue(settings, engine)
    waiting = [queue.submit("weights", {"to": number}, learner="ana") for number in range(WAITING_OF_ONE)]
    with pytest.raises(LearnerError, match=r"20 of your questions .* wait"):
        queue.submit("weights", {"to": -1}, learner="ana")
    assert queue.submit("weights", {"to": 0}, learner="ana") == waiting[0]  # it waits already
    for number in range(WAITING_OF_ONE, WAITING_OF_ALL):
        queue.submit("weights", {"to": number}, learner=f"learner {number}")
    with pytest.raises(LearnerError, match=r"100 questions .* Try again later"):
        queue.submit("weights", {"to": -1}, learner="ben")
    queue.stop(waiting[0].id)
    queue.submit("weights", {"to": -1}, learner="ben")
    queue.close()
