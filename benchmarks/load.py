"""Load: simulated learners on the Cards page, as a browser talks to the server.

    python -m benchmarks.load                        30, 100 and 200 learners, 60 s each
    python -m benchmarks.load --learners 100 --every 5 --seconds 60

A learner opens the page, then flips and rates, one event every few seconds. What is counted is the time from
sending an event to having its answer. The client runs beside the server and takes part of the processor, so
the processor's time of the server is given as well.
"""

import asyncio
import json
import random
import re
import statistics
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Coroutine
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import psutil

from benchmarks.app_process import running
from study.base.command_line import build_module_parser
from tests.visits import build_event

APP = ["app.py", "--no-worker"]
ROUNDS = ((30, 3.0), (100, 5.0), (200, 8.0))
SECONDS = 60
TIMEOUT_SECONDS = 120
CARD_ACT = re.compile(r'data-(?:act|submit)="(flip|rate)"')


@dataclass
class Measured:
    """What one round took."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    errors: list[str] = field(default_factory=list)

    def note(self, kind: str, seconds: float) -> None:
        """Add one answer's time."""
        self.seconds.setdefault(kind, []).append(seconds)


@dataclass
class SimulatedBrowser:
    """One browser: its cookie, its Gradio session, and the HTML it shows."""

    client: httpx.AsyncClient
    measured: Measured
    through_gradio: bool = False
    query: str = ""
    html: str = ""
    load_id: int = 0
    island_id: int = 0
    session: str = field(default_factory=lambda: uuid.uuid4().hex[:11])
    cookies: dict[str, str] = field(default_factory=lambda: {"learner": uuid.uuid4().hex})

    async def study(self, every_seconds: float, until: float, rng: random.Random) -> None:
        """Open the page, then send events until the time is over, or until no card is waiting."""
        await asyncio.sleep(rng.uniform(0, every_seconds))
        try:
            await self.open()
            while time.monotonic() < until and CARD_ACT.search(self.html):
                began = time.monotonic()
                await self.send()
                await asyncio.sleep(max(0.0, every_seconds - (time.monotonic() - began)))
        except (httpx.HTTPError, KeyError, IndexError, ValueError) as error:
            self.measured.errors.append(repr(error)[:200])

    async def open(self, path: str = "/cards", island: str = "cards") -> None:
        """Open a page, by default Cards, and fetch what its island shows."""
        page = await self._time("page", self.client.get(path, cookies=self.cookies, headers=HTML))
        found = re.search(r"window\.gradio_config = (\{.*?\});</script>", page.text, re.DOTALL)
        if found is None:
            raise ValueError("the page holds no configuration")
        config = json.loads(found[1])
        self.load_id = next(
            made["id"] for made in config["dependencies"] if made["api_name"].startswith("load_page")
        )
        self.island_id = next(
            made["id"] for made in config["components"] if made["props"].get("elem_id") == island
        )
        body = {"data": [], "fn_index": self.load_id, "session_hash": self.session}
        answer = await self._time(
            "load", self.client.post("/gradio_api/run/predict", json=body, cookies=self.cookies)
        )
        self.html = answer.json()["data"][-1]

    async def send(self) -> None:
        """Flip the card, or rate it."""
        kind = "flip" if "flip" in CARD_ACT.findall(self.html) else "rate"
        event: dict[str, Any] = build_event(self.html, kind, nth=2 if kind == "rate" else 0) | {
            "query": self.query
        }
        reply = (await self._time(kind, self._send(event))).json()
        if "error" in reply or "html" not in reply:
            raise ValueError(str(reply.get("error", reply))[:200])
        self.html = reply["html"]

    def _send(self, event: dict[str, Any]) -> Coroutine[Any, Any, httpx.Response]:
        if not self.through_gradio:
            return self.client.post("/act/cards", json=event, cookies=self.cookies)
        body = {
            "data": event,
            "fn_name": "act",
            "component_id": self.island_id,
            "session_hash": self.session,
        }
        return self.client.post("/gradio_api/component_server", json=body, cookies=self.cookies)

    async def _time(self, kind: str, request: Any) -> httpx.Response:
        began = time.monotonic()
        answer: httpx.Response = await request
        self.measured.note(kind, time.monotonic() - began)
        answer.raise_for_status()
        return answer


HTML = {"accept": "text/html"}


async def load(address: str, learners: int, every_seconds: float, seconds: float) -> Measured:
    """Let so many learners study at once."""
    measured, rng = Measured(), random.Random(1)
    limits = httpx.Limits(max_connections=None, max_keepalive_connections=None)
    async with httpx.AsyncClient(base_url=address, limits=limits, timeout=TIMEOUT_SECONDS) as client:
        until = time.monotonic() + seconds
        studying = [
            SimulatedBrowser(client, measured).study(every_seconds, until, rng) for _ in range(learners)
        ]
        await asyncio.gather(*studying)
    return measured


def compute_percentile(values: list[float], share: float) -> float:
    """Compute the value that a share of all values does not exceed."""
    return sorted(values)[min(len(values) - 1, int(share * len(values)))]


def main() -> None:
    """Print one line per round, then one JSON line."""
    parser = build_module_parser("benchmarks.load", __doc__)
    parser.add_argument("--learners", type=int, help="one round of so many (default: 30, 100 and 200)")
    parser.add_argument("--every", type=float, default=5.0, help="seconds between two events of a learner")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="length of a round")
    options = parser.parse_args()
    rounds = ((options.learners, options.every),) if options.learners else ROUNDS
    rows = []
    with tempfile.TemporaryDirectory() as folder, running(APP, Path(folder)) as (app, address):
        server = psutil.Process(app.pid)
        for learners, every_seconds in rounds:
            rows.append(_run_round(address, server, learners, every_seconds, options.seconds))
            print(_format_line(rows[-1]), flush=True)
    print(json.dumps(rows))


def _run_round(
    address: str, server: psutil.Process, learners: int, every_seconds: float, seconds: float
) -> dict[str, float]:
    before, memory_before = server.cpu_times(), server.memory_info().rss
    began = time.monotonic()
    measured = asyncio.run(load(address, learners, every_seconds, seconds))
    wall_seconds = time.monotonic() - began
    after = server.cpu_times()
    events = [taken for kind in ("flip", "rate") for taken in measured.seconds.get(kind, [])]
    answers = sum(map(len, measured.seconds.values()))
    for error, times in Counter(measured.errors).most_common(5):
        print(f"  {times} x {error}", flush=True)
    cpu_seconds = after.user + after.system - before.user - before.system
    return {
        "learners": learners,
        "every_seconds": every_seconds,
        "events": len(events),
        "events_per_second": len(events) / wall_seconds,
        "p50_seconds": statistics.median(events) if events else 0.0,
        "p95_seconds": compute_percentile(events, 0.95) if events else 0.0,
        "worst_seconds": max(events, default=0.0),
        "errors": len(measured.errors),
        "server_cpu_ms_per_answer": 1000 * cpu_seconds / max(1, answers),
        "megabytes_per_session": (server.memory_info().rss - memory_before) / 1e6 / learners,
    }


def _format_line(row: dict[str, float]) -> str:
    return (
        f"{row['learners']:4.0f} learners, an event in {row['every_seconds']:.0f} s: "
        f"{row['events_per_second']:5.1f} events/s, p50 {row['p50_seconds']:.2f} s, "
        f"p95 {row['p95_seconds']:.2f} s, worst {row['worst_seconds']:.2f} s, {row['errors']:.0f} errors, "
        f"{row['server_cpu_ms_per_answer']:.1f} CPU ms an answer, "
        f"{row['megabytes_per_session']:.2f} MB a session"
    )


if __name__ == "__main__":
    main()
