"""Starting the app: fast help, and a taken port in one sentence."""

import asyncio
import socket
import subprocess
import sys
import threading
import time
from http.client import HTTPConnection
from pathlib import Path

import pytest
import uvicorn
from starlette.responses import PlainTextResponse

from study.base.addresses import is_loopback
from study.base.errors import LearnerError
from study.web.serving.options import read_options
from study.web.serving.server import build_config, run, take_port

ROOT = Path(__file__).parents[4]


def python(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, *arguments], cwd=ROOT, capture_output=True, text=True, timeout=120)


def test_a_taken_port_is_said_in_one_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert run(_never_built, ["--port", str(port)]) == 1
    said = capsys.readouterr().err
    assert f"Port {port} on 127.0.0.1 can't be used" in said
    assert f"python app.py --port {port + 1}" in said


def _never_built(*_: object, **__: object) -> None:
    raise AssertionError("nothing is built for a port that can't be had")


@pytest.mark.parametrize("port", [70_000, -1])
def test_a_port_that_does_not_exist_is_no_traceback(port: int) -> None:
    with pytest.raises(LearnerError, match="7860"):
        take_port("127.0.0.1", port)


def test_an_answer_is_sent_at_once_and_not_held_back_for_a_full_packet() -> None:
    async def no_delay() -> int:
        with take_port("127.0.0.1", 0) as listening:
            seen: asyncio.Future[int] = asyncio.get_running_loop().create_future()

            def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                taken = writer.get_extra_info("socket")
                seen.set_result(taken.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
                writer.close()

            server = await asyncio.start_server(connected, sock=listening)
            _, writer = await asyncio.open_connection(*listening.getsockname())
            answer = await seen
            writer.close()
            server.close()
            return answer

    assert asyncio.run(no_delay()) == 1


def test_a_host_of_gradio_apps_says_where_to_listen_and_under_which_name(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
    monkeypatch.setenv("GRADIO_SERVER_NAME", "0.0.0.0")
    monkeypatch.setenv("GRADIO_SERVER_PORT", str(port))
    monkeypatch.setenv("SPACE_HOST", "ana-lora.example.org")
    asked: dict[str, object] = {}

    def built(*_: object, **values: object) -> None:
        asked.update(values)
        with socket.create_connection(("127.0.0.1", port)):
            raise LearnerError("Enough.", do_next="Stop.")

    assert run(built, ["--data-folder", str(tmp_path)]) == 1
    assert asked["hosts"] == ("0.0.0.0", "ana-lora.example.org")


def test_help_is_there_at_once_and_without_gradio() -> None:
    asked = python("-X", "importtime", "app.py", "--help")
    assert asked.returncode == 0
    for option in ("--host", "--port", "--data-folder", "--projector", "--no-worker"):
        assert option in asked.stdout
    assert "gradio" not in asked.stderr


@pytest.mark.parametrize(
    ("given", "host", "only_class"),
    [([], "127.0.0.1", False), (["--class"], "0.0.0.0", True), (["--class", "--host", "::1"], "::1", True)],
)
def test_a_class_listens_for_other_devices_unless_an_address_is_given(
    given: list[str], host: str, only_class: bool
) -> None:
    options = read_options(given)
    assert (options.host, options.only_class) == (host, only_class)


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("school.example", False)],
)
def test_which_hosts_only_this_machine_reaches(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


def test_a_press_after_some_seconds_of_reading_uses_the_same_connection() -> None:
    listening = take_port("127.0.0.1", 0)
    port = listening.getsockname()[1]
    server = uvicorn.Server(build_config(PlainTextResponse("here")))
    serving = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    serving.start()
    connection = HTTPConnection("127.0.0.1", port, timeout=30)
    try:
        connection.request("GET", "/")
        assert connection.getresponse().read() == b"here"
        used = connection.sock.getsockname()
        time.sleep(6)  # uvicorn's own limit is 5
        connection.request("GET", "/")
        assert connection.getresponse().read() == b"here"
        assert connection.sock.getsockname() == used
    finally:
        connection.close()
        server.should_exit = True
        serving.join(10)
        listening.close()
