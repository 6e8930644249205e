"""Graceful shutdown has a limit: the app ends some seconds after a stop signal, also while Python is stuck.

A call that holds the interpreter lock, such as a regular expression, keeps signal handlers and threads from
running. The system still writes each signal's number into a pipe (`signal.set_wakeup_fd`); a small process
reads it, and kills the app unless it has ended in time. All that was acknowledged is in the database then.
"""

import os
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterable


def start_guard(signals: Iterable[signal.Signals], seconds: float) -> None:
    """Kill this process `seconds` after one of the signals. Call it in the main thread, not on Windows."""
    command = [sys.executable, "-I", "-S", __file__, str(seconds), *(str(int(number)) for number in signals)]
    guard = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C in a terminal doesn't reach it
    )
    assert guard.stdin is not None
    pipe = os.dup(guard.stdin.fileno())  # stays open to the end of the process, which the guard sees by it
    guard.stdin.close()
    guard.returncode = 0  # nobody waits for it: it ends after this process
    os.set_blocking(pipe, False)
    signal.set_wakeup_fd(pipe, warn_on_full_buffer=False)


def main() -> None:
    """Wait for one of the signals, then for the end of the app, at most for so many seconds."""
    seconds, signals = float(sys.argv[1]), {int(number) for number in sys.argv[2:]}
    app = os.getppid()
    deadline: float | None = None
    while deadline is None or time.monotonic() < deadline:
        left = None if deadline is None else deadline - time.monotonic()
        if not select.select([sys.stdin], [], [], left)[0]:
            break
        number = os.read(sys.stdin.fileno(), 1)
        if not number:
            return
        if deadline is None and number[0] in signals:
            deadline = time.monotonic() + seconds
    if os.getppid() == app:
        os.kill(app, signal.SIGKILL)


if __name__ == "__main__":
    main()
