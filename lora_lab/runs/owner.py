"""The owner of a run other than the app: a command line or a cluster, named in the `queued` event.

The app takes up whatever an earlier app left waiting. A run with an owner belongs to another process.
"""

import os
import socket

import psutil

CLOCK_TOLERANCE_SECONDS = 2.0


def name_this_process() -> str:
    """Return this process's name as an owner, `host:pid`."""
    return f"{socket.gethostname()}:{os.getpid()}"


def is_at_work(held_by: str, *, since: float) -> bool:
    """Return whether the owner is still alive. An owner on another machine is assumed to be.

    `since` is when the run was taken.
    """
    host, _, pid = held_by.rpartition(":")
    return host != socket.gethostname() or (pid.isdecimal() and is_alive(int(pid), since=since))


def is_alive(pid: int, *, since: float) -> bool:
    """Return whether the process that had an id at `since` is alive. One that started later only has the same
    id, as after the restart of a container, where ids begin at 1 again.
    """
    try:
        process = psutil.Process(pid)
        known = process.create_time() <= since + CLOCK_TOLERANCE_SECONDS
        return known and process.status() != psutil.STATUS_ZOMBIE
    except (psutil.Error, OverflowError):
        return False


def is_elsewhere(held_by: str) -> bool:
    """Return whether the owner is on another machine."""
    return held_by.rpartition(":")[0] != socket.gethostname()
