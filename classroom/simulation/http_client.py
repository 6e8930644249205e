"""A small HTTP/1.1 client for many students in one process: JSON requests and a stream of states.

A request of httpx takes 20 times the processor time, which a class on the same cores would lack.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import urlsplit

from study.base.errors import LearnerError

ANSWER_SECONDS = 30.0


@dataclass
class Client:
    """One browser: a cookie, and one kept connection for requests.

    Raises LearnerError for an address that isn't `http://` and a host.
    """

    address: str
    browser: str
    _host: str = field(init=False)
    _port: int = field(init=False)
    _connection: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None
    _one_at_a_time: asyncio.Lock = field(default_factory=asyncio.Lock)

    def __post_init__(self) -> None:
        parts = urlsplit(self.address)
        if parts.scheme != "http" or not parts.hostname:
            raise LearnerError(
                f"Simulated students speak plain HTTP only, so they can't use {self.address}.",
                do_next="Run them beside the app and give its own address, such as http://127.0.0.1:7860.",
            )
        self._host, self._port = parts.hostname, parts.port or 80

    async def get(self, path: str) -> tuple[int, Any]:
        """The status and the JSON of an answer; None for an answer that isn't JSON."""
        return await self._ask("GET", path, b"")

    async def post(self, path: str, body: Any, *, form: bool = False) -> tuple[int, Any]:
        """The same for a POST of JSON, or of a form written as `a=b&c=d`. Raises OSError without a server."""
        return await self._ask("POST", path, body.encode() if form else json.dumps(body).encode(), form=form)

    async def stream_states(
        self, path: str, *, last_event_id: str = "", heard: Callable[[], object] = lambda: None
    ) -> AsyncIterator[dict[str, Any]]:
        """Stream states until the stream breaks; each has the `id` of its event.

        `heard` is called with each event, also with the one that says that nothing is new.
        """
        reader, writer = await asyncio.open_connection(self._host, self._port)
        try:
            resumed = f"Last-Event-ID: {last_event_id}\r\n" if last_event_id else ""
            writer.write(self._build_head("GET", path, f"Accept: text/event-stream\r\n{resumed}"))
            status, _ = await _read_head(reader)
            if status != 200:
                return
            event: dict[str, str] = {}
            while line := await reader.readline():
                name, found, value = line.decode().rstrip("\r\n").partition(": ")
                if found and name in ("id", "data", "event"):
                    event[name] = value
                    if name == "data":
                        heard()
                elif event.get("data") and not event.get("event"):
                    yield {**json.loads(event["data"]), "id": event.get("id", "")}
                    event = {}
                elif not name and not found:
                    event = {}
        finally:
            writer.close()

    def close(self) -> None:
        if self._connection is not None:
            self._connection[1].close()
            self._connection = None

    async def _ask(self, method: str, path: str, body: bytes, *, form: bool = False) -> tuple[int, Any]:
        async with self._one_at_a_time:
            try:
                return await asyncio.wait_for(self._exchange(method, path, body, form), ANSWER_SECONDS)
            except (OSError, asyncio.IncompleteReadError, ValueError) as error:
                self.close()
                raise ConnectionError(str(error)) from error

    async def _exchange(self, method: str, path: str, body: bytes, form: bool) -> tuple[int, Any]:
        if self._connection is not None and self._connection[0].at_eof():
            self.close()  # the server has ended an idle connection
        if self._connection is None:
            self._connection = await asyncio.open_connection(self._host, self._port)
        reader, writer = self._connection
        kind = "application/x-www-form-urlencoded" if form else "application/json"
        writer.write(
            self._build_head(method, path, f"Content-Type: {kind}\r\nContent-Length: {len(body)}\r\n") + body
        )
        status, headers = await _read_head(reader)
        content = await reader.readexactly(int(headers.get("content-length", "0")))
        if headers.get("location"):
            return status, headers["location"]
        is_json = "json" in headers.get("content-type", "")
        return status, json.loads(content) if is_json else None

    def _build_head(self, method: str, path: str, more: str) -> bytes:
        fixed = f"Host: {self._host}:{self._port}\r\nCookie: learner={self.browser}\r\n"
        return f"{method} {path} HTTP/1.1\r\n{fixed}{more}\r\n".encode()


async def _read_head(reader: asyncio.StreamReader) -> tuple[int, dict[str, str]]:
    first = await reader.readline()
    if not first:
        raise ConnectionError("the server closed the connection")
    headers: dict[str, str] = {}
    while (line := (await reader.readline()).decode("latin-1").strip()) != "":
        name, _, value = line.partition(":")
        headers[name.lower()] = value.strip()
    return int(first.split()[1]), headers
