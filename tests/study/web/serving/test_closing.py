"""Every way to stop the app closes it whole: quickly, in words, with all answers in the one database file."""

import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import takewhile
from pathlib import Path
from urllib.request import Request, urlopen

import pytest

ROOT = Path(__file__).parents[4]
LIMIT_SECONDS = 5


@contextmanager
def served(home: Path, *arguments: str) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """The app in a process of its own, and its address."""
    command = [sys.executable, "app.py", "--port", "0", "--data-folder", str(home), *arguments]
    app = subprocess.Popen(
        command,
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"},
        start_new_session=True,
        preexec_fn=_listen_to_signals if hasattr(signal, "SIGHUP") else None,
    )
    assert app.stdout is not None
    try:
        yield app, next(found[1] for line in app.stdout if (found := re.search(r"Ready: (\S+)", line)))
    finally:
        app.kill()
        app.wait()


def _listen_to_signals() -> None:
    """Undo what nohup and background jobs pass on: signals that are ignored."""
    for name in ("SIGINT", "SIGHUP"):
        signal.signal(getattr(signal, name), signal.SIG_DFL)


def visit(address: str, browser: str) -> None:
    """Open a page that creates the profile of a browser."""
    page = Request(f"{address}/io/backup/json", headers={"Cookie": f"learner={browser}"})
    with urlopen(page, timeout=30) as answer:
        answer.read()


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="the signals of Linux and macOS")
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_a_signal_ends_the_app_in_words_with_everything_in_one_file(name: str, tmp_path: Path) -> None:
    with served(tmp_path / "home", "--no-worker") as (app, address):
        for number in range(20):
            visit(address, f"browser-{number}")
        begun = time.monotonic()
        app.send_signal(getattr(signal, name))
        said, complaints = app.communicate(timeout=30)
        assert time.monotonic() - begun < LIMIT_SECONDS
    assert app.returncode == 0
    assert said.splitlines() == [f"Stopped. Everything is saved in {tmp_path / 'home'}."]
    assert complaints == ""
    shutil.copyfile(tmp_path / "home" / "study.sqlite3", tmp_path / "copy.sqlite3")
    with sqlite3.connect(tmp_path / "copy.sqlite3") as copy:
        assert copy.execute("SELECT count(*) FROM profiles").fetchone() == (20,)
    copy.close()


def test_a_request_that_hangs_does_not_hold_the_end_up(tmp_path: Path) -> None:
    with served(tmp_path / "home", "--no-worker") as (app, address):
        host, port = address.removeprefix("http://").split(":")
        half_sent = subprocess.Popen(
            [
                sys.executable,
                "-c",
                "import socket, sys, time\n"
                f"s = socket.create_connection(('{host}', {port}))\n"
                "s.sendall(b'POST /io/upload?name=a.csv HTTP/1.1\\r\\nHost: localhost\\r\\n"
                "Cookie: learner=x\\r\\nContent-Length: 1000\\r\\n\\r\\nhalf')\n"
                "print('sent', flush=True); time.sleep(60)",
            ],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert half_sent.stdout is not None
        assert half_sent.stdout.readline() == "sent\n"
        begun = time.monotonic()
        app.send_signal(signal.SIGTERM)
        app.wait(timeout=30)
        half_sent.kill()
        half_sent.communicate()
        assert time.monotonic() - begun < LIMIT_SECONDS


def test_a_closed_terminal_that_can_not_be_written_to_is_no_obstacle(tmp_path: Path) -> None:
    home = tmp_path / "home"
    with served(home, "--no-worker") as (app, address):
        visit(address, "browser")
        assert app.stdout is not None
        nothing = os.open(os.devnull, os.O_RDONLY)
        os.dup2(nothing, app.stdout.fileno())  # the pipe has no reader any more, and Python closes the file
        os.close(nothing)
        app.send_signal(signal.SIGHUP)
        assert app.wait(timeout=LIMIT_SECONDS) == 0
    wal = home / "study.sqlite3-wal"
    assert not wal.exists() or wal.stat().st_size == 0


def test_a_signal_before_the_app_is_ready_ends_it_as_well(tmp_path: Path) -> None:
    command = [sys.executable, "app.py", "--port", "0", "--no-worker", "--data-folder", str(tmp_path)]
    app = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while not (tmp_path / "lab" / "queue.json").exists() and time.monotonic() < deadline:
        time.sleep(0.02)  # the engine starts first
    app.send_signal(signal.SIGTERM)
    said, complaints = app.communicate(timeout=LIMIT_SECONDS)
    assert (app.returncode, said, complaints) == (0, "Stopped before it was ready.\n", "")


HOLDING = """
import re, signal, sys, threading, time
from study.web.serving import server
from starlette.applications import Starlette

def build(*arguments, **named):
    app = Starlette()
    app.state.close = app.state.prepare = lambda: None
    app.state.owner_key = ""
    threading.Timer(1, lambda: (print("Held.", flush=True), re.fullmatch("(.*)*x", "a" * 60))).start()
    return app

sys.exit(server.run(build, ["--port", "0", "--data-folder", sys.argv[1]]))
"""


@pytest.mark.skipif(not hasattr(signal, "SIGHUP"), reason="Windows has no pipe for signals")
def test_a_call_that_lets_no_python_run_does_not_hold_the_end_up(tmp_path: Path) -> None:
    app = subprocess.Popen(
        [sys.executable, "-c", HOLDING, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True
    )
    try:
        assert app.stdout is not None
        before = list(takewhile(lambda line: line != "Held.\n", app.stdout))
        assert f"Data:  {tmp_path}\n" in before  # a misspelt --data-folder or variable shows at the start
        begun = time.monotonic()
        app.send_signal(signal.SIGTERM)
        assert app.wait(timeout=4 * LIMIT_SECONDS) == -signal.SIGKILL
        assert time.monotonic() - begun > 1  # an app that can close still has the time for it
    finally:
        app.kill()
        app.communicate()
