"""The worker's start-up status as lines for the terminal, with the bytes of a download."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

from study.base.units import as_bytes

State = dict[str, Any]
LOOK_EVERY_SECONDS = 0.5
TENTHS = 10


def announce(read_state: Callable[[], State], write: Callable[[str], None]) -> threading.Thread:
    """Print what the worker does until it is ready or fails, from a separate thread."""
    thread = threading.Thread(target=_announce, args=(read_state, write), name="announce", daemon=True)
    thread.start()
    return thread


def _announce(read_state: Callable[[], State], write: Callable[[str], None]) -> None:
    pause = threading.Event()
    said = ""
    while True:
        state = read_state()
        line = format_startup_line(state)
        if line and line != said:
            write(line)
            said = line
        if state["state"] in ("ready", "no-model"):
            return
        pause.wait(LOOK_EVERY_SECONDS)


def format_startup_line(state: State) -> str:
    """Format one state as one line; a download changes it ten times, not with every byte."""
    match state["state"]:
        case "preparing":
            return "  ".join(["Lab:", *_describe_preparing(state)])
        case "ready":
            device = state["device"]
            return f"Lab:  ready on {device['name']}, computing in {device['compute_dtype']}"
        case "no-model":
            return f"Lab:  {state['text']} {state['do_next']}"
    return ""


def _describe_preparing(state: State) -> Iterator[str]:
    yield state["text"]
    if state["total_bytes"]:
        tenths = TENTHS * state["done_bytes"] // state["total_bytes"]
        yield f"{as_bytes(tenths * state['total_bytes'] / TENTHS)} of {as_bytes(state['total_bytes'])}"
