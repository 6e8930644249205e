"""While the app gets ready a page says so, and whoever takes the socket over serves what came in between."""

import http.client
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, HTTPServer

from study.web.serving.server import take_port
from study.web.serving.startup_page import WAIT_SECONDS, StartupPage
from tests.waiting import wait_for


def get(port: int, path: str = "/") -> tuple[int, str]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    connection.request("GET", path)
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, text


def test_it_says_what_is_being_got_ready() -> None:
    listening = take_port("127.0.0.1", 0)
    port = listening.getsockname()[1]
    with StartupPage(listening) as page:
        assert "Starting …" in get(port)[1]
        page.say("Importing <Gradio>")
        status, text = get(port, "/cards")
    listening.close()
    assert status == 503
    assert "Importing &lt;Gradio&gt; …" in text
    assert 'http-equiv="refresh"' in text


def test_a_browser_that_says_nothing_holds_nobody_up() -> None:
    listening = take_port("127.0.0.1", 0)
    port = listening.getsockname()[1]
    with StartupPage(listening), socket.create_connection(("127.0.0.1", port)):
        assert get(port)[0] == 503
    listening.close()


def test_who_was_let_in_is_answered_also_when_the_app_has_taken_over() -> None:
    listening = take_port("127.0.0.1", 0)
    with StartupPage(listening) as page:
        slow = socket.create_connection(("127.0.0.1", listening.getsockname()[1]), timeout=10)
        wait_for(lambda: page._silent_until, seconds=10)
        time.sleep(3 * WAIT_SECONDS)  # a busy machine
    with slow:
        slow.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        assert slow.recv(100).startswith(b"HTTP/1.1 503")
    listening.close()


class Answering(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_the_app_takes_the_socket_over_with_who_waits_at_it() -> None:
    listening = take_port("127.0.0.1", 0)
    port = listening.getsockname()[1]
    with StartupPage(listening):
        pass
    answers: list[int] = []
    waiting = threading.Thread(target=lambda: answers.append(get(port)[0]))
    waiting.start()
    listening.setblocking(True)
    app = HTTPServer(("127.0.0.1", port), Answering, bind_and_activate=False)
    app.socket.close()
    app.socket = listening
    app.handle_request()
    waiting.join(10)
    app.server_close()
    assert answers == [200]
