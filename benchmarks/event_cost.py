"""Processor time of one event on Cards and of first pages, at the server's process, one at a time (Linux).

    python -m benchmarks.event_cost                  300 ratings, 600 flips, 40 first visits of each page

Events go through the app's own route and through Gradio's in turns, so that both see the same machine; the
median of each is printed. On a machine with other work on all its cores the same event takes about twice the
processor time of a quiet one (caches, shared cores), so the load is printed as well.
"""

import asyncio
import os
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Coroutine
from functools import partial
from pathlib import Path
from typing import Any

import httpx

from benchmarks.app_process import running
from benchmarks.load import APP, Measured, SimulatedBrowser
from study.base.command_line import build_module_parser

IDLE_MS = 20  # of a second: an idle app takes 2
FIRST_PAGES = {"Today": ("/", "today"), "Cards": ("/cards", "cards")}
WITHOUT_LIMITS = "?new=500&minutes=0"  # a card always waits


async def measure_cost(address: str, server_pid: int, ratings: int) -> dict[tuple[str, bool], float]:
    """Measure the median processor milliseconds by the kind of event and whether Gradio brought it."""
    taken: dict[tuple[str, bool], list[float]] = defaultdict(list)
    async with httpx.AsyncClient(base_url=address, timeout=60) as client:
        browser = SimulatedBrowser(client, Measured(), query=WITHOUT_LIMITS)
        await browser.open()
        for number in range(ratings):
            front = browser.html
            for through_gradio in (number % 2 == 1, number % 2 == 0):
                browser.html, browser.through_gradio = front, through_gradio
                taken["flip", through_gradio].append(await _measure_ms(browser.send, server_pid))
            taken["rate", browser.through_gradio].append(await _measure_ms(browser.send, server_pid))
    return {kind: statistics.median(values) for kind, values in taken.items()}


async def measure_first_pages(address: str, server_pid: int, visits: int) -> dict[str, float]:
    """Measure the median processor milliseconds of a page that a new browser opens first, with its content.

    Files that browsers keep are not among them, nor is the first visit of each page after the start.
    """
    taken: dict[str, list[float]] = defaultdict(list)
    async with httpx.AsyncClient(base_url=address, timeout=60) as client:
        for _ in range(visits + 1):
            for name, place in FIRST_PAGES.items():
                browser = SimulatedBrowser(client, Measured())
                taken[name].append(await _measure_ms(partial(browser.open, *place), server_pid))
    return {name: statistics.median(values[1:]) for name, values in taken.items()}


def _wait_until_idle(server_pid: int) -> None:
    """Wait for what the app prepares after its start: it would count as the first events' time."""
    clock = (~server_pid << 3) | 2
    used_ms = IDLE_MS + 1.0
    while used_ms > IDLE_MS:
        before = time.clock_gettime_ns(clock)
        time.sleep(1)
        used_ms = (time.clock_gettime_ns(clock) - before) / 1e6


async def _measure_ms(work: Callable[[], Coroutine[Any, Any, None]], server_pid: int) -> float:
    clock = (~server_pid << 3) | 2  # of all threads of that process, see clock_getcpuclockid(3)
    before = time.clock_gettime_ns(clock)
    await work()
    await asyncio.sleep(0.002)  # what the server does after its answer belongs to the event
    return (time.clock_gettime_ns(clock) - before) / 1e6


def main() -> None:
    """Print one line per kind of press."""
    parser = build_module_parser("benchmarks.event_cost", __doc__)
    parser.add_argument("--ratings", type=int, default=300)
    parser.add_argument("--visits", type=int, default=40)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, running(APP, Path(folder)) as (server, address):
        _wait_until_idle(server.pid)
        first = asyncio.run(measure_first_pages(address, server.pid, options.visits))
        taken = asyncio.run(measure_cost(address, server.pid, options.ratings))
    for name, milliseconds in first.items():
        print(f"first {name}: {milliseconds:.1f} ms")
    for kind in ("flip", "rate"):
        print(f"{kind}: through Gradio {taken[kind, True]:.1f} ms, own route {taken[kind, False]:.1f} ms")
    print(f"load {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    main()
