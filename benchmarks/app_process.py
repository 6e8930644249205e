"""A server that a benchmark starts in a process of its own."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from study.base.settings import ROOT

SERVER = os.environ.get("DATABASE_URL", "")
"""Of PostgreSQL; empty: a file in the data folder."""


def start(
    command: list[str], folder: Path, url: str = SERVER, port: int = 0
) -> tuple["subprocess.Popen[str]", str]:
    """Start a server on a data folder and wait until it says where it is; return it and its address.

    Raises SystemExit when it ends before that.
    """
    server = subprocess.Popen(
        [sys.executable, *command, "--port", str(port), "--data-folder", str(folder)],
        cwd=ROOT,
        env={**os.environ, "DATABASE_URL": url},
        stdout=subprocess.PIPE,
        text=True,
    )
    assert server.stdout is not None
    for line in server.stdout:
        ready = re.search(r"Ready: (http://\S+)", line)
        if ready:
            return server, ready[1]
    raise SystemExit("The app did not start.")


@contextmanager
def running(
    command: list[str], folder: Path, url: str = SERVER
) -> Iterator[tuple["subprocess.Popen[str]", str]]:
    """A server and its address, until the end of the block."""
    server, address = start(command, folder, url)
    try:
        yield server, address
    finally:
        server.terminate()
        server.wait(timeout=60)
