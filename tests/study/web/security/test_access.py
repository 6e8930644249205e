"""The server's key is whole or there is none, and what strangers send is not kept."""

import asyncio
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


class SlowServer:
    """A gate before an app that answers once it may; it tells what is worked on and what was answered."""

    def __init__(self, home: Path) -> None:
        self.keys = ServerKeys(home)
        self.gate = RoleGate(self._answer, keys=self.keys)
        self.may = asyncio.Event()
        self.worked_on: list[str] = []
        self.arrives = asyncio.Event()
        self.statuses: list[int] = []

    async def _answer(self, scope: Scope, receive: Any, send: Any) -> None:
        self.worked_on.append(scope["path"])
        await self.may.wait()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await self.arrives.wait()
        self.worked_on.remove(scope["path"])

    def ask(self, path: str, browser: str = "flood", *, owner: bool = False) -> asyncio.Task[None]:
        cookie = f"learner={browser}" + (f"; owner={self.keys.owner}" if owner else "")
        headers = [(b"host", b"192.0.2.1"), (b"cookie", cookie.encode())]
        scope: Scope = {"type": "http", "method": "GET", "path": path, "headers": headers,
                        "query_string": b"", "client": ("192.0.2.7", 1)}  # fmt: skip

        async def receive() -> Any: ...

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                self.statuses.append(message["status"])

        return asyncio.create_task(self.gate(scope, receive, send))


async def settle() -> None:
    for _ in range(200):
        await asyncio.sleep(0)


@pytest.mark.parametrize("path", ["/act/grid", "/io/cards/apkg", "/lab/runs/x/run.json", "/search",
                                  "/gradio_api/component_server", "/gradio_api/run/predict"])  # fmt: skip
def test_a_browser_is_worked_for_twice_at_once_and_the_rest_waits_or_is_told(
    tmp_path: Path, path: str
) -> None:
    async def flood() -> None:
        server = SlowServer(tmp_path)
        asked = [server.ask(path) for _ in range(40)]
        await settle()
        assert server.worked_on == [path] * 2
        assert server.statuses == [429] * 8  # 30 more wait
        asked += [server.ask("/look/site.css"), server.ask(path, "calm"), server.ask(path, owner=True)]
        await settle()
        assert server.worked_on == [path, path, "/look/site.css", path, path]
        server.may.set()
        server.arrives.set()
        await asyncio.gather(*asked)
        assert sorted(server.statuses) == [200] * 35 + [429] * 8
        assert server.gate._turns._lines == {}

    asyncio.run(flood())


def test_ten_tabs_of_one_browser_are_all_answered(tmp_path: Path) -> None:
    async def open_tabs() -> None:
        server = SlowServer(tmp_path)
        asked = [server.ask("/gradio_api/run/predict") for _ in range(20)]
        asked += [server.ask("/act/lab") for _ in range(10)]
        await settle()
        server.may.set()
        server.arrives.set()
        await asyncio.gather(*asked)
        assert server.statuses == [200] * 30

    asyncio.run(open_tabs())


def test_a_slow_download_and_an_upload_keep_no_place(tmp_path: Path) -> None:
    async def download() -> None:
        server = SlowServer(tmp_path)
        asked = [server.ask("/io/upload") for _ in range(3)]
        await settle()
        assert len(server.worked_on) == 3
        server.may.set()
        asked += [server.ask("/lab/runs/x/merged.zip") for _ in range(3)]  # answered, and still on the way
        await settle()
        assert server.worked_on.count("/lab/runs/x/merged.zip") == 3
        for task in asked:
            task.cancel()
        await asyncio.gather(*asked, return_exceptions=True)
        assert server.gate._turns._lines == {}

    asyncio.run(download())


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
