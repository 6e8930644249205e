"""A real Chromium and real apps: some for all tests, others for one module; a browser profile a test."""

import os
import queue
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from study.base.settings import ROOT
from tests.browser.chromium import PAGE_IS_THERE, launch_chromium
from tests.browser.classrooms import Classroom
from tests.browser.finished_runs import copy_runs, record_runs

START_SECONDS = 180
ENDED = ""
"""What stands for the end of the output: a line has its line break at least."""

# The machine may be busy: what is waited for takes 50 ms on a quiet one.
expect.set_options(timeout=15_000)


@dataclass
class Visitor:
    """A person at a browser, and everything that went wrong behind their back."""

    page: Page
    address: str
    problems: list[str] = field(default_factory=list)

    def open(self, path: str) -> Page:
        """Open a page of the app and wait until its content has come."""
        self.page.goto(self.address + path)
        self.settled()
        return self.page

    def answer_who(self) -> None:
        """Answer "Who are you?", which every page asks where the app has profiles already."""
        new_here = self.page.get_by_role("button", name="I am new here")
        if new_here.count():
            new_here.click()
            expect(new_here).to_have_count(0)

    def choose_letters(self, size: str) -> None:
        """Have chosen the size of letters in an earlier visit: a page finds it stored."""
        self.page.goto(f"{self.address}/theme.css")
        self.page.evaluate("size => localStorage.setItem('text-size', size)", size)

    def settled(self) -> None:
        """Wait until the content of the page is there."""
        self.page.wait_for_function(PAGE_IS_THERE)

    def watch(self) -> None:
        """Record console errors, crashes, and requests that leave this app."""
        self.page.on("console", self._on_console)
        self.page.on("pageerror", self._on_crash)
        self.page.on("request", self._on_request)

    def forgive(self, *expected: str) -> None:
        """Forget the problems that a test brought about itself, such as a cut connection."""
        self.problems = [p for p in self.problems if not any(part in p for part in expected)]

    def _on_console(self, message: Any) -> None:
        if message.type in ("error", "warning"):
            self.problems.append(f"console: {message.text} ({urlsplit(message.location['url']).path})")

    def _on_crash(self, error: Any) -> None:
        self.problems.append(f"crash: {error}")

    def _on_request(self, request: Any) -> None:
        own = urlsplit(self.address).netloc
        if urlsplit(request.url).netloc != own and not request.url.startswith(("data:", "blob:")):
            self.problems.append(f"request to {request.url}")


StartApp = Callable[..., str]
Visit = Callable[..., Visitor]
CopyRuns = Callable[..., list[str]]


@pytest.fixture(scope="session")
def finished_runs(tmp_path_factory: pytest.TempPathFactory) -> CopyRuns:
    """Put real runs of the tiny model, by their names in RECORDED, into a data folder; returns their ids."""
    own = tmp_path_factory.getbasetemp()
    recorded = (own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "recorded-runs"

    def copy(home: Path, *names: str) -> list[str]:
        record_runs(recorded)
        return copy_runs(recorded, home, names)

    return copy


@pytest.fixture(scope="module")
def start_app(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartApp]:
    """Start the app (or another script) on a free port with a data folder of its own; returns its address."""
    with starter(tmp_path_factory) as start:
        yield start


@contextmanager
def starter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StartApp]:
    """Starts apps; ends them all at the end."""
    running: list[subprocess.Popen[str]] = []

    def start(
        *options: str,
        script: str = "app.py",
        folder: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> str:
        data = folder or tmp_path_factory.mktemp("data")
        process, address = launch(data, *options, script=script, environment=environment)
        running.append(process)
        return address

    yield start
    for process in running:
        process.terminate()
    for process in running:
        process.wait(timeout=20)
        assert process.stdout is not None
        process.stdout.close()


def launch(
    folder: Path,
    *options: str,
    script: str = "app.py",
    port: int = 0,
    environment: Mapping[str, str] | None = None,
) -> tuple["subprocess.Popen[str]", str]:
    """Start the app on a data folder, for a test that ends it itself; returns it and its address."""
    inherited = {name: value for name, value in os.environ.items() if name != "DATABASE_URL"}
    process = subprocess.Popen(
        [sys.executable, script, "--port", str(port), "--data-folder", str(folder), *options],
        cwd=ROOT,
        env={**inherited, "PYTHONPATH": str(ROOT), **(environment or {})},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    return process, _address_of(process)


@pytest.fixture(scope="session")
def app_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The study app without a training worker, for all tests: each visitor has a profile of their own.

    A module whose tests change what profiles share (decks, the list of profiles) has one of its own.
    """
    with starter(tmp_path_factory) as start:
        yield start("--no-worker")


@pytest.fixture(scope="session")
def chromium() -> Iterator[Browser]:
    """The system's Chromium."""
    with sync_playwright() as playwright:
        browser = launch_chromium(playwright)
        yield browser
        browser.close()


@pytest.fixture
def visit(chromium: Browser, request: pytest.FixtureRequest) -> Iterator[Visit]:
    """Open a browser profile of its own; what went wrong behind the page fails the test at its end."""
    visitors: list[Visitor] = []
    contexts: list[BrowserContext] = []

    def new(*, address: str = "", width: int = 1280, height: int = 900, **options: Any) -> Visitor:
        address = address or request.getfixturevalue("app_address")
        context = chromium.new_context(viewport={"width": width, "height": height}, **options)
        visitor = Visitor(page=context.new_page(), address=address)
        visitor.watch()
        visitors.append(visitor)
        contexts.append(context)
        return visitor

    yield new
    for context in contexts:
        context.close()
    assert [problem for visitor in visitors for problem in visitor.problems] == []


FORGET = "() => { Storage.prototype.setItem = () => {}; localStorage.clear(); sessionStorage.clear(); }"


class KeptWindows:
    """Windows that tests have left: a new person sits down at each, where the app has been loaded before.

    A page then takes half of the processor time that it takes in a new browser profile.
    """

    def __init__(self, chromium: Browser) -> None:
        self._chromium = chromium
        self._address = ""
        self._free: dict[str, list[Visitor]] = {}

    def take(self, address: str, width: int, height: int, options: Mapping[str, Any]) -> Visitor:
        """A window as a new browser profile would have it."""
        if address != self._address:  # Chromium refuses a left window the scripts of another app
            for each in [visitor for free in self._free.values() for visitor in free]:
                each.page.context.close()
            self._free.clear()
            self._address = address
        free = self._free.setdefault(repr(sorted(options.items())), [])
        if free:
            visitor = free.pop()
        else:
            visitor = Visitor(page=self._chromium.new_context(**options).new_page(), address=address)
            visitor.watch()
        visitor.address, visitor.problems = address, []
        visitor.page.context.clear_cookies()  # here, because a late answer may bring one
        visitor.page.set_viewport_size({"width": width, "height": height})
        visitor.page.mouse.move(-1, -1)
        return visitor

    def leave(self, visitor: Visitor, options: Mapping[str, Any]) -> None:
        """Forget the person: what the page has stored, further tabs, colors that a test has chosen, what it
        has done to the network.
        """
        page = visitor.page
        if visitor.address != self._address:
            page.context.close()
            return
        page.unroute_all(behavior="ignoreErrors")
        page.context.set_offline(False)
        for other in page.context.pages:
            if other != page:
                other.close()
        if page.url.startswith("http"):
            page.evaluate(FORGET)  # and what it would store on leaving
        page.goto("about:blank")
        page.emulate_media(color_scheme=options.get("color_scheme", "light"))
        self._free.setdefault(repr(sorted(options.items())), []).append(visitor)


@pytest.fixture(scope="session")
def kept_windows(chromium: Browser) -> KeptWindows:
    """Of this test process."""
    return KeptWindows(chromium)


@pytest.fixture
def look(kept_windows: KeptWindows, request: pytest.FixtureRequest) -> Iterator[Visit]:
    """Like `visit`, for tests that leave no script or listener of their own in the window."""
    taken: list[tuple[Visitor, dict[str, Any]]] = []

    def new(*, address: str = "", width: int = 1280, height: int = 900, **options: Any) -> Visitor:
        address = address or request.getfixturevalue("app_address")
        taken.append((kept_windows.take(address, width, height, options), options))
        return taken[-1][0]

    yield new
    problems = [problem for visitor, _ in taken for problem in visitor.problems]
    for visitor, options in taken:
        kept_windows.leave(visitor, options)
    assert problems == []


@pytest.fixture(scope="session")
def class_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An app that serves classes, for all tests: each starts a class of its own."""
    with starter(tmp_path_factory) as start:
        yield start("--class", "--no-worker")


@pytest.fixture
def classroom(chromium: Browser, class_address: str) -> Iterator[Classroom]:
    """Browsers of one class; what went wrong in any of them fails the test at its end."""
    made = Classroom(chromium, class_address)
    yield made
    for context in made.contexts:
        context.close()
    assert made.problems == []


def _address_of(process: subprocess.Popen[str]) -> str:
    """Read what the app prints until it says where it is."""
    lines: queue.Queue[str] = queue.Queue()
    assert process.stdout is not None
    threading.Thread(target=_pump, args=(process.stdout, lines), daemon=True).start()
    printed = ""
    while True:
        try:
            line = lines.get(timeout=START_SECONDS)
        except queue.Empty:
            process.kill()
            pytest.fail(f"The app did not start within {START_SECONDS} s. It printed:\n{printed}")
        if line == ENDED:
            pytest.fail(f"The app ended at once. It printed:\n{printed}")
        printed += line
        ready = re.search(r"Ready: (http://\S+)", printed)
        if ready:
            return ready[1]


def _pump(stream: Any, lines: "queue.Queue[str]") -> None:
    with suppress(ValueError):  # closed at the end of the module
        for line in stream:
            lines.put(line)
    lines.put(ENDED)
