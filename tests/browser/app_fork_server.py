"""Apps for browser tests, forked from one process that has built an app and opened each of its pages.

The browser round starts some 25 apps. Each would import the same libraries, compress the same files and read
the same lessons: nine tenths of its processor time until it has shown its pages. How the app starts by itself
is looked at in tests/study/web/serving, and by those browser tests that give it variables.

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
from tempfile import TemporaryDirectory

import psutil

from lora_lab.engine.fork_server import READ_LATE, READY, ForkedWorker, ForkServer
from lora_lab.worker.fork_server import serve_forks
from study.base.settings import ROOT, load_settings
from study.web.stub_files import disable_stub_writing
from tests.waiting import wait_for
from tests.whole_app import whole_app

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
            assert self._process.wait(START_SECONDS) == 0  # it has forked the fork server and ended
        printed, output = os.pipe()
        try:
            forked = wait_for(
                lambda: self._fork_server.fork(arguments, environment, output, answers=False),
                seconds=START_SECONDS,
            )
        finally:
            os.close(output)
        return ForkedApp(forked, printed) if forked else None


def build_once() -> None:
    """Build an app on a folder of its own, do what it does after its start, open each page, and close it."""
    with TemporaryDirectory() as folder, whole_app(load_settings(home=Path(folder))) as app:
        app.site.state.prepare()
        app.open_all()


def main() -> None:
    """Have everything imported and read, then fork an app for each order."""
    gc.disable()
    disable_stub_writing()
    build_once()
    assert psutil.Process().children() == []  # apps would share them
    gc.freeze()
    if os.fork():
        os._exit(0)  # and with it the threads of libraries
    control = socket.socket(fileno=int(sys.argv[1]))
    control.send(READY)
    # One worker that never ends: the fork server would end after ten minutes in which no app runs.
    never, _open = os.pipe()
    sys.argv = ["app.py", *serve_forks(control, {never: None})]
    gc.enable()
    runpy.run_path(str(Path(ROOT) / "app.py"), run_name="__main__")


if __name__ == "__main__":
    main()
