"""The owner of a run other than the app: a command line or a cluster, named in the `queued` event.

The app takes up whatever an earlier app left waiting. A run with an owner belongs to another process.
"""

import os
import socket

import psutil

CLOCK_TOLERANCE_SECONDS = 2.0


def this_process() -> str:
    """Return this process's name as an owner, `host:pid`."""
    return f"{socket.gethostname()}:{os.getpid()}"


def is_at_work(held_by: str, *, since: float) -> bool:
    """Return whether the owner is still alive. An owner on another machine is assumed to be.

    A process that started after `since`, when the run was taken, only reuses the same process id.
    """
    host, _, pid = held_by.rpartition(":")
    if host != socket.gethostname():
        return True
    try:
        return psutil.Process(int(pid)).create_time() <= since + CLOCK_TOLERANCE_SECONDS
    except (psutil.Error, ValueError):
        return False


def is_elsewhere(held_by: str) -> bool:
    """Return whether the owner is on another machine."""
    return held_by.rpartition(":")[0] != socket.gethostname()
