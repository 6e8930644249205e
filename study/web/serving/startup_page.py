"""The page that answers while the app gets ready, because importing Gradio takes seconds."""

import contextlib
import selectors
import socket
import threading
from html import escape
from pathlib import Path
from string import Template

REQUEST_BYTES = 65_536
WAIT_SECONDS = 0.1
_PAGE = Template((Path(__file__).parents[2] / "static" / "startup.html").read_text("utf-8"))


class StartupPage:
    """Answers every request on a listening socket with what is being got ready, until it is closed.

        with StartupPage(listening) as page:
            page.say("Importing Gradio")

    The socket stays open: the server that takes it over also gets the connections that came in between.
    """

    def __init__(self, listening: socket.socket) -> None:
        self._listening = listening
        self._doing = "Starting"
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._serve, name="startup page", daemon=True)

    def __enter__(self) -> "StartupPage":
        self._listening.setblocking(False)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._done.set()
        self._thread.join()

    def say(self, doing: str) -> None:
        """What the page says from now on."""
        self._doing = doing

    def _serve(self) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(self._listening, selectors.EVENT_READ)
            while not self._done.is_set():
                if selector.select(WAIT_SECONDS):
                    with contextlib.suppress(OSError):  # the browser went away
                        connection, _ = self._listening.accept()
                        with connection:
                            self._answer(connection)

    def _answer(self, connection: socket.socket) -> None:
        connection.settimeout(WAIT_SECONDS)
        connection.recv(REQUEST_BYTES)
        page = _PAGE.substitute(doing=escape(self._doing)).encode()
        head = (
            "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/html; charset=utf-8\r\nRetry-After: 1\r\n"
            f"Cache-Control: no-store\r\nConnection: close\r\nContent-Length: {len(page)}\r\n\r\n"
        )
        connection.sendall(head.encode() + page)
