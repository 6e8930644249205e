"""A worker process as its owner uses it: send a job, wait for the answer, end the process."""

import contextlib
import os
import subprocess
import sys
from collections.abc import Sequence
from contextlib import nullcontext
from pathlib import Path

import psutil

from lora_lab.data.lab_folder import CHOSEN_VARIABLE, LabHome
from lora_lab.engine.fork_server import ForkedWorker, ForkServer
from lora_lab.runs import owner
from lora_lab.runs.folder import RunFolder
from study.base.settings import ROOT, Settings

ENDED_EARLY = {
    "state": "no-model",
    "text": "The training worker ended before it was ready.",
    "do_next": "Try again; worker.log in the data folder holds the details.",
}
"""The state of a worker that could not write its own."""

LOG_BYTES = 1_000_000
"""The size at which worker.log is emptied: the errors of many starts."""

DONE = b"done\n"
"""The worker's answer to a job, on its standard output."""


Worker = subprocess.Popen[bytes] | ForkedWorker


class WorkerProcess:
    """A worker that does jobs, one after the other, until it is ended."""

    def __init__(
        self, settings: Settings, extra: Sequence[str] = (), *, fork_server: ForkServer | None = None
    ) -> None:
        self._process = start_worker(settings, [*extra], answers=True, fork_server=fork_server)
        self.was_killed = False
        """Whether this app has killed it."""

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def is_alive(self) -> bool:
        """Whether it can take a job."""
        return self._process.poll() is None

    def do(self, job: Sequence[RunFolder]) -> int | None:
        """Send a job's runs and wait. Return None once they are done; the exit status if the worker died."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write("\t".join(str(run.path) for run in job).encode() + b"\n")
            self._process.stdin.flush()
        except (BrokenPipeError, ValueError):
            pass  # the worker is gone, or its input has just been closed
        for line in self._process.stdout:
            if line == DONE:
                return None
        return self._process.wait()

    def finish(self, grace_seconds: float) -> None:
        """Ask the worker to end: it saves its run after the step. Kill it after the grace period."""
        self.ask_to_end()
        self.wait(grace_seconds)
        self.kill()

    def ask_to_end(self) -> None:
        """Close the worker's standard input: it takes no further job, and stops its run after the step."""
        if self._process.stdin is not None:
            with contextlib.suppress(BrokenPipeError):
                self._process.stdin.close()

    def wait(self, seconds: float) -> bool:
        """Wait for the worker's end; return whether it has ended."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        return not self.is_alive

    def kill(self) -> None:
        """Kill the worker and the download that it may have started, unless it has ended."""
        self.was_killed = True
        kill_worker(self._process)


def start_worker(
    settings: Settings,
    extra: list[str],
    *,
    log: int | None = None,
    answers: bool = False,
    fork_server: ForkServer | None = None,
) -> Worker:
    """Start a worker process with the environment it needs before torch is imported; from the fork server, if
    there is one.

    Its output goes to the descriptor `log`, or to worker.log; with `answers` standard output is a pipe.
    """
    arguments = ["--home", str(settings.home), "--models-dir", str(settings.models_dir), *extra]
    environment = build_device_environment(settings.home) | build_worker_environment()
    output = log if log is not None else open_log(settings.home)
    try:
        if fork_server and (forked := fork_server.fork(arguments, environment, output, answers=answers)):
            return forked
        with fork_server.bring(environment) if fork_server else nullcontext(()) as brought:
            return subprocess.Popen(
                [sys.executable, "-m", "lora_lab.worker", *arguments]
                + [f"--fork-server={descriptor}" for descriptor in brought],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE if answers else output,
                stderr=output,
                env=environment,
                cwd=ROOT,
                start_new_session=True,
                pass_fds=brought,
            )
    finally:
        if log is None:
            os.close(output)


def kill_worker(process: Worker) -> None:
    """Kill a worker and the download that it may have started, unless it has ended."""
    if process.poll() is None:
        with contextlib.suppress(psutil.Error):
            for child in psutil.Process(process.pid).children(recursive=True):
                child.kill()
        process.kill()
        process.wait()


def open_log(home: Path) -> int:
    """Open worker.log, which all workers append to and which is emptied when it is long; where it can't be
    written, the worker runs without one.
    """
    path = home / "worker.log"
    try:
        home.mkdir(parents=True, exist_ok=True)
        anew = os.O_TRUNC if path.exists() and path.stat().st_size > LOG_BYTES else 0
        return os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | anew, 0o644)
    except OSError:
        return os.open(os.devnull, os.O_WRONLY)


HUGE_PAGES = ":".join(
    f"glibc.malloc.{name}" for name in ("hugetlb=1", "trim_threshold=4294967296", "mmap_threshold=1073741824")
)
"""glibc only. A step walks through hundreds of MB of saved tensors: in pages of 2 MB, kept for the next step,
that takes an eighth less time (docs/performance.md).
"""


def build_worker_environment() -> dict[str, str]:
    """Build the environment: torch and bitsandbytes must not spin in two OpenMPs (docs/traps.md 13), and what
    PyTorch lacks on an Apple GPU runs on the processor.
    """
    return (
        {"GLIBC_TUNABLES": HUGE_PAGES}
        | os.environ
        | {
            "OMP_WAIT_POLICY": "PASSIVE",
            "TOKENIZERS_PARALLELISM": "false",
            "PYTHONUNBUFFERED": "1",
            "PYTORCH_ENABLE_MPS_FALLBACK": "1",
        }
    )


def build_device_environment(home: Path) -> dict[str, str]:
    """Return the variable with the device that a learner chose for this machine; empty without a choice."""
    chosen = LabHome(home).read_chosen_device()
    return {CHOSEN_VARIABLE: chosen} if chosen else {}


def wait_for_earlier_worker(pid: int, seconds: float, *, since: float) -> None:
    """Wait for a worker that an earlier app started before `since`."""
    try:
        process = psutil.Process(pid)
        if owner.is_alive(pid, since=since) and "lora_lab.worker" in process.cmdline():
            process.wait(seconds)
    except (psutil.Error, OSError):
        return
