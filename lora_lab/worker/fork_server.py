"""A fork server: a process that has imported the libraries and does no work, from which workers are forked.

Importing torch, transformers, PEFT and bitsandbytes takes seconds; a fork takes some 20 ms. The first worker
of an app forks it right after its own imports, so nothing is imported twice. From then on the app asks it for
workers over a socket (engine/fork_server.py). It ends when the app closes the socket or dies; its workers go
on, like workers that were started without it.

A fork has only the thread that forks. So a fork server is made only where that thread is the only one, before
the first product, and never beside a GPU, whose driver can't be used after a fork.
"""

import json
import os
import select
import socket
import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from lora_lab.engine.fork_server import MESSAGE_BYTES, READY, REFUSED

IDLE_SECONDS = 600.0
"""How long a fork server stays without a worker: it holds 280 MB, which it shares with workers."""


@dataclass(frozen=True)
class _Forked:
    """A forked worker, and the descriptor that its exit status is written to."""

    pid: int
    status: int


def start_fork_server(descriptor: int, *, beside_gpu: bool) -> list[str] | None:
    """Start a fork server that listens on a socket, unless this process must not be forked.

    Returns None in this process, which goes on as the worker that it is; and in each worker that is forked
    later the command line of that worker.
    """
    control = socket.socket(fileno=descriptor)
    if beside_gpu:
        control.send(REFUSED)
        control.close()
        return None
    life, own = os.pipe()  # the fork server sees this process's end by it
    between = os.fork()
    if between == 0:
        os.close(own)
        os.setsid()
        if os.fork():  # the fork server is nobody's child: killing the first worker leaves it and its workers
            os._exit(0)
        return serve_forks(control, {life: None})
    os.close(life)
    os.waitpid(between, 0)
    # OpenBLAS ends its threads before a fork. Any other thread may have held a lock.
    control.send(READY if _count_threads() == 1 else REFUSED)
    control.close()
    return None


def _count_threads() -> int:
    return len(os.listdir("/proc/self/task"))


def serve_forks(control: socket.socket, workers: dict[int, _Forked | None]) -> list[str]:
    """Fork a worker for each order, and report each end. Returns in the workers only, with the order's
    command line.

    Each worker holds one end of a pipe, and `workers` has the other ends; None for the first worker, which is
    the app's child.
    """
    null = os.open(os.devnull, os.O_RDWR)
    os.dup2(null, 0)
    os.dup2(2, 1)  # the pipe of the first worker's answers closes with that worker
    os.close(null)
    while True:
        ready, _, _ = select.select([control.fileno(), *workers], [], [], None if workers else IDLE_SECONDS)
        if not ready:
            os._exit(0)
        for life in set(ready) & set(workers):
            os.close(life)
            _report_end(workers.pop(life))
        if control.fileno() not in ready:
            continue
        order, descriptors, *_ = socket.recv_fds(control, MESSAGE_BYTES, 4)
        if not order:
            os._exit(0)
        *streams, status = descriptors
        life, own = os.pipe()
        try:
            pid = os.fork()
        except OSError:  # no memory for another process
            pid = -1
        if pid == 0:
            control.close()
            for kept in (life, status, *workers, *(worker.status for worker in workers.values() if worker)):
                os.close(kept)
            return _become_worker(json.loads(order), streams)
        for descriptor in (own, *streams):
            os.close(descriptor)
        if pid > 0:
            workers[life] = _Forked(pid, status)
        else:
            os.close(life)
            os.close(status)
        control.send(str(pid).encode())


def _report_end(worker: _Forked | None) -> None:
    """Write a worker's exit status for the app."""
    if worker is None:
        return
    _, ended = os.waitpid(worker.pid, 0)
    with suppress(OSError):  # the app has closed its end
        os.write(worker.status, str(os.waitstatus_to_exitcode(ended)).encode())
    os.close(worker.status)


def _become_worker(order: dict[str, Any], streams: Sequence[int]) -> list[str]:
    """Take the order's streams and variables; return its command line."""
    os.setsid()
    for place, descriptor in enumerate(streams):
        os.dup2(descriptor, place)
        os.close(descriptor)
    sys.stdin = os.fdopen(0, closefd=False)  # one that has read nothing, of a pipe
    for name in [name for name in os.environ if name.startswith(tuple(order["read_late"]))]:
        del os.environ[name]
    os.environ.update(order["late"])
    return [*order["arguments"]]
