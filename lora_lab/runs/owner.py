"""Who works on a run, where that is not the app: a command line or a cluster, named in the `queued` event.

The app takes up whatever an earlier app left waiting. A run that is held belongs to somebody else.
"""

import os
import socket

import psutil

CLOCK_TOLERANCE_SECONDS = 2.0


def this_process() -> str:
    """How this process signs what it holds."""
    return f"{socket.gethostname()}:{os.getpid()}"


def is_at_work(held_by: str, *, since: float) -> bool:
    """Whether the holder still lives. One on another machine is believed to.

    A process that began after `since`, when the run was taken, only got the same number again.
    """
    host, _, pid = held_by.rpartition(":")
    if host != socket.gethostname():
        return True
    try:
        return psutil.Process(int(pid)).create_time() <= since + CLOCK_TOLERANCE_SECONDS
    except (psutil.Error, ValueError):
        return False


def is_elsewhere(held_by: str) -> bool:
    """Whether the holder is on another machine."""
    return held_by.rpartition(":")[0] != socket.gethostname()
