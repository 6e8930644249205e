"""A worker process that reads a JSON object per line and answers in lines of JSON."""

import contextlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from typing import IO, Any

from study.base.settings import ROOT


def open_answers() -> IO[bytes]:
    """Return standard output for answers; whatever else writes to it goes to standard error from now on."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    return answers


def start_module(
    module: str, *arguments: str, environment: Mapping[str, str] | None = None
) -> "subprocess.Popen[bytes]":
    """Run a module of this project in a process of its own. What it prints as errors is discarded."""
    return subprocess.Popen(
        [sys.executable, "-m", module, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **(environment or {})},
        cwd=ROOT,
        start_new_session=True,
    )


class JsonLinesProcess:
    """A process that is asked and answers in lines of JSON."""

    def __init__(self, module: str, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        self._process = start_module(module, *arguments, environment=environment)

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def send(self, message: Mapping[str, Any]) -> None:
        """Write a line. A process that has ended is noticed by reading: it gives no answer."""
        assert self._process.stdin is not None
        with contextlib.suppress(BrokenPipeError, ValueError):
            self._process.stdin.write(json.dumps(message).encode() + b"\n")
            self._process.stdin.flush()

    def read(self) -> Iterator[Any]:
        """Yield each line of the answer; ends with the process."""
        assert self._process.stdout is not None
        with contextlib.suppress(ValueError):  # killed in the middle of a line, or its pipe is closed
            for line in self._process.stdout:
                yield json.loads(line)

    def wait(self) -> int:
        return self._process.wait()

    def kill(self) -> None:
        """Kill the process and wait for its end; a thread that reads from it gets the end of the answer."""
        self._process.kill()
        self._process.wait()

    def close(self) -> None:
        """Kill the process and close its pipes, which no thread may use then."""
        self.kill()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


class RequestProcess:
    """A module that answers each question with one line, in a process that starts for the first question.

    Whatever ended it since, the next question gets a new one. One thread asks at a time.
    """

    def __init__(self, module: str, *arguments: str, environment: Mapping[str, str] | None = None) -> None:
        self._command, self._environment = (module, *arguments), environment
        self._process: JsonLinesProcess | None = None

    def ask(self, question: Mapping[str, Any], *, seconds: float) -> Any | None:
        """Return the answer; None when the process ended first, which it does after so many seconds."""
        if self._process is not None and not self._process.is_alive:
            self.close()
        process = self._process = self._process or JsonLinesProcess(
            *self._command, environment=self._environment
        )
        process.send(question)
        limit = threading.Timer(seconds, process.kill)
        limit.start()
        answer = next(process.read(), None)
        limit.cancel()
        if answer is None:
            self.close()
        return answer

    def close(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.close()
