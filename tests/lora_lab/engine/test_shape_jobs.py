"""Reading models' shapes: however many names are asked for, two processes at the most, and none for long."""

import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from lora_lab.engine.shape_jobs import AT_ONCE, PATIENCE_SECONDS, ShapeJobs


class Clock:
    def __init__(self) -> None:
        self.seconds = 0.0

    def __call__(self) -> float:
        return self.seconds


class Started(dict[str, "subprocess.Popen[bytes]"]):
    """Processes that go on until they are ended, by model."""

    def __call__(self, model: str) -> "subprocess.Popen[bytes]":
        self[model] = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
        return self[model]

    @property
    def running(self) -> list[str]:
        return [model for model, process in self.items() if process.poll() is None]


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def started() -> Iterator[Started]:
    found = Started()
    yield found
    for process in found.values():
        process.kill()
        process.wait()
        assert process.stdin is not None
        process.stdin.close()


@pytest.fixture
def jobs(started: Started, clock: Clock) -> ShapeJobs:
    return ShapeJobs(started, now=clock)


def test_a_name_typed_letter_by_letter_starts_one_process(jobs: ShapeJobs, started: Started) -> None:
    name = "owner/some-model"
    assert all(jobs.is_working(name[:length], browser_id="ana") for length in range(1, len(name) + 1))
    assert started.running == ["o"]


def test_one_is_read_at_a_time_for_a_browser_and_two_for_all(
    jobs: ShapeJobs, started: Started, clock: Clock
) -> None:
    for browser, model in (("ana", "a"), ("ana", "b"), ("ben", "c"), ("cem", "d")):
        assert jobs.is_working(model, browser_id=browser)
    assert started.running == ["a", "c"]
    assert len(started) == AT_ONCE
    started["a"].kill()
    started["a"].wait()
    assert not jobs.is_working("a", browser_id="ana")
    for browser, model in (("ana", "b"), ("cem", "d")):
        jobs.is_working(model, browser_id=browser)
    assert started.running == ["c", "b"]
    clock.seconds += PATIENCE_SECONDS + 1
    jobs.is_working("d", browser_id="cem")
    assert started.running == ["d"]


def test_what_nobody_waits_for_any_more_is_ended_and_makes_room(
    jobs: ShapeJobs, started: Started, clock: Clock
) -> None:
    for model in ("a", "b", "c"):
        jobs.is_working(model, browser_id=f"reader of {model}")
    assert started.running == ["a", "b"]
    clock.seconds += PATIENCE_SECONDS
    jobs.is_working("b", browser_id="reader of b")
    clock.seconds += 1
    assert jobs.is_working("whole", browser_id="reader of c")
    assert started.running == ["b", "whole"]


def test_a_process_that_ended_has_its_say_until_it_is_forgotten(jobs: ShapeJobs, started: Started) -> None:
    assert jobs.is_working("a", browser_id="reader of a")
    started["a"].kill()
    started["a"].wait()
    assert not jobs.is_working("a", browser_id="reader of a")
    assert not jobs.is_working("a", browser_id="reader of a")
    jobs.forget("a")
    assert jobs.is_working("a", browser_id="reader of a")


def test_what_a_process_has_started_itself_is_ended_with_it(clock: Clock) -> None:
    """A download, which would go on for minutes."""
    sleeping = f"subprocess.Popen(['{sys.executable}', '-c', 'import time; time.sleep(60)'])"
    command = [sys.executable, "-c", f"import subprocess; {sleeping}; print(flush=True); input()"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        (child,) = psutil.Process(process.pid).children()
        jobs = ShapeJobs(lambda model: process, now=clock)
        jobs.is_working("a", browser_id="reader of a")
        jobs.close()
        assert psutil.wait_procs([child], timeout=10)[1] == []


def test_closing_ends_all(jobs: ShapeJobs, started: Started) -> None:
    jobs.is_working("a", browser_id="reader of a")
    jobs.is_working("b", browser_id="reader of b")
    jobs.close()
    assert started.running == []
