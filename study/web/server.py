"""Serving the app: the address is taken before anything slow happens, and announced when it answers."""

import argparse
import gc
import os
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import uvicorn

from study.base.errors import LearnerError
from study.base.settings import load_settings
from study.web.startup_page import StartupPage


def run(build_app: Callable[..., Any], arguments: Sequence[str] | None = None) -> int:
    """Read the command line, build the app, serve it until interrupted. Returns the exit status."""
    options = _read_options(arguments)
    try:
        listening = take_port(options.host, options.port)
        settings = load_settings(home=options.data_folder)
        with StartupPage(listening) as page, _objects_that_stay():
            app = build_app(
                settings,
                hosts=(options.host, *options.public_name),
                projector=options.projector,
                worker=options.worker,
                say=page.say,
            )
    except LearnerError as error:
        print(error, file=sys.stderr)  # noqa: T201 - for the person who typed the command
        return 1
    address = f"http://{options.host}:{listening.getsockname()[1]}"
    # An open event stream would hold up the end for ever, hence the two seconds.
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2)
    try:
        _AnnouncingServer(config, address).run(sockets=[listening])
    finally:
        app.state.close()
    return 0


@contextmanager
def _objects_that_stay() -> Iterator[None]:
    """Nearly all that is made while the app is put together lives as long as the app.

    Looking for garbage in it takes a fifth of the start-up, and later 100 ms at a time.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def take_port(host: str, port: int) -> socket.socket:
    """Reserve an address, or say in one sentence why it can't be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Only with the protocol named does asyncio turn Nagle's algorithm off, which holds an answer's body back
    # until the browser has acknowledged its head: 40 ms on every request.
    taken = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind((host, port))
        taken.listen()
    except (OSError, OverflowError) as error:
        taken.close()
        reason = getattr(error, "strerror", None) or str(error)
        raise LearnerError(
            f"Port {port} on {host} can't be used: {reason}.",
            do_next=f"Stop what uses it, or choose another one: python app.py --port {_another(port)}",
        ) from error
    return taken


class _AnnouncingServer(uvicorn.Server):
    """Says where the app is as soon as it answers, not before."""

    def __init__(self, config: uvicorn.Config, address: str) -> None:
        super().__init__(config)
        self._address = address

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            print(f"Ready: {self._address}", flush=True)  # noqa: T201 - the line a person waits for


def _read_options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="app.py", description="Study LoRA and QLoRA: cards, quizzes and a live lab."
    )
    # A host of Gradio apps starts `python app.py` and says in these variables where it looks for it.
    given = os.environ.get
    parser.add_argument(
        "--host",
        default=given("GRADIO_SERVER_NAME") or "127.0.0.1",
        help="address to listen on (default: GRADIO_SERVER_NAME, otherwise this machine only)",
    )
    parser.add_argument(
        "--port",
        type=int,
        default=given("GRADIO_SERVER_PORT") or 7860,
        help="port to listen on (default: GRADIO_SERVER_PORT, otherwise 7860; 0: any free one)",
    )
    parser.add_argument(
        "--public-name",
        action="append",
        default=[given("SPACE_HOST")] if given("SPACE_HOST") else [],
        help="a name that browsers reach it by, such as study.example.org (default: SPACE_HOST)",
    )
    parser.add_argument("--data-folder", type=Path, help="where progress, runs and models are kept")
    parser.add_argument(
        "--projector", action="store_true", help="large type and no profile names, for a class"
    )
    parser.add_argument(
        "--no-worker", dest="worker", action="store_false", help="start no worker: no training, no grader"
    )
    return parser.parse_args(arguments)


def _another(port: int) -> int:
    return port + 1 if 0 < port < 65_535 else 7860
