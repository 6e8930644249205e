"""Serving the app: the address is taken first, and announced when it answers."""

import socket
from typing import Any

import uvicorn

from study.errors import LearnerError


def take_port(host: str, port: int) -> socket.socket:
    """Reserve the address before anything slow is imported, so that a taken port is said at once."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    taken = socket.socket(family, socket.SOCK_STREAM)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        taken.bind((host, port))
        taken.listen()
    except (OSError, OverflowError) as error:
        taken.close()
        raise LearnerError(
            f"Port {port} on {host} can't be used ({getattr(error, 'strerror', None) or error}).",
            do_next=f"Another program may have it; try another one: python app.py --port {_another(port)}",
        ) from error
    return taken


def serve(app: Any, listening: socket.socket, *, address: str) -> None:
    """Answer until the process is told to stop."""
    # An open event stream would hold the shutdown for ever, hence the two seconds.
    config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2)
    _AnnouncingServer(config, address).run(sockets=[listening])


class _AnnouncingServer(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, address: str) -> None:
        super().__init__(config)
        self._address = address

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            print(f"Ready: {self._address}", flush=True)  # noqa: T201 - the one line a person waits for


def _another(port: int) -> int:
    return port + 1 if 0 < port < 65_535 else 7860
