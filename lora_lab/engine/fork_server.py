"""The app's side of a fork server, a process that has imported torch and from which workers are forked.

The other side is worker/fork_server.py: how a fork server comes to be, and where there is none.
"""

import json
import os
import select
import socket
import subprocess
import sys
import threading
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from typing import IO, Any

import psutil

READY, REFUSED = b"ready", b"refused"
"""The first message of a worker that was to start a fork server: it runs, or this machine allows none."""

MESSAGE_BYTES = 100_000
"""The longest order: a command line and a few variables."""

READ_LATE = ("LORA_STUDY_", "GRADIO_")
"""The beginnings of variables that a fork may be given: no library reads them while it is imported."""

UNKNOWN_STATUS = 255
"""The exit status of a worker whose fork server died before it."""


class ForkedWorker:
    """A process that a fork server has forked, with the methods of a Popen that owners of a worker use."""

    def __init__(self, pid: int, status: int, stdin: IO[bytes], stdout: IO[bytes] | None) -> None:
        self.pid, self.stdin, self.stdout = pid, stdin, stdout
        self.returncode: int | Any = None
        self._status = status
        self._lock = threading.Lock()
        weakref.finalize(self, os.close, status)
        self._process: psutil.Process | None = None
        with suppress(psutil.Error):  # it has ended already
            self._process = psutil.Process(pid)

    def poll(self) -> int | None:
        """Return the exit status; None while the process lives."""
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end and return the exit status. Raises subprocess.TimeoutExpired."""
        if self.returncode is None:
            end = select.poll()
            end.register(self._status)
            if not end.poll(None if timeout is None else timeout * 1000):
                raise subprocess.TimeoutExpired("a forked worker", timeout or 0)
            with self._lock:
                if self.returncode is None and (told := os.read(self._status, 16)):
                    self.returncode = int(told)
            if self.returncode is None:
                self._wait_without_fork_server(timeout)
                self.returncode = UNKNOWN_STATUS
        return self.returncode

    def kill(self) -> None:
        """Kill the process, unless it has ended."""
        if self.poll() is None and self._process is not None:
            with suppress(psutil.Error):
                self._process.kill()

    def _wait_without_fork_server(self, timeout: float | None) -> None:
        if self._process is not None:
            try:
                self._process.wait(timeout)
            except psutil.TimeoutExpired as error:
                raise subprocess.TimeoutExpired("a forked worker", timeout or 0) from error


class ForkServer:
    """A fork server that the first worker starts, and from which later ones are forked. Thread-safe.

    On systems other than Linux, and beside a GPU, it does nothing: every worker is started anew.
    """

    def __init__(self, *, read_late: Sequence[str] = READ_LATE) -> None:
        self._read_late = tuple(read_late)
        self._lock = threading.Lock()
        self._control: socket.socket | None = None
        self._is_ready = False
        self._environment: dict[str, str] = {}
        self._is_possible = sys.platform == "linux"

    @contextmanager
    def bring(self, environment: Mapping[str, str]) -> Iterator[tuple[int, ...]]:
        """Yield the descriptor that the next worker is given, so that it starts a fork server; none if one
        is there or comes.
        """
        with self._lock:
            wanted = self._is_possible and not (self._control and self._fits(environment))
            if not wanted:
                yield ()
                return
            self._drop()
            ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            with theirs:
                yield (theirs.fileno(),)
            self._control, self._environment = ours, self._select_early(environment)

    def fork(
        self, arguments: Sequence[str], environment: Mapping[str, str], output: int, *, answers: bool
    ) -> ForkedWorker | None:
        """Fork a worker; None if there is no fork server, or none with these libraries' variables.

        It prints to the descriptor `output`; with `answers` standard output is a pipe.
        """
        with self._lock:
            if not (self._listens() and self._fits(environment)):
                return None
            late = {name: value for name, value in environment.items() if name.startswith(self._read_late)}
            order = {"arguments": [*arguments], "late": late, "read_late": self._read_late}
            theirs, stdin = os.pipe()
            stdout, answer = os.pipe() if answers else (None, None)
            status, report = os.pipe()
            given = (theirs, output if answer is None else answer, output, report)
            try:
                pid = self._ask(json.dumps(order).encode(), given)
            finally:
                for descriptor in (theirs, answer, report):
                    if descriptor is not None:
                        os.close(descriptor)
            opened = os.fdopen(stdin, "wb"), None if stdout is None else os.fdopen(stdout, "rb")
            if pid > 0:
                return ForkedWorker(pid, status, *opened)
            os.close(status)
            for pipe in opened:
                if pipe is not None:
                    pipe.close()
            return None

    def close(self) -> None:
        """End the fork server. Its workers go on."""
        with self._lock:
            self._drop()

    def _ask(self, order: bytes, descriptors: Sequence[int]) -> int:
        """Return the worker's process id; negative or 0 if there is no worker."""
        assert self._control is not None
        try:
            socket.send_fds(self._control, [order], descriptors)
            reply = self._control.recv(16)
        except OSError:  # it has ended, or the order is too long
            reply = b""
        if not reply:
            self._drop()
        return int(reply or b"0")

    def _listens(self) -> bool:
        """Return whether the fork server is there; the first call after its start reads that."""
        if self._control is None or self._is_ready:
            return self._is_ready
        try:
            told = self._control.recv(16, socket.MSG_DONTWAIT)
        except BlockingIOError:  # its worker still imports
            return False
        except OSError:
            told = b""
        if told == READY:
            self._is_ready = True
        else:  # refused, or the worker ended first
            self._is_possible = told != REFUSED
            self._drop()
        return self._is_ready

    def _fits(self, environment: Mapping[str, str]) -> bool:
        return self._select_early(environment) == self._environment

    def _select_early(self, environment: Mapping[str, str]) -> dict[str, str]:
        """Select the variables that a library may have read while it was imported."""
        return {name: v for name, v in environment.items() if not name.startswith(self._read_late)}

    def _drop(self) -> None:
        if self._control is not None:
            self._control.close()
        self._control, self._is_ready = None, False
