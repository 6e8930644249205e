"""Starts the workers, starts those again that die, and ends them all.

On Linux each worker listens on a socket of its own at the same address, and the system spreads the phones
over them: when one dies the others go on at once. Elsewhere they accept from one socket that they inherit.
"""

import contextlib
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from study.base.addresses import build_address
from study.base.errors import LearnerError
from study.web.serving.server import STOP_SIGNALS, take_port

READY = "Ready."
"""What a worker prints when it answers."""

START_SECONDS = 120.0
LOOK_SECONDS = 0.2
AGAIN_SECONDS = 1.0
"""Between the starts of a worker that dies: it may find no database for a while."""

END_SECONDS = 5.0


@dataclass
class _StartedWorker:
    process: "subprocess.Popen[str]"
    ready: threading.Event = field(default_factory=threading.Event)


@dataclass(kw_only=True)
class Supervisor:
    """The parent process of the workers; it holds no class itself."""

    host: str
    port: int
    count: int
    command: Sequence[str]
    """Of a worker; where it listens is added."""

    say: Callable[[str], object]
    share_socket: bool = sys.platform != "linux"
    _ending: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        """Serve until a stop signal. Raises LearnerError when the port is taken or no worker starts."""
        if not hasattr(signal, "SIGHUP"):
            raise LearnerError(
                "Several processes on one port need Linux or macOS.", do_next="Use: python app.py --class"
            )
        if not self.share_socket:
            take_port(self.host, self.port).close()  # refuses a port that another program listens on
        with take_port(self.host, self.port, several=not self.share_socket, listen=self.share_socket) as kept:
            port = kept.getsockname()[1]
            where = ["--host", self.host, "--port", str(port)]
            inherited: tuple[int, ...] = ()
            if self.share_socket:
                where, inherited = ["--socket", str(kept.fileno())], (kept.fileno(),)

            def start() -> _StartedWorker:
                return _start([*self.command, *where], inherited)

            for number in STOP_SIGNALS:
                signal.signal(number, lambda *_: self._ending.set())
            workers = [start() for _ in range(self.count)]
            try:
                self._wait_for(workers)
                self.say(f"Ready: {build_address(self.host, port)}")
                self._keep(workers, start)
            finally:
                _end(workers)

    def _wait_for(self, workers: Sequence[_StartedWorker]) -> None:
        for worker in workers:
            waited = 0.0
            while not worker.ready.wait(LOOK_SECONDS) and not self._ending.is_set():
                waited += LOOK_SECONDS
                if worker.process.poll() is not None or waited > START_SECONDS:
                    raise LearnerError(
                        "A worker did not start.", do_next="Look for the reason above, then start again."
                    )

    def _keep(self, workers: list[_StartedWorker], start: Callable[[], _StartedWorker]) -> None:
        while not self._ending.wait(LOOK_SECONDS):
            for place, worker in enumerate(workers):
                if worker.process.poll() is not None:
                    self.say(f"Worker {worker.process.pid} has ended; another one takes its place.")
                    if self._ending.wait(AGAIN_SECONDS):
                        return
                    workers[place] = start()


def _start(command: Sequence[str], inherited: tuple[int, ...]) -> _StartedWorker:
    process = subprocess.Popen(
        [sys.executable, *command],
        stdin=subprocess.PIPE,  # ends with this process, and the worker with it
        stdout=subprocess.PIPE,
        text=True,
        pass_fds=inherited,
    )
    worker = _StartedWorker(process)

    def read() -> None:
        assert process.stdout is not None
        for line in process.stdout:
            if line.strip() == READY:
                worker.ready.set()

    threading.Thread(target=read, daemon=True).start()
    return worker


def _end(workers: Sequence[_StartedWorker]) -> None:
    for worker in workers:
        worker.process.terminate()
    for worker in workers:
        with contextlib.suppress(subprocess.TimeoutExpired):
            worker.process.wait(END_SECONDS)
        worker.process.kill()
        worker.process.wait()
        for pipe in (worker.process.stdin, worker.process.stdout):
            if pipe is not None:
                pipe.close()
