"""A small file is read in a process of its own: what it gives, what it says, and what ends it."""

import os
import threading
from pathlib import Path

import pytest

from study.base.errors import LearnerError
from study.base.import_limits import SMALL_FILE_CPU_SECONDS, SMALL_FILE_SECONDS
from study.base.owner_log import OwnerLog, read_last
from study.io import separate_reading
from study.io.separate_reading import Reader, read_apart
from tests.study.io import readers

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
    monkeypatch.setattr(separate_reading, "_places", threading.BoundedSemaphore(1))
    monkeypatch.setattr(separate_reading, "WAIT_SECONDS", 0.1)
    with separate_reading._places, pytest.raises(LearnerError, match="Many files are being read"):
        read_apart(readers.measure, "mine.jsonl", b"")
    assert read_apart(readers.measure, "mine.jsonl", b"")["bytes"] == 0
