"""One small way to drive three browser engines, each with what a distribution's package brings.

Chromium is driven by Playwright, Firefox by WebDriver BiDi over a WebSocket, WebKit (Safari's engine) by
WebDriver over HTTP. Both WebDriver protocols take the same actions (w3.org/TR/webdriver2, actions).
Presses are real ones: the pointer goes to the middle of the element, keys go to what has the focus.
"""

import json
import re
import shutil
import socket
import subprocess
import time
from abc import ABC, abstractmethod
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import httpx
from playwright.sync_api import Error, Playwright
from websockets.sync.client import connect

from tests.browser.chromium import PAGE_IS_THERE, BrowserMissingError, launch_chromium

WIDTH, HEIGHT = 1280, 900
WAIT_SECONDS = 90
START_SECONDS = 120
STAYS_SECONDS = 0.3
ANSWER_SECONDS = 240  # a browser on a machine that many share
KEY_CODES = {"Enter": "\ue007", "Escape": "\ue00c", "Tab": "\ue004", "Space": " "}
MINI_BROWSERS = "/usr/lib/*/webkit2gtk-4.1/MiniBrowser"

FIND = """((css, words) => {
  const shown = (each) => each.getClientRects().length && getComputedStyle(each).visibility !== 'hidden';
  const fits = (each) => shown(each) && each.innerText.replaceAll('\\u00a0', ' ').includes(words);
  const found = [...document.querySelectorAll(css)].find(fits);
  if (!found) return null;
  found.scrollIntoView({ block: 'center', behavior: 'instant' });
  const box = found.getBoundingClientRect();
  return [Math.round(box.x + box.width / 2), Math.round(box.y + box.height / 2)];
})"""

RECORD_FAULTS = """(() => {
  if (window.__faults) return true;
  window.__faults = [];
  window.addEventListener('error', (event) => window.__faults.push(event.message));
  window.addEventListener('unhandledrejection', (event) => window.__faults.push(String(event.reason)));
  return true;
})()"""


class Engine(ABC):
    """A window of one engine."""

    @abstractmethod
    def go(self, address: str) -> None:
        """Start to load an address."""

    @abstractmethod
    def evaluate(self, expression: str) -> Any:
        """Return the value of a JavaScript expression, which JSON can hold."""

    @abstractmethod
    def tap(self, x: int, y: int) -> None:
        """Press and release the main button at a point of the window, in CSS pixels."""

    @abstractmethod
    def press(self, key: str) -> None:
        """Press and release a key, named as in `KEY_CODES` or one character."""

    @abstractmethod
    def close(self) -> None:
        """Close the window and end the browser."""

    def open(self, address: str) -> None:
        """Load a page of the app and wait until its content is there."""
        self.go(address)
        self.wait_until(f"location.href.startsWith({json.dumps(address)})")
        self.settle()

    def settle(self) -> None:
        """Wait until the content of the page is there."""
        self.wait_until(PAGE_IS_THERE)
        self.evaluate(RECORD_FAULTS)

    def wait_until(self, expression: str, *, seconds: float = WAIT_SECONDS) -> None:
        """Wait until an expression is true, or an element. Raises AssertionError after `seconds`."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            if self.evaluate(f"Boolean({expression})"):
                return
            time.sleep(0.1)
        text = self.evaluate("document.querySelector('#main')?.innerText.slice(0, 600)")
        raise AssertionError(f"Not true within {seconds} s: {expression}. The page shows: {text}")

    def wait_for_text(self, words: str, css: str = "#main", *, seconds: float = WAIT_SECONDS) -> None:
        """Wait until an element contains these words."""
        # A number and its unit are held together by a space that no line breaks at.
        inner = f"document.querySelector({json.dumps(css)})?.innerText.replaceAll('\\u00a0', ' ')"
        self.wait_until(f"{inner}?.includes({json.dumps(words)})", seconds=seconds)

    def click(self, css: str, words: str = "") -> None:
        """Press the first visible element that matches and contains these words, once it stays in its place:
        an answer on its way would move it from under the pointer.
        """
        find = f"{FIND}({json.dumps(css)}, {json.dumps(words)})"
        self.wait_until(find)
        place = None
        while place is None or place != self.evaluate(find):
            place = self.evaluate(find)
            time.sleep(STAYS_SECONDS)
        self.tap(*place)

    def choose(self, css: str, value: str) -> None:
        """Choose an option of a list; the list itself is drawn by the system, where no driver reaches it."""
        self.evaluate(
            f"((list) => {{ list.value = {json.dumps(value)};"
            " for (const kind of ['input', 'change'])"
            " list.dispatchEvent(new Event(kind, { bubbles: true }));"
            f" return true; }})(document.querySelector({json.dumps(css)}))"
        )

    def faults(self) -> list[str]:
        """Return the errors that scripts of this page have raised since its content came."""
        return list(self.evaluate("window.__faults || []"))


class Chromium(Engine):
    """Through Playwright."""

    def __init__(self, playwright: Playwright) -> None:
        self._browser = launch_chromium(playwright)
        self._page = self._browser.new_page(viewport={"width": WIDTH, "height": HEIGHT})

    def go(self, address: str) -> None:
        self._page.goto(address, wait_until="commit")

    def evaluate(self, expression: str) -> Any:
        try:
            return self._page.evaluate(expression)
        except Error as error:  # a link has just been pressed: the next page answers
            if "Execution context was destroyed" not in str(error):
                raise
            self._page.wait_for_load_state("domcontentloaded")
            return self._page.evaluate(expression)

    def tap(self, x: int, y: int) -> None:
        self._page.mouse.click(x, y)

    def press(self, key: str) -> None:
        self._page.keyboard.press(key)

    def close(self) -> None:
        self._browser.close()


class _WebDriver(Engine):
    """What BiDi and WebDriver over HTTP have in common: the form of actions and of results."""

    @abstractmethod
    def _perform(self, actions: list[dict[str, Any]]) -> None: ...

    def tap(self, x: int, y: int) -> None:
        moves = [
            {"type": "pointerMove", "x": x, "y": y, "origin": "viewport", "duration": 0},
            {"type": "pointerDown", "button": 0},
            {"type": "pointerUp", "button": 0},
        ]
        mouse = {"pointerType": "mouse"}
        self._perform([{"type": "pointer", "id": "mouse", "parameters": mouse, "actions": moves}])

    def press(self, key: str) -> None:
        code = KEY_CODES.get(key, key)
        keys = [{"type": "keyDown", "value": code}, {"type": "keyUp", "value": code}]
        self._perform([{"type": "key", "id": "keys", "actions": keys}])


class Firefox(_WebDriver):
    """Through WebDriver BiDi, https://www.w3.org/TR/webdriver-bidi/, which Firefox itself speaks."""

    def __init__(self) -> None:
        found = shutil.which("firefox-esr") or shutil.which("firefox")
        if found is None:
            raise BrowserMissingError("Firefox is missing: sudo apt-get install firefox-esr")
        self._opened = ExitStack()
        folder = TemporaryDirectory(prefix="firefox-", ignore_cleanup_errors=True)
        profile = self._opened.enter_context(folder)
        self._process = subprocess.Popen(
            [
                found,
                "--headless",
                "--no-remote",
                "--profile",
                profile,
                "--remote-debugging-port",
                "0",
            ],
            stderr=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            text=True,
        )
        assert self._process.stderr is not None
        said = (re.search(r"BiDi listening on (ws://\S+)", line) for line in self._process.stderr)
        address = next(match[1] for match in said if match)
        window = connect(f"{address}/session", max_size=None, open_timeout=START_SECONDS)
        self._socket = self._opened.enter_context(window)
        self._number = 0
        self._send("session.new", {"capabilities": {}})
        self._context = self._send("browsingContext.getTree", {})["contexts"][0]["context"]
        viewport = {"width": WIDTH, "height": HEIGHT}
        self._send("browsingContext.setViewport", {"context": self._context, "viewport": viewport})

    def _send(self, method: str, parameters: dict[str, Any]) -> Any:
        """Send a command and return its result; events that come between are left out."""
        self._number += 1
        self._socket.send(json.dumps({"id": self._number, "method": method, "params": parameters}))
        while True:
            answer = json.loads(self._socket.recv(timeout=ANSWER_SECONDS))
            if answer.get("id") != self._number:
                continue
            if answer["type"] == "error":
                raise AssertionError(f"{method}: {answer['error']}: {answer['message']}")
            return answer["result"]

    def go(self, address: str) -> None:
        wanted = {"context": self._context, "url": address, "wait": "interactive"}
        self._send("browsingContext.navigate", wanted)

    def evaluate(self, expression: str) -> Any:
        wanted = {
            "expression": f"JSON.stringify({expression})",
            "target": {"context": self._context},
            "awaitPromise": True,
        }
        answer = self._send("script.evaluate", wanted)
        if answer["type"] == "exception":
            raise AssertionError(answer["exceptionDetails"]["text"])
        return json.loads(answer["result"].get("value", "null"))

    def _perform(self, actions: list[dict[str, Any]]) -> None:
        self._send("input.performActions", {"context": self._context, "actions": actions})

    def close(self) -> None:
        self._send("browser.close", {})
        self._process.wait(timeout=60)
        assert self._process.stderr is not None
        self._process.stderr.close()
        self._opened.close()


class WebKit(_WebDriver):
    """WebKitGTK's small browser through WebDriver, on a display that nobody sees."""

    def __init__(self) -> None:
        browser = next((str(path) for path in Path("/").glob(MINI_BROWSERS.lstrip("/"))), None)
        driver, display = shutil.which("WebKitWebDriver"), shutil.which("xvfb-run")
        if browser is None or driver is None or display is None:
            raise BrowserMissingError("WebKit is missing: sudo apt-get install webkit2gtk-driver xvfb xauth")
        port = _free_port()
        self._process = subprocess.Popen(
            [display, "--auto-servernum", driver, f"--port={port}"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self._http = httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=START_SECONDS, trust_env=False)
        _wait_for_port(port)
        options = {"webkitgtk:browserOptions": {"binary": browser, "args": ["--automation"]}}
        self._session = self._post("/session", {"capabilities": {"alwaysMatch": options}})["sessionId"]
        self._post(f"/session/{self._session}/window/rect", {"width": WIDTH, "height": HEIGHT})

    def _post(self, path: str, body: dict[str, Any]) -> Any:
        answer = self._http.post(path, json=body)
        value = answer.json()["value"]
        if answer.is_error:
            raise AssertionError(f"{path}: {value['error']}: {value['message']}")
        return value

    def go(self, address: str) -> None:
        self._post(f"/session/{self._session}/url", {"url": address})

    def evaluate(self, expression: str) -> Any:
        script = {"script": f"return JSON.stringify({expression})", "args": []}
        return json.loads(self._post(f"/session/{self._session}/execute/sync", script) or "null")

    def _perform(self, actions: list[dict[str, Any]]) -> None:
        self._post(f"/session/{self._session}/actions", {"actions": actions})

    def close(self) -> None:
        self._http.delete(f"/session/{self._session}")
        self._http.close()
        subprocess.run(["pkill", "--session", str(self._process.pid)], check=False)
        self._process.wait(timeout=30)


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


def _wait_for_port(port: int) -> None:
    end = time.monotonic() + START_SECONDS
    while time.monotonic() < end:
        with socket.socket() as one:
            if one.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.1)
    raise AssertionError(f"WebKitWebDriver did not open port {port} within {START_SECONDS} s")
