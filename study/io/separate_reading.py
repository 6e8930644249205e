"""Reading one small file that a browser sent, in a process of its own, which ends with it.

    dataset_values = read_apart(read_upload, "mine.jsonl", content)

computes `read_upload("mine.jsonl", content)` elsewhere, within limits on memory and time, and returns what it
gives as JSON has it. Decks, questions and backups, which need the store, have a worker that stays
(import_process.py).

`python -m study.io.separate_reading MODULE:FUNCTION CPU_SECONDS` is that process: it reads the name as one
line of JSON and then the content from standard input, and answers with one line of JSON, `{"found": ...}` or
`{"error": [what, do_next]}`.
"""

import json
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass, is_dataclass
from typing import Any

from study.base.errors import LearnerError
from study.base.import_limits import SMALL_FILE_CPU_SECONDS, SMALL_FILE_SECONDS
from study.base.json_lines import open_answers, start_module
from study.base.owner_log import note
from study.base.units import as_bytes
from study.io.process_limits import limit_cpu_time, limit_memory
from study.io.reading_process import (
    build_memory_error,
    build_stopped_error,
    encode_error,
    find_named,
    name_function,
    raise_error,
)

AT_ONCE = 2
WAIT_SECONDS = 10
_SMALLER = "Choose a smaller file, or check that it is what its name says."

Reader = Callable[[str, bytes], Any]
"""Reads a file by name and content. A function of a module, which keeps and changes nothing."""


@dataclass(eq=False, kw_only=True)
class FileReading:
    """A file that is read, or waits for its turn while it has no process."""

    profile_id: str
    process: "subprocess.Popen[bytes] | None" = None
    stopped: bool = False


_readings: list[FileReading] = []
_turns = threading.Condition()
"""Guards the readings; whoever waits for a turn is told when one ends or is stopped."""


def read_apart(reader: Reader, name: str, content: bytes, *, profile_id: str) -> Any:
    """Return a reader's result after a round trip through JSON. `profile_id` is the profile that may stop it.

    Raises LearnerError, the reader's own or one on limits, and when the reading is stopped.
    """
    reading = FileReading(profile_id=profile_id)
    try:
        process = _begin(reading, name_function(reader))
        return _read(process, name, content)
    except LearnerError as error:
        if reading.stopped:
            raise build_stopped_error(name) from error
        note("import", f"A file of {as_bytes(len(content))} for the Lab was not read.")
        raise
    finally:
        with _turns:
            _readings.remove(reading)
            _turns.notify_all()


def stop_readings(profile_id: str) -> None:
    """End all that is read for a profile, and what waits for its turn; `read_apart` raises LearnerError."""
    with _turns:
        for reading in _readings:
            if reading.profile_id == profile_id:
                reading.stopped = True
                if reading.process is not None:
                    reading.process.kill()
        _turns.notify_all()


def _begin(reading: FileReading, function: str) -> "subprocess.Popen[bytes]":
    """Start the process of a reading when fewer than AT_ONCE others have one."""
    with _turns:
        _readings.append(reading)
        _turns.wait_for(lambda: reading.stopped or _has_place(), timeout=WAIT_SECONDS)
        if reading.stopped or not _has_place():
            raise LearnerError("Many files are being read at the moment.", do_next="Try again in a minute.")
        limit = str(SMALL_FILE_CPU_SECONDS)
        reading.process = start_module("study.io.separate_reading", function, limit)
        return reading.process


def _has_place() -> bool:
    return sum(reading.process is not None for reading in _readings) < AT_ONCE


def _read(process: "subprocess.Popen[bytes]", name: str, content: bytes) -> Any:
    sent = json.dumps(name).encode() + b"\n" + content
    try:
        with process:
            try:
                answers, _ = process.communicate(sent, timeout=SMALL_FILE_SECONDS)
            finally:
                process.kill()  # one that takes too long; an ended one doesn't mind
        answer = json.loads(answers)
    except subprocess.TimeoutExpired as error:
        said = f"{name} takes more than {SMALL_FILE_SECONDS} s to read."
        raise LearnerError(said, do_next=_SMALLER) from error
    except ValueError as error:  # it was ended at a limit, or by what it read
        said = f"{name} could not be read: the process reading it crashed or was stopped."
        raise LearnerError(said, do_next=_SMALLER) from error
    raise_error(answer)
    return answer["found"]


def main() -> None:
    answers = open_answers()
    read: Reader = find_named(sys.argv[1])
    limit_memory()
    limit_cpu_time(int(sys.argv[2]))
    name = json.loads(sys.stdin.buffer.readline())
    try:
        found = read(name, sys.stdin.buffer.read())
        answer: dict[str, Any] = {
            "found": asdict(found) if is_dataclass(found) and not isinstance(found, type) else found
        }
    except LearnerError as error:
        answer = encode_error(error)
    except MemoryError:
        answer = encode_error(build_memory_error(name, _SMALLER))
    answers.write(json.dumps(answer).encode())
    answers.close()


if __name__ == "__main__":
    main()
