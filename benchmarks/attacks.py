"""Attacks on a running app over the network, as the review of its faults made them, and what came of each.

    python -m benchmarks.attacks

It starts the app on a data folder of its own, asks it as a browser on this machine does, whom no limit on
requests stops, and prints one line for each kind: how many were tried, how many failed, and what was seen.
A request fails when it gets a secret of the data folder or the system, an answer in the 500s, or no answer.
"""

import asyncio
import re
import statistics
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from itertools import product
from pathlib import Path
from urllib.parse import quote, urlsplit

import httpx
import psutil

from benchmarks.app_process import running

APP = ["app.py", "--no-worker"]
SECRET, MARK = "decks/secret.txt", "the-secret-of-the-data-folder"
SYSTEM = "root:x:0"
PAGE = {"accept": "text/html"}
TIMEOUT_SECONDS = 60
PAGES_ASKED = 40
SLOW_CLIENTS, STREAMS = 600, 200
GB = 10**9
GROWN_AT_MOST_BYTES = 100_000_000

ROOTS = (
    "/docs/{}", "/docs/x/{}", "/assets/{}", "/static/{}", "/fonts/{}", "/look/{}", "/class/static/{}",
    "/svelte/{}", "/figure/{}", "/figure/{}/whole", "/io/backup/{}", "/io/{}/json", "/progress/plots/{}.svg",
    "/lab/plots/{}.svg", "/lab/runs/{}/run.json", "/lab/runs/{}/adapter.zip", "/lab/sweeps/{}/sweep.json",
    "/lab/xray/plots/{}.csv", "/projects/{}/report.html", "/gradio_api/file={}", "/gradio_api/file/{}", "/{}",
    "/class/123456/export/{}", "/lab?run={}", "/grid?sweep={}", "/explain?prompt={}",
)  # fmt: skip
"""Addresses that take a name."""

UP = (
    "../", "%2e%2e%2f", "..%2f", "%2e%2e/", "..%5c", "..\\", "%252e%252e%252f", "....//", "..;/",
    "%c0%ae%c0%ae/", "..%00/", ".%2e/", "..%c0%af",
)  # fmt: skip
"""Ways to leave a folder."""


def paths(home: Path) -> Iterator[str]:
    """Every root with every way to leave its folder, for files of the system and of the data folder."""
    secret = str(home / SECRET)
    targets = ("etc/passwd", secret.lstrip("/"), SECRET, "study.sqlite3")
    for root, target, up in product(ROOTS, targets, UP):
        yield root.format(f"{up * 8}{target}")
    for root in ROOTS:
        yield root.format("/etc/passwd")
        yield root.format(quote(secret, safe=""))
        yield root.format("x%00.md")


def gradio_addresses(home: Path) -> Iterator[str]:
    """Files and other servers that Gradio's own routes are asked for."""
    files = ("/etc/passwd", str(home / SECRET), str(home / "study.sqlite3"), "app.py", "~/.ssh/id_rsa",
             "/proc/self/environ", "file:///etc/passwd", "uploads/../server.key", "C:\\x", "")  # fmt: skip
    yield from (f"/gradio_api/file={name}" for name in files)
    sites = ("http://127.0.0.1:22/", "http://169.254.169.254/latest", "file:///etc/passwd", "gopher://x",
             "https://evil.example/", "http://localhost:1", "//evil.example", "")  # fmt: skip
    yield from (f"/gradio_api/proxy={site}" for site in sites)


HOSTS = (
    "evil.example", "127.0.0.1.evil.example", "localhost.evil.example", "evil.example:7860", "[::1", "[",
    "a]b", "", "localhost@evil.example", "evil.example#localhost", "xn--lcalhost-x2a", "localhost.",
    "127.0.0.1.nip.io", "0x7f.1x", "evil.example/localhost", "localhost,evil.example", "evil_example",
    "LOCALHOST.EVIL.EXAMPLE", "localhost.localdomain", "127.0.0.1.",
)  # fmt: skip
ORIGINS = (
    "http://evil.example", "null", "https://localhost", "http://localhost", "http://localhost:1", "file://",
    "http://127.0.0.1.evil.example", "http://evil.example:PORT", "http://[", "//127.0.0.1:PORTx", "data:",
    "chrome-extension://abc", "http://127.0.0.1:PORT.evil.example", "http://user@evil.example",
)  # fmt: skip
"""Names and pages of others, all of which must be refused."""

SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n"
SMUGGLING = tuple(
    head + b"\r\n\r\n" + body + SMUGGLED
    for head, body in (
        (b"Content-Length: 6\r\nTransfer-Encoding: chunked", b"0\r\n\r\n"),
        (b"Transfer-Encoding: chunked\r\nContent-Length: 60", b"0\r\n\r\n"),
        (b"Transfer-Encoding: xchunked\r\nContent-Length: 0", b""),
        (b"Transfer-Encoding: chunked, identity\r\nContent-Length: 0", b""),
        (b"Transfer-Encoding: chunked\r\nTransfer-Encoding: identity", b"0\r\n\r\n"),
        (b"Transfer-Encoding : chunked\r\nContent-Length: 0", b""),
        (b"Transfer-Encoding:\x0bchunked", b"0\r\n\r\n"),
        (b"Content-Length: 0\r\nContent-Length: 60", b""),
        (b"Content-Length: +0", b""),
        (b"Content-Length: -1", b""),
        (b"Content-Length: 0x0", b""),
        (b"Content-Length: 5, 60", b""),
    )
)
"""Requests whose end can be read in two ways: no second answer may come."""


class Attacks:
    """The attacks on one app, with what was tried and what failed."""

    def __init__(self, address: str, home: Path, process_id: int) -> None:
        self.address = address
        self.server = psutil.Process(process_id)
        self.home = home
        self.port = urlsplit(address).port or 80
        self.secret = (home / "study.sqlite3").read_bytes()[:16]  # "SQLite format 3"

    async def run(self) -> None:
        """Run all of them and print what came of each."""
        for name, attack in (
            ("path traversal", self.paths()),
            ("files and proxies of Gradio", self.gradio()),
            ("foreign Host and Origin", self.strangers()),
            ("bodies of up to 1 GB", self.bodies()),
            ("smuggled requests", self.smuggling()),
            (f"{SLOW_CLIENTS} slow clients", self.slow_clients()),
            (f"{STREAMS} streams", self.streams()),
        ):
            tried, failed, seen = await attack
            print(f"{name}: {tried:,} tried, {len(failed)} failed{seen}", flush=True)
            for what in failed[:10]:
                print(f"    {what}", flush=True)

    async def _send_raw(self, sent: bytes, *, seconds: float = 10) -> bytes:
        """Send bytes as they are: a client would tidy an address up. Return what comes until it is quiet."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        found = b""
        try:
            writer.write(sent)
            await writer.drain()
            while piece := await asyncio.wait_for(reader.read(65_536), seconds):
                found += piece
                seconds = 0.3 if b"\r\n\r\n" in found else seconds
        except (TimeoutError, ConnectionError):
            pass
        finally:
            writer.close()
        return found

    async def _ask(self, method: str, path: str, head: str = "") -> str:
        """Return the status of the answer, or `no answer`; `, a secret` behind it where it holds one."""
        line = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1:{self.port}\r\n"
        cookie = "Cookie: learner=browser-of-mallory\r\nConnection: close\r\n"
        found = await self._send_raw(
            f"{line}{cookie}{head}\r\n".encode("utf-8", "surrogateescape"), seconds=30
        )
        leaks = any(mark in found for mark in (SYSTEM.encode(), MARK.encode(), self.secret))
        status = found[9:12].decode("ascii", "replace") or "no answer"
        return f"{status}, a secret" if leaks else status

    async def _ask_all(self, addresses: Iterator[str]) -> tuple[int, list[str], str]:
        several, failed, tried = asyncio.Semaphore(8), [], 0

        async def ask(path: str) -> None:
            async with several:
                status = await self._ask("GET", path)
                if not re.fullmatch("[1-4][0-9][0-9]", status):
                    failed.append(f"{path[:90]}: {status}")

        async with asyncio.TaskGroup() as group:
            for path in addresses:
                tried += 1
                group.create_task(ask(path.replace(" ", "%20")))
        return tried, failed, ""

    async def paths(self) -> tuple[int, list[str], str]:
        return await self._ask_all(paths(self.home))

    async def gradio(self) -> tuple[int, list[str], str]:
        return await self._ask_all(gradio_addresses(self.home))

    async def strangers(self) -> tuple[int, list[str], str]:
        tried, failed = 0, []
        for host, path in product(HOSTS, ("/", "/cards", "/io/backup/json")):
            tried += 1
            found = await self._send_raw(
                f"GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode()
            )
            if not found.startswith(b"HTTP/1.1 400"):
                failed.append(f"Host {host!r}: {found[:12]!r}")
        for origin, path in product(ORIGINS, ("/act/settings", "/io/upload", "/class/open")):
            tried += 1
            origin = origin.replace("PORT", str(self.port))
            head = f"Origin: {origin}\r\nContent-Type: application/json\r\nContent-Length: 0\r\n"
            status = await self._ask("POST", path, head)
            if status != "403":
                failed.append(f"Origin {origin!r}: {status}")
        return tried, failed, ""

    async def bodies(self) -> tuple[int, list[str], str]:
        """Lengths that are announced, and bodies that come in pieces without one."""
        tried, failed, most = 0, [], 0
        routes = ("/act/cards", "/io/upload", "/class/open", "/devices/join")
        for path, size in product(routes, (10**8, GB, 10**15)):
            tried += 1
            status = await self._ask("POST", path, f"Content-Length: {size}\r\n")
            if status != "413":
                failed.append(f"{path} of {size:,} bytes: {status}")
        for path in (*routes, "/gradio_api/upload"):
            tried += 1
            answered, grown = await self._send_pieces(path)
            most = max(most, grown)
            if answered >= 500 or grown > GROWN_AT_MOST_BYTES:
                failed.append(f"{path} in pieces: {answered}, {grown / 1e6:.0f} MB more memory")
        return tried, failed, f"; 1 GB in pieces needed at most {most / 1e6:.0f} MB of memory"

    async def _send_pieces(self, path: str) -> tuple[int, int]:
        """Send 1 GB in pieces; return the status, 0 if it was cut off, and by how much memory grew."""
        most = before = self.server.memory_info().rss

        async def send_pieces() -> AsyncIterator[bytes]:
            nonlocal most
            for number in range(1_000):
                yield b"x" * 1_000_000
                if number % 20 == 0:
                    most = max(most, self.server.memory_info().rss)

        cookies = {"learner": "browser-of-mallory"}
        json = {"content-type": "application/json"}
        async with httpx.AsyncClient(base_url=self.address, timeout=30, cookies=cookies) as client:
            with suppress(httpx.TransportError):
                return (
                    await client.post(path, content=send_pieces(), headers=json)
                ).status_code, most - before
        return 0, most - before

    async def smuggling(self) -> tuple[int, list[str], str]:
        failed = []
        for rest in SMUGGLING:
            start = b"POST /act/cards HTTP/1.1\r\nHost: 127.0.0.1\r\n"
            found = await self._send_raw(start + rest)
            if found.count(b"HTTP/1.1 ") != 1 or found.startswith(b"HTTP/1.1 5"):
                failed.append(f"{rest[:50]!r}: {found.count(b'HTTP/1.1 ')} answers, {found[:12]!r}")
        return len(SMUGGLING), failed, ""

    async def slow_clients(self) -> tuple[int, list[str], str]:
        """Clients that send a header byte by byte, one per second, and a page that is opened meanwhile."""
        writers = []
        for _ in range(SLOW_CLIENTS):
            _, writer = await asyncio.open_connection("127.0.0.1", self.port)
            writer.write(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: ")
            writers.append(writer)

        async def drip() -> None:
            while True:
                for writer in writers:
                    writer.write(b"x")
                await asyncio.sleep(1)

        dripping = asyncio.create_task(drip())
        seen = await self._open_pages()
        dripping.cancel()
        for writer in writers:
            writer.close()
        return SLOW_CLIENTS, [], seen

    async def streams(self) -> tuple[int, list[str], str]:
        readers = []
        for number in range(STREAMS):
            reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
            writer.write(b"GET /gradio_api/heartbeat/s%d HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n" % number)
            readers.append((reader, writer))
        for reader, _ in readers:
            await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), TIMEOUT_SECONDS)
        seen = await self._open_pages()
        for _, writer in readers:
            writer.close()
        return STREAMS, [], seen

    async def _open_pages(self) -> str:
        seconds = []
        async with httpx.AsyncClient(base_url=self.address, timeout=TIMEOUT_SECONDS, headers=PAGE) as client:
            for _ in range(PAGES_ASKED):
                begun = time.perf_counter()
                (await client.get("/cards")).raise_for_status()
                seconds.append(time.perf_counter() - begun)
        return f"; a page took {1000 * statistics.median(seconds):.0f} ms, at most {max(seconds):.2f} s"


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        (home / "decks").mkdir()
        (home / "decks" / "secret.txt").write_text(MARK)
        with running(APP, home) as (server, address):
            asyncio.run(Attacks(address, home, server.pid).run())


if __name__ == "__main__":
    main()
