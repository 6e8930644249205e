"""A worker process over JSON lines: it answers, and its end is an answer without lines."""

import threading
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from study.base.json_lines import JsonLinesProcess, RequestProcess

ECHO = """
import json, sys
for line in sys.stdin:
    order = json.loads(line)
    for number in range(order["times"]):
        print(json.dumps({"number": number}), flush=True)
    if order.get("cut"):
        print('{"number":', end="", flush=True)
        sys.exit(3)
"""


@pytest.fixture
def environment(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "echo_worker.py").write_text(ECHO, "utf-8")
    return {"PYTHONPATH": str(tmp_path)}


@pytest.fixture
def worker(environment: dict[str, str]) -> Iterator[JsonLinesProcess]:
    opened = JsonLinesProcess("echo_worker", environment=environment)
    yield opened
    opened.close()


def test_each_order_is_answered_in_lines(worker: JsonLinesProcess) -> None:
    for _ in range(2):
        worker.send({"times": 2})
        answer = worker.read()
        assert [next(answer), next(answer)] == [{"number": 0}, {"number": 1}]
    assert worker.is_alive


def test_an_answer_that_is_cut_off_ends_there(worker: JsonLinesProcess) -> None:
    worker.send({"times": 1, "cut": True})
    assert list(worker.read()) == [{"number": 0}]
    assert worker.wait() == 3
    assert not worker.is_alive


def test_a_killed_process_gives_no_answer_to_whoever_waits_for_one(worker: JsonLinesProcess) -> None:
    ended = threading.Timer(0.2, worker.kill)
    ended.start()
    assert list(worker.read()) == []
    ended.join()
    worker.send({"times": 1})
    assert list(worker.read()) == []
    worker.close()
    assert list(worker.read()) == []


def test_a_question_after_the_process_was_killed_is_answered_by_another_one(
    environment: dict[str, str],
) -> None:
    asked = RequestProcess("echo_worker", environment=environment)
    before = set(psutil.Process().children())
    assert asked.ask({"times": 1}, seconds=60) == {"number": 0}
    (first,) = set(psutil.Process().children()) - before
    first.kill()
    first.wait()
    assert asked.ask({"times": 1}, seconds=60) == {"number": 0}
    asked.close()
    assert set(psutil.Process().children()) == before


def test_a_question_without_an_answer_ends_with_its_time(environment: dict[str, str]) -> None:
    asked = RequestProcess("echo_worker", environment=environment)
    assert asked.ask({"times": 0}, seconds=0.5) is None
    assert asked.ask({"times": 1}, seconds=60) == {"number": 0}
    asked.close()
