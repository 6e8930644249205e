"""Readers that do to a process what a file of a stranger could make one do."""

import os

from study.base.errors import LearnerError


def measure(name: str, content: bytes) -> dict[str, object]:
    os.write(1, b"a line that is no answer\n")
    return {"name": name, "bytes": len(content), "process": os.getpid()}


def refuse(name: str, content: bytes) -> None:
    raise LearnerError(f"{name}: line 1: no prompt.", do_next="Add one.")


def take_memory(name: str, content: bytes) -> int:
    return len(bytearray(2_000_000_000))


def take_time(name: str, content: bytes) -> None:
    while True:
        pass


def break_down(name: str, content: bytes) -> None:
    os.abort()


def fail(name: str, content: bytes) -> None:
    raise ValueError("a bug")
