"""The page that answers while the app gets ready, because importing Gradio takes seconds."""

import contextlib
import selectors
import socket
import threading
import time
from html import escape
from pathlib import Path
from string import Template

REQUEST_BYTES = 65_536
WAIT_SECONDS = 0.1
SILENT_SECONDS = 5.0
"""How long an accepted connection may say nothing. A browser that has connected sends its request soon, on a
busy machine later; one that connects ahead may never send any.
"""
SILENT_AT_MOST = 100
_PAGE = Template((Path(__file__).parents[2] / "static" / "startup.html").read_text("utf-8"))


class StartupPage:
    """Answers every request on a listening socket with what is being got ready, until it is closed.

        with StartupPage(listening) as page:
            page.say("Loading the pages")

    The socket stays open: the server that takes it over also gets the connections that came in between.
    """

    def __init__(self, listening: socket.socket) -> None:
        self._listening = listening
        self._doing = "Starting"
        self._done, self._handed_over = threading.Event(), threading.Event()
        self._silent_until: dict[socket.socket, float] = {}
        """Connections that have sent nothing yet, and until when each may stay so."""

        self._thread = threading.Thread(target=self._serve, name="startup page", daemon=True)

    def __enter__(self) -> "StartupPage":
        self._listening.setblocking(False)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._handed_over.wait()

    def say(self, doing: str) -> None:
        """What the page says from now on."""
        self._doing = doing

    def _serve(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listening, selectors.EVENT_READ)
            while not self._done.is_set():
                self._take_turn(selector)
            selector.unregister(self._listening)
            self._handed_over.set()
            while self._silent_until:  # an accepted connection is answered here, while the app serves others
                self._take_turn(selector)

    def _take_turn(self, selector: selectors.BaseSelector) -> None:
        """Let in who has come, answer who has asked, and give up on who says nothing."""
        ready = {key.fileobj for key, _ in selector.select(WAIT_SECONDS)}
        for connection, until in list(self._silent_until.items()):
            is_full = len(self._silent_until) >= SILENT_AT_MOST  # the oldest one goes
            if connection in ready or time.monotonic() > until or is_full:
                selector.unregister(connection)
                del self._silent_until[connection]
                with connection, contextlib.suppress(OSError):  # the browser went away
                    self._answer(connection)
        if self._listening in ready:
            with contextlib.suppress(OSError):
                connection, _ = self._listening.accept()
                self._silent_until[connection] = time.monotonic() + SILENT_SECONDS
                selector.register(connection, selectors.EVENT_READ)

    def _answer(self, connection: socket.socket) -> None:
        connection.settimeout(WAIT_SECONDS)
        connection.recv(REQUEST_BYTES)
        page = _PAGE.substitute(doing=escape(self._doing)).encode()
        head = (
            "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/html; charset=utf-8\r\nRetry-After: 1\r\n"
            f"Cache-Control: no-store\r\nConnection: close\r\nContent-Length: {len(page)}\r\n\r\n"
        )
        connection.sendall(head.encode() + page)
