"""Limits that a process which reads files of strangers sets for itself, where the system has them."""

import os
import sys
import time
from pathlib import Path

from study.base.import_limits import READING_BYTES

if sys.platform != "win32":  # which has no such limits; the app's own limit on time holds there
    import resource


def limit_memory(more_bytes: int = READING_BYTES) -> None:
    """From now on this process can take so many bytes more."""
    if sys.platform == "win32" or not Path("/proc/self/statm").exists():
        return
    pages = int(Path("/proc/self/statm").read_text().split()[0])
    limit = pages * os.sysconf("SC_PAGE_SIZE") + more_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, resource.getrlimit(resource.RLIMIT_AS)[1]))


def limit_cpu_time(seconds: int) -> None:
    """End this process when it has taken so many seconds of processor time more."""
    if sys.platform != "win32":
        limit = int(time.process_time()) + 1 + seconds
        resource.setrlimit(resource.RLIMIT_CPU, (limit, resource.getrlimit(resource.RLIMIT_CPU)[1]))
