"""Workers that are forked from a fork server: the same numbers, their own ends, and nothing left behind."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from lora_lab.data.lab_folder import LabHome
from lora_lab.engine.fork_server import READY, REFUSED, ForkedWorker, ForkServer
from lora_lab.engine.worker_process import Worker, WorkerProcess, start_worker, wait_for_earlier_worker
from lora_lab.runs.folder import RunFolder, create_run
from lora_lab.runs.state import fold_events
from lora_lab.worker.device.machine import DEVICE_VARIABLE
from lora_lab.worker.fork_server import start_fork_server
from study.base.settings import Settings
from tests.lora_lab.engine.real_runs import (
    DEADLINE_SECONDS,
    NOW,
    READ_LATE_IN_TESTS,
    ROOT,
    SHORT,
    is_gone,
    log_tail,
    settings_in,
    sums,
)
from tests.waiting import wait_for

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="workers are forked on Linux only")


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Settings:
    return settings_in(tmp_path_factory.mktemp("fork-server"), models_dir)


@pytest.fixture(scope="module")
def first_run(settings: Settings, fork_server: ForkServer) -> RunFolder:
    """A run in the worker that brings the fork server."""
    worker = WorkerProcess(settings, ["--cold"], fork_server=fork_server)
    assert isinstance(worker._process, subprocess.Popen)
    return do_a_run(settings, worker)


@pytest.fixture(scope="module")
def fork_server() -> Iterator[ForkServer]:
    opened = ForkServer(read_late=READ_LATE_IN_TESTS)
    yield opened
    opened.close()


def do_a_run(settings: Settings, worker: WorkerProcess) -> RunFolder:
    run = create_run(settings.runs_dir, SHORT, sums(), now=NOW)
    assert worker.do([run]) is None, log_tail(run)
    worker.finish(DEADLINE_SECONDS)
    assert worker._process.returncode == 0
    return run


@pytest.fixture
def forked(settings: Settings, fork_server: ForkServer, first_run: RunFolder) -> Iterator[ForkedWorker]:
    """A worker that waits for jobs."""
    worker = fork(settings, fork_server)
    yield worker
    worker.kill()


def fork(settings: Settings, fork_server: ForkServer, *extra: str) -> ForkedWorker:
    worker = start_worker(settings, [*(extra or ("--cold",))], answers=True, fork_server=fork_server)
    assert isinstance(worker, ForkedWorker)
    return worker


def end(worker: Worker) -> int:
    """Close a worker's input; its exit status."""
    assert worker.stdin is not None
    worker.stdin.close()
    return worker.wait(DEADLINE_SECONDS)


def measured(run: RunFolder) -> list[Any]:
    state = fold_events(run.events())
    steps = [
        [step[name] for name in ("loss", "grad_norm", "live_bytes", "peak_bytes")] for step in state.steps
    ]
    return [*steps, state.loss_before, state.loss_after, state.peak_bytes, run.samples()]


def test_a_forked_worker_reports_the_losses_peaks_and_answers_of_one_that_imported_everything_itself(
    settings: Settings, fork_server: ForkServer, first_run: RunFolder
) -> None:
    worker = WorkerProcess(settings, ["--cold"], fork_server=fork_server)
    assert isinstance(worker._process, ForkedWorker)
    again = do_a_run(settings, worker)
    assert measured(again) == measured(first_run)
    assert fold_events(again.events()).status == "finished"
    assert again.log_path.exists()


def test_the_exit_status_of_a_forked_worker_is_known_also_of_a_killed_one(
    settings: Settings, fork_server: ForkServer, forked: ForkedWorker
) -> None:
    assert forked.poll() is None
    with pytest.raises(subprocess.TimeoutExpired):
        forked.wait(0.01)
    os.kill(forked.pid, signal.SIGKILL)
    assert forked.wait(DEADLINE_SECONDS) == -signal.SIGKILL
    forked.kill()  # nothing left to kill
    assert end(fork(settings, fork_server)) == 0
    assert (
        fork(settings, fork_server, "--run", str(settings.home / "no-such-run")).wait(DEADLINE_SECONDS) == 1
    )


def test_a_forked_worker_can_be_told_apart_and_waited_for_by_the_next_app(forked: ForkedWorker) -> None:
    wait_for(lambda: os.getsid(forked.pid) == forked.pid, seconds=DEADLINE_SECONDS)  # Ctrl-C doesn't reach it
    assert "lora_lab.worker" in psutil.Process(forked.pid).cmdline()
    assert forked.stdin is not None
    forked.stdin.close()
    wait_for_earlier_worker(forked.pid, DEADLINE_SECONDS, since=psutil.Process(forked.pid).create_time())
    assert is_gone(forked.pid)


def test_a_fork_takes_a_device_that_was_chosen_since(
    settings: Settings, fork_server: ForkServer, first_run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(DEVICE_VARIABLE, "cuda:0")
    assert end(fork(settings, fork_server)) == 0
    assert "cuda:0" in LabHome(settings.home).read_worker_state()["text"]
    monkeypatch.delenv(DEVICE_VARIABLE)
    assert end(fork(settings, fork_server)) == 0
    assert LabHome(settings.home).read_worker_state()["state"] == "ready"


def test_other_variables_of_the_libraries_are_not_for_a_fork(
    settings: Settings, fork_server: ForkServer, first_run: RunFolder, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OMP_NUM_THREADS was read when torch was imported."""
    monkeypatch.setenv("OMP_NUM_THREADS", "7")
    output = os.open(os.devnull, os.O_WRONLY)
    assert fork_server.fork(["--cold"], os.environ, output, answers=True) is None
    os.close(output)


def test_a_worker_goes_on_after_its_fork_server_and_the_next_one_brings_another(
    settings: Settings, fork_server: ForkServer, first_run: RunFolder
) -> None:
    worker = WorkerProcess(settings, ["--cold"], fork_server=fork_server)
    psutil.Process(psutil.Process(worker.pid).ppid()).kill()
    run = create_run(settings.runs_dir, SHORT, sums(), now=NOW)
    assert worker.do([run]) is None, log_tail(run)
    assert worker.is_alive
    worker.finish(DEADLINE_SECONDS)
    assert worker.wait(0)
    assert is_gone(worker.pid)
    assert measured(run) == measured(first_run)

    following = start_worker(settings, ["--cold"], answers=True, fork_server=fork_server)
    assert isinstance(following, subprocess.Popen)
    assert end(following) == 0
    assert end(fork(settings, fork_server)) == 0


APP = """
import sys, threading, time
from pathlib import Path
from lora_lab.data.lab_folder import LabHome
from lora_lab.engine.fork_server import ForkServer
from lora_lab.engine.worker_process import kill_worker, start_worker
from study.base.settings import Settings
settings = Settings(home=Path(sys.argv[1]), database_url="", models_dir=Path(sys.argv[2]))
fork_server = ForkServer()
first = start_worker(settings, ["--cold"], answers=True, fork_server=fork_server)
while LabHome(settings.home).read_worker_state()["state"] != "ready":
    time.sleep(0.02)
kill_worker(first)
second = start_worker(settings, ["--cold"], answers=True, fork_server=fork_server)
print(second.pid, flush=True)
threading.Event().wait()
"""


def test_a_fork_server_outlives_the_first_worker_and_a_killed_app_leaves_neither_it_nor_a_forked_worker(
    tmp_path: Path, models_dir: Path
) -> None:
    command = [sys.executable, "-c", APP, str(tmp_path), str(models_dir)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as app:
        assert app.stdout is not None
        worker = psutil.Process(int(app.stdout.readline()))
        fork_server = worker.parent()
        assert fork_server is not None
        assert fork_server.pid != app.pid
        app.kill()
    assert is_gone(worker.pid)
    assert is_gone(fork_server.pid)


# ---- without torch

BRINGS = """
import os, sys, threading
from lora_lab.worker import fork_server
fork_server.IDLE_SECONDS = 0.01
threads, arguments = int(sys.argv[1]), None
for _ in range(threads):
    threading.Thread(target=threading.Event().wait, daemon=True).start()
arguments = fork_server.start_fork_server(int(sys.argv[2]), beside_gpu=False)
if arguments is None:
    sys.stdin.readline()
else:
    print(*arguments, flush=True)
"""


def say_first(threads: int) -> tuple[bytes, bytes]:
    """What a process with so many other threads says of a fork server; and, once that process has ended, what
    the fork server says, which is nothing as soon as it has ended too.
    """
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.settimeout(DEADLINE_SECONDS)
    command = [sys.executable, "-W", "ignore::DeprecationWarning", "-c", BRINGS, str(threads)]
    with ours, theirs:
        given = [theirs.fileno()]
        with subprocess.Popen([*command, *map(str, given)], cwd=ROOT, stdin=subprocess.PIPE, pass_fds=given):
            theirs.close()
            said = ours.recv(16)
        if said == REFUSED:
            ours.shutdown(socket.SHUT_WR)  # as an app does
        return said, ours.recv(16)


def test_a_fork_server_without_workers_ends() -> None:
    assert say_first(0) == (READY, b"")


def test_a_process_with_another_thread_brings_no_fork_server() -> None:
    """The thread may hold a lock that nobody would ever free in the fork."""
    assert say_first(1) == (REFUSED, b"")


def test_a_process_beside_a_gpu_brings_no_fork_server_and_is_not_asked_again() -> None:
    fork_server = ForkServer()
    with fork_server.bring({}) as (theirs,):
        assert start_fork_server(os.dup(theirs), beside_gpu=True) is None
    output = os.open(os.devnull, os.O_WRONLY)
    assert fork_server.fork([], {}, output, answers=True) is None
    os.close(output)
    with fork_server.bring({}) as nothing:
        assert nothing == ()


def test_only_one_worker_at_a_time_brings_a_fork_server() -> None:
    fork_server = ForkServer()
    with fork_server.bring({"OMP_NUM_THREADS": "1"}) as first:
        assert len(first) == 1
    with fork_server.bring({"OMP_NUM_THREADS": "1", "LORA_STUDY_DEVICE": "cpu"}) as second:
        assert second == ()
    fork_server.close()


def test_on_other_systems_every_worker_is_started_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with ForkServer().bring({}) as nothing:
        assert nothing == ()
