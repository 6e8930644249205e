"""Kill the app at random moments of all kinds of events; what it acknowledged must be in its database.

    python -m benchmarks.kills                       200 kills
    python -m benchmarks.kills --kills 20 --seed 7

Ten browsers send events without a pause: cards are rated and undone, questions answered, explanations sent,
prompts written, settings and the name saved, files of cards imported, runs and grids of the tiny model
started. The server gets SIGKILL within a few seconds. Then its database and its folders are read without the
app, but for an import that was cut off, which is taken back as at the app's next start: an event counts as
acknowledged once its answer has arrived, and each is looked up. An event whose answer didn't arrive may be
there or not, but never half.
"""

import asyncio
import json
import os
import random
import re
import sqlite3
import sys
import tempfile
import time
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable
from contextlib import closing, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx

from benchmarks.app_process import start
from benchmarks.load import APP, HTML, Measured, SimulatedBrowser
from study.base.command_line import build_module_parser
from study.io.unfinished_import import restore_unfinished
from study.store import open_store
from tests.visits import build_event

LONGEST_SECONDS = 3.0
"""From the moment at which everyone has been answered once to the kill, at most."""

WAIT_SECONDS = 30.0

PROMPTS = ("explain-lora", "explain-qlora", "explain-rank", "explain-nf4")
CONCEPT_LINES = [
    "First: one is one.",
    "Second: two is two.",
    "Third: three is three.",
    "Fourth: four is four.",
]

Act = Callable[[str, dict[str, Any]], Awaitable[dict[str, Any]]]


@dataclass
class SendingBrowser:
    """One browser that sends one kind of event, and what was acknowledged to it."""

    kind: str
    rng: random.Random
    cookies: dict[str, str] = field(default_factory=lambda: {"learner": uuid.uuid4().hex})
    acknowledged: list[str] = field(default_factory=list)
    """Tokens that must be found. For settings and names only the last one has to be."""

    in_flight: str = ""
    query: str = ""
    rated: int = 0
    undone: int = 0
    answered: int = 0

    @property
    def count(self) -> int:
        """The events that were acknowledged, without flips and undos."""
        return len(self.acknowledged) + self.rated + self.answered

    async def send_events(self, client: httpx.AsyncClient) -> None:
        """Send events until the server is gone."""

        async def act(island: str, event: dict[str, Any]) -> dict[str, Any]:
            answer = await client.post(
                f"/act/{island}", json={"query": self.query, **event}, cookies=self.cookies
            )
            answer.raise_for_status()
            reply: dict[str, Any] = answer.json()
            if "error" in reply:
                raise RuntimeError(f"{self.kind}: {reply['error']}")
            address = reply.get("step") or reply.get("url", "")
            if self.kind == "quiz" and "?" in address:
                self.query = "?" + address.partition("?")[2]
            return reply

        with suppress(httpx.TransportError):
            if self.kind == "cards":
                await self._study_cards(client)
            elif self.kind == "quiz":
                await self._answer_questions(act)
            elif self.kind == "import":
                await self._import_files(client, act)
            else:
                while True:
                    await self._send(act)

    async def _study_cards(self, client: httpx.AsyncClient) -> None:
        browser = SimulatedBrowser(client, Measured(), query="?new=500&minutes=0", cookies=self.cookies)
        await browser.open()
        while True:
            await browser.send()  # flips
            await browser.send()
            self.rated += 1
            if 'data-act="undo"' in browser.html and self.rng.random() < 0.3:
                event = build_event(browser.html, "undo") | {"query": browser.query}
                answer = await client.post("/act/cards", json=event, cookies=self.cookies)
                answer.raise_for_status()
                browser.html = answer.json()["html"]
                self.undone += 1

    async def _answer_questions(self, act: Act) -> None:
        while True:
            shown = (await act("quiz", {"act": "start"}))["html"]
            for _ in range(10):
                event = build_event(shown, "answer")
                if event.get("kind") != "single":
                    break
                options = re.findall(r'<input type="radio" name="option" value="([^"]*)"', shown)
                fields = {"option": [self.rng.choice(options)], "confidence": ["think"]}
                await act("quiz", {**event, "fields": fields})
                self.answered += 1
                shown = (await act("quiz", {"act": "next"})).get("html", "")
                if 'data-submit="answer"' not in shown:
                    break

    async def _import_files(self, client: httpx.AsyncClient, act: Act) -> None:
        while True:
            token = self.in_flight = f"token-{uuid.uuid4().hex[:12]}"
            file = f"front,back\nWhat is {token}?,An import.\n".encode()
            sent = await client.post(f"/io/upload?name={token}.csv", content=file, cookies=self.cookies)
            sent.raise_for_status()
            shown = await self._wait_for(act, {"act": "uploaded"}, 'data-act="apply"')
            await self._wait_for(act, build_event(shown, "apply"), f"{token}.csv is imported")
            self.acknowledged.append(token)
            self.in_flight = ""

    async def _wait_for(self, act: Act, event: dict[str, Any], words: str) -> str:
        """Send an event, and poll until the page says so. A file is read in a process of its own."""
        html: str = (await act("inout", event)).get("html", "")
        while words not in html:
            await asyncio.sleep(0.2)
            html = (await act("inout", {"act": "poll"})).get("html", "")
        return html

    async def _send(self, act: Act) -> None:
        token = self.in_flight = f"token {uuid.uuid4().hex[:12]}"
        match self.kind:
            case "explain":
                prompt = self.rng.choice(PROMPTS)
                event = {"act": "submit", "prompt": prompt, "query": f"?prompt={prompt}"}
                await act("explain", {**event, "fields": {"answer": [f"The base stays frozen, {token}."]}})
            case "prompt":
                fields = {"id": [""], "text": [f"What is {token}?"], "hint": [""], "concept": CONCEPT_LINES}
                await act("explain", {"act": "own-save", "fields": fields})
            case "name":
                await act("settings", {"act": "rename", "fields": {"name": [token]}})
            case "settings":
                token = self.in_flight = str(self.rng.randrange(1, 200))
                fields = {**PREFERENCES, "new_cards_a_day": [token]}
                await act("settings", {"act": "prefer", "fields": fields})
            case "run":
                reply = await act("lab", {"act": "start", "fields": RUN})
                token = reply.get("url", "").partition("run=")[2].partition("&")[0]
                await asyncio.sleep(0.5)  # the queue holds few
            case "grid":
                reply = await act("grid", {"act": "start", "fields": GRID})
                token = reply.get("url", "").partition("sweep=")[2].partition("&")[0]
                await asyncio.sleep(1)
        self.acknowledged.append(token)
        self.in_flight = ""


PREFERENCES = {
    "shortcuts": ["on"],
    "reviews_a_day": ["200"],
    "card_order": ["due"],
    "learn_ahead_minutes": ["20"],
    "session_minutes": ["0"],
    "day_begins_hour": ["4"],
    "time_zone": [""],
}
RUN = {"model": ["tiny-random"], "rank": ["2"], "steps": ["2"]}
GRID = {
    "model": ["tiny-random"],
    "steps": ["2"],
    "ranks": ["1", "2"],
    "bits": ["nf4"],
    "targets": ["q_proj"],
    "seeds": ["0"],
    "variants": ["lora"],
    "learning_rates": ["0.001"],
}
KINDS = ("cards", "cards", "quiz", "explain", "prompt", "name", "settings", "import", "run", "grid")


TEXTS = {
    "explain": "SELECT text FROM explain_attempts WHERE profile_id = ?",
    "prompt": "SELECT text FROM own_prompts WHERE profile_id = ?",
    "import": "SELECT file_name FROM imports WHERE profile_id = ?",
    "name": "SELECT name FROM profiles WHERE id = ?",
    "settings": "SELECT value FROM preferences WHERE profile_id = ? AND name = 'new_cards_a_day'",
}
"""The query for what a kind's events write, one text each."""

REVIEWS = "card_reviews WHERE profile_id = ?"
UNDOS = "review_undos JOIN card_reviews ON review_id = card_reviews.id WHERE profile_id = ?"
ANSWERS = "answers JOIN quiz_sessions ON session_id = quiz_sessions.id WHERE profile_id = ?"
RETRIES = "answer_retries JOIN quiz_sessions ON session_id = quiz_sessions.id WHERE profile_id = ?"


def find_losses(data: Path, browser: SendingBrowser) -> list[str]:
    """Look up what was acknowledged to a browser; returns a line for each thing missing or too much."""
    with closing(sqlite3.connect(data / "study.sqlite3")) as database:

        def ask(query: str, value: str) -> list[Any]:
            return [row[0] for row in database.execute(query, [value])]

        found = ask("SELECT profile_id FROM browsers WHERE id = ?", browser.cookies["learner"])
        mine = found[0] if found else ""

        def count(rows: str) -> int:
            return int(ask(f"SELECT count(*) FROM {rows}", mine)[0])

        match browser.kind:
            case "cards":
                rows, undone = count(REVIEWS), count(UNDOS)
                fine = 0 <= rows - browser.rated <= 1 and 0 <= undone - browser.undone <= 1
                said = f"{browser.rated} rated, {rows} there; {browser.undone} undone, {undone}"
                return [] if fine else [said]
            case "quiz":
                rows = count(ANSWERS) + count(RETRIES)
                fine = 0 <= rows - browser.answered <= 1
                return [] if fine else [f"{browser.answered} answered, {rows} there"]
            case "run":
                specs = [data / "runs" / token / "spec.json" for token in browser.acknowledged]
                return [spec.parent.name for spec in specs if not spec.exists()]
            case "grid":
                return [token for token in browser.acknowledged if not _is_grid_whole(data, token)]
        texts = [str(text) for text in ask(TEXTS[browser.kind], mine)]
    in_flight = {browser.in_flight} - {""}
    match browser.kind:
        case "import":
            decks = "".join(path.read_text("utf-8") for path in (data / "decks").glob("**/*.json"))
            return [
                f"{token}: {'in' if token in decks else 'not in'} the deck"
                for token in [*browser.acknowledged, *in_flight]
                if (token in decks) != (f"{token}.csv" in texts)
                or (token not in in_flight and token not in decks)
            ]
        case "name" | "settings":
            allowed = {*browser.acknowledged[-1:], *in_flight}
            fine = not browser.acknowledged or set(texts) <= allowed
            return [] if fine else [f"{texts} instead of {allowed}"]
    return [token for token in browser.acknowledged if not any(token in text for text in texts)]


def _is_grid_whole(data: Path, sweep_id: str) -> bool:
    file = data / "sweeps" / sweep_id / "sweep.json"
    if not file.exists():
        return False
    run_ids = [run_id for attempts in json.loads(file.read_text("utf-8"))["attempts"] for run_id in attempts]
    return len(run_ids) == 2 and all((data / "runs" / run_id / "spec.json").exists() for run_id in run_ids)


def _take_back_unfinished(data: Path) -> None:
    store = open_store(f"sqlite:///{data / 'study.sqlite3'}")
    restore_unfinished(store, data)
    store.close()


def is_whole(data: Path) -> bool:
    """Return whether SQLite finds the database whole."""
    with closing(sqlite3.connect(data / "study.sqlite3")) as database:
        return bool(database.execute("PRAGMA integrity_check").fetchone() == ("ok",))


async def _play(
    address: str, browsers: list[SendingBrowser], kill: Callable[[], None], seconds: float
) -> None:
    async with httpx.AsyncClient(
        base_url=address, timeout=30, limits=httpx.Limits(max_connections=None)
    ) as client:
        for browser in browsers:  # a first visit makes the profile
            await client.get("/settings", headers=HTML, cookies=browser.cookies)
        sending = [asyncio.create_task(browser.send_events(client)) for browser in browsers]
        limit = time.monotonic() + WAIT_SECONDS
        while min(browser.count for browser in browsers) < 1 and time.monotonic() < limit:
            await asyncio.sleep(0.05)
        await asyncio.sleep(seconds)
        kill()
        for result in await asyncio.gather(*sending, return_exceptions=True):
            if isinstance(result, BaseException):
                raise result


def main() -> None:
    """Kill, look, start again; print what was lost, and one JSON line."""
    parser = build_module_parser("benchmarks.kills", __doc__)
    parser.add_argument("--kills", type=int, default=200, help="times that the app is killed (default: 200)")
    parser.add_argument("--seed", type=int, default=0, help="the same seed draws the same events")
    options = parser.parse_args()
    rng, counted, lost, damaged = random.Random(options.seed), Counter[str](), 0, 0
    began = time.monotonic()
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:  # workers of the killed end later
        data = Path(folder)
        for number in range(1, options.kills + 1):
            browsers = [SendingBrowser(kind, random.Random(rng.random())) for kind in KINDS]
            server, address = start(APP, data)
            asyncio.run(_play(address, browsers, server.kill, rng.uniform(0, LONGEST_SECONDS)))
            server.wait()
            _take_back_unfinished(data)
            for browser in browsers:
                counted[browser.kind] += browser.count
                counted["undo"] += browser.undone
                for loss in find_losses(data, browser):
                    lost += 1
                    print(f"kill {number}, {browser.kind}: {loss}", flush=True)
            if not is_whole(data):
                damaged += 1
                print(f"kill {number}: the database is damaged", flush=True)
            if number % 20 == 0:
                print(f"{number} kills, {sum(counted.values())} acknowledged, {lost} lost", flush=True)
    minutes = (time.monotonic() - began) / 60
    print(json.dumps({"kills": options.kills, "acknowledged": counted, "lost": lost, "damaged": damaged}))
    print(f"{minutes:.0f} min, load {os.getloadavg()[0]:.1f}")
    sys.exit(bool(lost or damaged))


if __name__ == "__main__":
    main()
