"""The queue that chat questions wait at: never beside a training run, stoppable, and one worker at a time."""

import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from lora_lab.cli.runs import run_now
from lora_lab.data.datasets import build_own_dataset
from lora_lab.engine.chat import BASE, ChatQuestion, ChatQueue
from lora_lab.engine.fork_server import ForkServer
from lora_lab.engine.local import LocalEngine
from lora_lab.runs.folder import RunFolder
from study.base.settings import Settings
from tests.lora_lab import run_builders
from tests.waiting import wait_for

PATIENCE_SECONDS = 120


class Engine(LocalEngine):
    """Says that it trains whenever the test says so."""

    training = False

    def find_current(self) -> str | None:
        return "a run" if self.training else None


@pytest.fixture(scope="module")
def engine(
    tmp_path_factory: pytest.TempPathFactory, models_dir: Path, shared_fork_server: ForkServer
) -> Engine:
    settings = Settings(home=tmp_path_factory.mktemp("chat"), database_url="", models_dir=models_dir)
    return Engine(settings, warm=False, fork_server=shared_fork_server)


@pytest.fixture(scope="module")
def queue(engine: Engine) -> Iterator[ChatQueue]:
    """One for all tests: a worker takes seconds to start."""
    opened = ChatQueue(engine.settings, engine)
    yield opened
    opened.close()


@pytest.fixture(scope="module")
def trained(engine: Engine) -> RunFolder:
    """A real run."""
    spec = replace(run_builders.TINY, steps=3)
    return run_now(
        engine.settings,
        spec,
        build_own_dataset(),
        now=run_builders.NOW,
        watch=wait_a_moment,
        say=lambda text: None,
    )


def wait_a_moment(run: RunFolder) -> None:
    threading.Event().wait(0.1)


def until(queue: ChatQueue, asked: ChatQuestion, true: Callable[[ChatQuestion], bool]) -> ChatQuestion:
    """The question once that is so."""
    return wait_for(lambda: queue.find(asked.id) or asked, true, seconds=PATIENCE_SECONDS)


def is_ended(ask: ChatQuestion) -> bool:
    return ask.ended


def test_a_long_answer_can_be_stopped(queue: ChatQueue, trained: RunFolder) -> None:
    asked = queue.ask([trained], "What is W?", seed=1, temperature=1.5)
    until(queue, asked, lambda ask: bool(ask.texts) or ask.ended)
    queue.stop(asked.id)
    assert until(queue, asked, is_ended).status in ("stopped", "done")


def test_a_damaged_adapter_is_said_in_words(queue: ChatQueue, engine: Engine) -> None:
    damaged = run_builders.finished(engine.settings.runs_dir)
    ask = until(queue, queue.ask([damaged], "What is W?", seed=0, temperature=0), is_ended)
    assert ask.status == "failed"
    assert "can't be read" in ask.problem
    assert "Leave that run out" in ask.problem


def test_questions_wait_for_a_run_are_answered_by_one_worker_and_give_way_to_the_next_run(
    engine: Engine, queue: ChatQueue, trained: RunFolder
) -> None:
    engine.training = True
    waits = queue.ask([trained], "What is W?", seed=0, temperature=0)
    taken_back = queue.ask([trained], "What is A?", seed=0, temperature=0)
    queue.stop(taken_back.id)
    threading.Event().wait(1)
    assert until(queue, waits, lambda ask: True).status == "waiting"
    assert until(queue, taken_back, is_ended).status == "stopped"

    engine.training = False
    answered = until(queue, waits, is_ended)
    assert (answered.status, answered.problem) == ("done", "")
    assert set(answered.texts) == {BASE, trained.run_id}

    again = until(queue, queue.ask([trained], "What is W?", seed=0, temperature=0), is_ended)
    assert again.texts == answered.texts

    workers = [thread for thread in threading.enumerate() if thread.name == "lab-chat"]
    assert len(workers) == 1
    for make_room in engine.before_run:
        make_room(trained)  # what the engine calls before it works on a run
    assert queue._worker is None


def test_nothing_is_remembered_of_a_question_nobody_asked(queue: ChatQueue) -> None:
    assert queue.find("nothing") is None
    queue.stop("nothing")
