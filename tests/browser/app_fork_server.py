"""Apps for browser tests, forked from one process that has imported what an app imports.

Imports are four fifths of an app's start, and the browser round starts some 25 apps. How the app starts by
itself is looked at in tests/study/web/serving, and by those browser tests that give it variables.

    python -m tests.browser.app_fork_server SOCKET
"""

import gc
import io
import os
import runpy
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from lora_lab.engine.fork_server import READ_LATE, READY, ForkedWorker, ForkServer
from lora_lab.worker.fork_server import serve_forks
from study.base.settings import ROOT
from study.web.stub_files import disable_stub_writing
from tests.waiting import wait_for

START_SECONDS = 180


class ForkedApp:
    """An app's process, with the methods of a Popen that tests use."""

    def __init__(self, process: ForkedWorker, printed: int) -> None:
        self._process = process
        self.pid, self.poll, self.wait, self.kill = process.pid, process.poll, process.wait, process.kill
        self.stdout: io.TextIOBase | None = open(printed, encoding="utf-8")  # noqa: SIM115 - as long as this

    def send_signal(self, number: signal.Signals) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)


class AppForkServer:
    """The process that apps are forked from; it starts for the first one. On Linux only."""

    def __init__(self) -> None:
        self._fork_server = ForkServer(read_late=(*READ_LATE, "PYTEST_"))
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, arguments: Sequence[str], environment: Mapping[str, str]) -> ForkedApp | None:
        """Start an app; None where there is no fork server."""
        if sys.platform != "linux":
            return None
        if self._process is None:
            with self._fork_server.bring(environment) as given:
                command = [sys.executable, "-m", "tests.browser.app_fork_server", *map(str, given)]
                self._process = subprocess.Popen(command, cwd=ROOT, env=environment, pass_fds=given)
        printed, output = os.pipe()
        try:
            forked = wait_for(
                lambda: self._fork_server.fork(arguments, environment, output, answers=False),
                seconds=START_SECONDS,
            )
        finally:
            os.close(output)
        self._process.wait()  # it has forked the fork server and ended
        return ForkedApp(forked, printed) if forked else None


def import_all() -> None:
    """Import what an app imports while it starts."""
    disable_stub_writing()
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    import app  # noqa: F401
    from classroom import parts as classroom  # noqa: F401
    from flashcards import parts as flashcards  # noqa: F401
    from lora_lab import parts as lora_lab  # noqa: F401
    from quizzes import parts as quizzes  # noqa: F401


def main() -> None:
    """Import everything, then fork an app for each order."""
    gc.disable()
    import_all()
    gc.freeze()
    if os.fork():
        os._exit(0)  # and with it the threads of libraries
    control = socket.socket(fileno=int(sys.argv[1]))
    control.send(READY)
    sys.argv = ["app.py", *serve_forks(control, {})]
    gc.enable()
    runpy.run_path(str(Path(ROOT) / "app.py"), run_name="__main__")


if __name__ == "__main__":
    main()
