"""A small file is read in a process of its own: what it gives, what it says, and what ends it."""

import os
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from study.base.errors import LearnerError
from study.base.import_limits import SMALL_FILE_CPU_SECONDS, SMALL_FILE_SECONDS
from study.base.owner_log import OwnerLog, read_last
from study.io import separate_reading
from study.io.separate_reading import Reader, stop_readings
from tests.study.io import readers
from tests.waiting import wait_for

read_apart = partial(separate_reading.read_apart, profile_id="ana")
NAME = 'Ana\'s "file"\n\udc80.jsonl'


def test_a_reader_gets_name_and_content_elsewhere() -> None:
    content = bytes(range(256)) * 1000
    found = read_apart(readers.measure, NAME, content)
    assert (found["name"], found["bytes"]) == (NAME, len(content))
    assert found["process"] != os.getpid()


def test_what_the_reader_says_is_said() -> None:
    with pytest.raises(LearnerError) as raised:
        read_apart(readers.refuse, "mine.jsonl", b"{}")
    assert (raised.value.what, raised.value.do_next) == ("mine.jsonl: line 1: no prompt.", "Add one.")


@pytest.mark.parametrize(
    ("reader", "said"),
    [
        (readers.take_memory, "needs more memory"),
        (readers.take_time, "takes more than 3 s"),
        (readers.break_down, "the process reading it crashed or was stopped"),
        (readers.fail, "the process reading it crashed or was stopped"),
    ],
)
def test_whatever_a_file_does_the_app_goes_on_and_the_owner_knows(
    reader: Reader, said: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(separate_reading, "SMALL_FILE_SECONDS", 3 if reader is readers.take_time else 40)
    log = OwnerLog(tmp_path)
    with pytest.raises(LearnerError, match=said) as raised:
        read_apart(reader, "mine.jsonl", b"x" * 3000)
    log.close()
    assert "mine.jsonl" in raised.value.what
    assert [entry.text for entry in read_last(tmp_path)] == ["A file of 3.00 kB for the Lab was not read."]
    assert read_apart(readers.measure, "next.jsonl", b"12")["bytes"] == 2


def test_processor_time_is_limited_too(monkeypatch: pytest.MonkeyPatch) -> None:
    assert SMALL_FILE_CPU_SECONDS < SMALL_FILE_SECONDS
    monkeypatch.setattr(separate_reading, "SMALL_FILE_CPU_SECONDS", 1)
    with pytest.raises(LearnerError, match="the process reading it crashed"):
        read_apart(readers.take_time, "mine.jsonl", b"")


def test_more_readings_than_places_are_told_to_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(separate_reading, "WAIT_SECONDS", 0.1)
    with monkeypatch.context() as full:
        full.setattr(separate_reading, "AT_ONCE", 0)
        with pytest.raises(LearnerError, match="Many files are being read"):
            read_apart(readers.measure, "mine.jsonl", b"")
    assert read_apart(readers.measure, "mine.jsonl", b"")["bytes"] == 0


def begun(pool: ThreadPoolExecutor, *, profile_id: str, name: str = "mine.jsonl") -> "Future[Any]":
    """Start a reading that takes its whole time, and wait until it is counted."""
    count = len(separate_reading._readings)
    reading = pool.submit(
        separate_reading.read_apart, readers.take_time, name, b"x" * 1_000_000, profile_id=profile_id
    )
    wait_for(lambda: len(separate_reading._readings) > count, seconds=20)
    return reading


def test_a_learner_can_stop_what_is_read_for_them_and_only_that(tmp_path: Path) -> None:
    log = OwnerLog(tmp_path)
    with ThreadPoolExecutor(2) as pool:
        anas, bens = (begun(pool, profile_id=name) for name in ("ana", "ben"))
        with separate_reading._turns:  # both have their processes
            processes = [reading.process for reading in separate_reading._readings]
        stop_readings("ana")
        with pytest.raises(LearnerError) as raised:
            anas.result(20)
        assert str(raised.value) == (
            "Reading mine.jsonl was stopped. Nothing was changed. Choose the file again to start over."
        )
        assert [process is not None and process.poll() is None for process in processes] == [False, True]
        assert not bens.done()
        stop_readings("ben")
        with pytest.raises(LearnerError, match="was stopped"):
            bens.result(20)
    log.close()
    assert read_last(tmp_path) == []  # nothing that the owner has to look after
    assert read_apart(readers.measure, "next.jsonl", b"12")["bytes"] == 2


def test_a_file_that_waits_for_its_turn_can_be_stopped_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(separate_reading, "AT_ONCE", 1)
    monkeypatch.setattr(separate_reading, "WAIT_SECONDS", 60)
    with ThreadPoolExecutor(2) as pool:
        bens = begun(pool, profile_id="ben")
        waiting = begun(pool, profile_id="ana", name="second.jsonl")
        stop_readings("ana")
        with pytest.raises(LearnerError, match=r"Reading second\.jsonl was stopped"):
            waiting.result(20)
        assert not bens.done()
        next_one = pool.submit(read_apart, readers.measure, "next.jsonl", b"12")
        stop_readings("ben")
        assert next_one.result(60)["bytes"] == 2
