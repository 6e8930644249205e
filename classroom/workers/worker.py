"""One worker: a server that ends with the process that started it."""

import logging
import os
import signal
import socket
import sys
import threading
from typing import Any

import uvicorn

from classroom.workers.supervisor import READY
from study.web.serving.server import build_config


def serve(site: Any, listening: socket.socket) -> None:
    """Serve until a stop signal or the end of the parent."""
    server = _Worker(build_config(site))
    threading.Thread(target=_end_with_parent, daemon=True).start()
    server.run(sockets=[listening])


class _Worker(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            sys.stdout.write(f"{READY}\n")
            sys.stdout.flush()

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Stop serving; streams cut off by the stop aren't worth a log line."""
        logging.getLogger("uvicorn.error").setLevel(logging.CRITICAL)
        super().handle_exit(sig, frame)


def _end_with_parent() -> None:
    sys.stdin.read()
    os.kill(os.getpid(), signal.SIGTERM)
