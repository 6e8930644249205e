"""The server's key is whole or there is none, and what strangers send is not kept."""

import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import pytest
from starlette.types import Scope

from study.base.errors import LearnerError, StorageError
from study.web.security.access import KEY_FILE, RoleGate, ServerKeys

FULL_DISK = """
import resource, signal, sys
from pathlib import Path
from study.web.security.access import ServerKeys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
ServerKeys(Path(sys.argv[1]))
"""


@pytest.mark.parametrize("written", ["", "00", "zz" * 32, "ab" * 31, "\N{LATIN SMALL LETTER E WITH ACUTE}"])
def test_a_key_that_is_not_whole_is_refused_and_left_alone(tmp_path: Path, written: str) -> None:
    (tmp_path / KEY_FILE).write_text(written, "utf-8")
    with pytest.raises(LearnerError, match=r"server\.key is damaged.*Delete it, then start"):
        ServerKeys(tmp_path)
    assert (tmp_path / KEY_FILE).read_text("utf-8") == written


@pytest.mark.skipif(sys.platform == "win32", reason="which has no limit on the size of a file")
def test_a_first_start_on_a_full_disk_leaves_no_key(tmp_path: Path) -> None:
    started = subprocess.run(
        [sys.executable, "-c", FULL_DISK, str(tmp_path)], capture_output=True, text=True, check=False
    )
    assert "The disk is full" in started.stderr
    assert list(tmp_path.iterdir()) == []
    assert ServerKeys(tmp_path).owner == ServerKeys(tmp_path).owner


def test_a_key_that_can_not_be_read_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = ServerKeys(tmp_path).owner

    def refuse(*_: object, **__: object) -> str:
        raise PermissionError(13, "Permission denied")

    with monkeypatch.context() as patched:
        patched.setattr(Path, "read_text", refuse)
        with pytest.raises(StorageError):
            ServerKeys(tmp_path)
    assert ServerKeys(tmp_path).owner == before


def test_first_starts_at_the_same_moment_have_one_key(tmp_path: Path) -> None:
    together, owners = threading.Barrier(8), []

    def start() -> None:
        together.wait()
        owners.append(ServerKeys(tmp_path).owner)

    starts = [threading.Thread(target=start) for _ in range(8)]
    for each in starts:
        each.start()
    for each in starts:
        each.join()
    assert len(owners) == 8
    assert set(owners) == {ServerKeys(tmp_path).owner}
    assert [path.name for path in tmp_path.iterdir()] == [KEY_FILE]


async def _nothing(*_: Any) -> None:
    """An app that answers nothing."""


def ask(gate: RoleGate, cookie: str, address: str = "192.0.2.7") -> bool:
    """Ask once; return whether the request was let through."""
    headers = [(b"host", b"192.0.2.1"), (b"cookie", f"learner={cookie}".encode())]
    scope: Scope = {"type": "http", "method": "GET", "path": "/", "headers": headers, "query_string": b"",
                    "client": (address, 1)}  # fmt: skip
    return gate._answer(scope) is None


def test_what_is_kept_of_a_browser_is_short_whatever_its_cookie(tmp_path: Path) -> None:
    gate = RoleGate(_nothing, keys=ServerKeys(tmp_path))
    for number in range(50):
        ask(gate, f"{number:x<60000}")
    assert max(map(len, gate._by_browser._buckets)) <= 64


def test_a_flood_from_one_address_pushes_nobody_out(tmp_path: Path) -> None:
    gate = RoleGate(_nothing, keys=ServerKeys(tmp_path))
    let_through = sum(ask(gate, f"browser-{number}") for number in range(7_000))
    assert let_through < 7_000
    assert len(gate._by_browser._buckets) == let_through
