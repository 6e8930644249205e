"""Serving the app: the address is taken before anything slow happens, and announced when it answers."""

import argparse
import contextlib
import gc
import logging
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO
from urllib.parse import urlsplit

import uvicorn

from study.base.addresses import build_address, is_loopback, list_reachable_addresses
from study.base.errors import LearnerError, StorageError
from study.base.owner_log import note
from study.base.settings import Settings, find_unknown_variables, load_settings
from study.web.serving.options import read_options
from study.web.serving.startup_page import StartupPage
from study.web.serving.stop_guard import start_guard
from study.web.stub_files import disable_stub_writing

STOP_SIGNALS = tuple(
    getattr(signal, name)
    for name in ("SIGINT", "SIGTERM", "SIGHUP", "SIGBREAK")  # Ctrl-C, a service manager, a closed terminal
    if hasattr(signal, name)
)
FINISH_ANSWERS_SECONDS = 1
KEEP_CONNECTION_SECONDS = 75
"""How long an idle connection stays open. Uvicorn's 5 s end it between two requests of someone who reads,
and a request that is sent at that moment fails.
"""
CLOSE_SECONDS = 4.5
"""From the signal to the end of the process, whatever still hangs: terminals and systems kill after five."""
KILL_SECONDS = 4.8
"""The same while a call lets no line of Python run."""


def run(build_app: Callable[..., Any], arguments: Sequence[str] | None = None) -> int:
    """Read the command line, build the app, serve it until interrupted. Returns the exit status."""
    options = read_options(arguments)
    if sys.platform != "win32" and threading.current_thread() is threading.main_thread():
        start_guard(_list_respected_signals(), KILL_SECONDS)
    try:
        listening = take_port(options.host, options.port)
        settings = load_settings(home=options.data_folder, public_names=options.public_name)
        for sentence in find_unknown_variables(os.environ):
            print_line(sentence, sys.stderr)
        address = build_address(options.host, listening.getsockname()[1])
        app = None
        while app is None:
            try:
                app = _build(build_app, listening, settings, options)
            except StorageError as trouble:
                print_line(str(trouble), sys.stderr)
                if not _offer_ways_out(listening.dup(), settings, trouble, options.host, address):
                    return 1
    except LearnerError as error:
        print_line(str(error), sys.stderr)
        return 1
    except KeyboardInterrupt:
        print_line("Stopped before it was ready.")
        return 0
    print_line(f"Data:  {settings.home}")
    reachable = any(not is_loopback(host) for host in (options.host, *options.public_name))
    if options.only_class:
        print_line(f"Class: {address}/class")
    elif reachable:
        port = listening.getsockname()[1]
        print_line(
            format_network_notice(options.host, port, app.state.owner_key, public_names=options.public_name)
        )
    reach = "every device that reaches this machine" if reachable else "this machine only"
    note("start", f"The app was started for {reach}.")
    try:
        _AnnouncingServer(build_config(app), address, then=app.state.prepare).run(sockets=[listening])
    finally:
        note("stop", "The app was stopped.")
        app.state.close()
        print_line(f"Stopped. Everything is saved in {settings.home}.")
    return 0


def _build(
    build_app: Callable[..., Any], listening: socket.socket, settings: Settings, options: argparse.Namespace
) -> Any:
    with StartupPage(listening) as page, _without_garbage_collection(), _interrupted_by_any_signal():
        return build_app(
            settings,
            hosts=(options.host, *options.public_name),
            projector=options.projector,
            worker=options.worker,
            study_only=options.study_only,
            only_class=options.only_class,
            students_at=options.students_at,
            open_lab=options.open_lab,
            say=page.say,
        )


def _offer_ways_out(
    listening: socket.socket, settings: Settings, trouble: StorageError, host: str, address: str
) -> bool:
    """Serve the rescue page; return whether the app should be started again."""
    from study.web.serving.rescue import Rescue

    chosen = threading.Event()
    server: _AnnouncingServer | None = None

    def leave() -> None:
        chosen.set()
        if server is not None:
            server.stop_accepting()  # what comes from now on waits for the app
            server.should_exit = True

    site = Rescue(settings, trouble, leave).build_site(hosts=(host,))
    server = _AnnouncingServer(build_config(site), address, "What can be done is shown at")
    server.run(sockets=[listening])
    return chosen.is_set()


def build_config(app: Any) -> uvicorn.Config:
    """Return how this app serves, in each of its processes."""
    # An open event stream would delay the end for ever, hence a limit.
    return uvicorn.Config(
        app,
        loop="asyncio",  # uvloop would take the pipe that stop_guard.py reads
        log_level="warning",
        server_header=False,
        timeout_graceful_shutdown=FINISH_ANSWERS_SECONDS,
        timeout_keep_alive=KEEP_CONNECTION_SECONDS,
    )


def format_network_notice(host: str, port: int, owner_key: str, *, public_names: Sequence[str] = ()) -> str:
    """Return what a start that others can reach opens, the addresses that work, and the owner's own.

    `public_names` are those of a proxy, which the app has to be told.
    """
    from study.web.security.middleware import list_own_names

    names = [host]
    if host in ("0.0.0.0", "::", ""):
        names = [
            *list_reachable_addresses(ipv6=host == "::"),
            *(name for name in list_own_names() if name.endswith(".local")),
        ]
    direct = [build_address(name, port) for name in names if not is_loopback(name)]
    shown = [*(f"http://{name}" for name in public_names), *direct]
    by_proxy = ("Where a proxy encrypts, its addresses begin with https.",) if public_names else ()
    return "\n".join(
        (
            "Everyone who can reach this machine can open the app, without a password or encryption:",
            *(f"  {address}{_note_on_name(address)}" for address in shown),
            *by_proxy,
            "They study under profiles of their own. The Lab's runs, shared decks, backups and profiles of"
            " others are yours: at this machine, or after you have opened this address, which is a password:",
            f"  {shown[0]}/owner?key={owner_key}",
        )
    )


def _note_on_name(address: str) -> str:
    """Say where an address works if not everywhere: the system announces a .local name, or not."""
    name = urlsplit(address).hostname or ""
    return "  (on networks that resolve .local names)" if name.endswith(".local") else ""


def set_gradio_environment(settings: Settings) -> None:
    """Set what Gradio reads: it sends no statistics, keeps uploads in the data folder, looks for no screen.

    Its import writes no stub files for editors, which takes as long as all the rest of it.
    """
    disable_stub_writing()
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    os.environ.setdefault("GRADIO_TEMP_DIR", str(settings.home / "uploads"))
    # Before each answer Gradio 6.31 asks matplotlib for its backend, which loads pyplot where none is named.
    # Charts here are drawn without a screen.
    os.environ.setdefault("MPLBACKEND", "agg")


def print_line(line: str, stream: TextIO | None = None) -> None:
    """Print a line for the person who started the app; a closed terminal isn't an error."""
    stream = stream or sys.stdout
    encoding = getattr(stream, "encoding", None) or "utf-8"
    line = line.encode(encoding, "backslashreplace").decode(encoding)
    try:
        print(line, file=stream, flush=True)
    except (OSError, ValueError):
        # What is left in the stream's buffer would fail again when Python ends, with exit status 120.
        with contextlib.suppress(OSError, ValueError), open(os.devnull, "wb") as nowhere:
            os.dup2(nowhere.fileno(), stream.fileno())


def _list_respected_signals() -> list[signal.Signals]:
    """List the signals that stop the app, without those that its starter ignores, such as `nohup`."""
    return [number for number in STOP_SIGNALS if signal.getsignal(number) is not signal.SIG_IGN]


@contextmanager
def _interrupted_by_any_signal() -> Iterator[None]:
    """Raise KeyboardInterrupt on every stop signal."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {
        number: signal.signal(number, signal.default_int_handler) for number in _list_respected_signals()
    }
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


@contextmanager
def _without_garbage_collection() -> Iterator[None]:
    """Nearly all that is made while the app is put together lives as long as the app.

    Looking for garbage in it takes a fifth of the start-up, and later 100 ms at a time.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()


def take_port(host: str, port: int, *, several: bool = False, listen: bool = True) -> socket.socket:
    """Reserve an address, or say in one sentence why it can't be had.

    `several`: other sockets of this kind may have the same address; the system spreads connections over those
    that listen (SO_REUSEPORT, on Linux).
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Only with the protocol named does asyncio turn Nagle's algorithm off, which holds an answer's body back
    # until the browser has acknowledged its head: 40 ms on every request.
    taken = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if several:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    try:
        taken.bind((host, port))
        if listen:
            taken.listen()
    except (OSError, OverflowError) as error:
        taken.close()
        reason = getattr(error, "strerror", None) or str(error)
        other = port + 1 if 0 < port < 65_535 else 7860
        raise LearnerError(
            f"Port {port} on {host} can't be used: {reason}.",
            do_next=f"Stop what uses it, or choose another one: python app.py --port {other}",
        ) from error
    return taken


class _AnnouncingServer(uvicorn.Server):
    """Prints the address once the app answers, and ends normally on every stop signal."""

    def __init__(
        self,
        config: uvicorn.Config,
        address: str,
        ready: str = "Ready:",
        *,
        then: Callable[[], object] | None = None,
    ) -> None:
        super().__init__(config)
        self._ready = f"{ready} {address}"
        self._then = then

    def stop_accepting(self) -> None:
        """Let no new connection in, in the loop that serves; those that are open are served on."""
        for listener in self.servers:
            listener.close()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            print_line(self._ready)
            if self._then is not None:
                threading.Thread(target=_try, args=(self._then,), name="first visit", daemon=True).start()

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        """Take the stop signals until the process ends, or until the app is built again.

        uvicorn raises a signal again after its own shutdown, which would end the process before the app has
        closed.
        """
        if threading.current_thread() is threading.main_thread():
            for number in _list_respected_signals():
                signal.signal(number, self.handle_exit)
        yield

    def handle_exit(self, sig: int, frame: Any) -> None:
        """Stop serving; from now on the process has CLOSE_SECONDS left. A second signal ends it at once."""
        if self.should_exit:
            os._exit(1)
        _end_after(CLOSE_SECONDS)
        logging.getLogger("uvicorn.error").setLevel(
            logging.CRITICAL
        )  # answers cut off by the stop aren't worth a log line
        super().handle_exit(sig, frame)


def _try(work: Callable[[], object]) -> None:
    """Do what can be done later as well: why it failed is seen by who needs it first."""
    with contextlib.suppress(Exception):
        work()


def _end_after(seconds: float) -> None:
    """End the process even if a thread hangs, such as one in the middle of an import."""
    watchdog = threading.Timer(seconds, os._exit, (0,))
    watchdog.daemon = True
    watchdog.start()
