"""Page weight and time to interactive of every page of the app, as a table.

    python -m benchmarks.page_weight [--rounds 3]

Cold is a browser with an empty cache, warm the same browser opening the page again. Bytes are those on the
wire, response headers included, as Chromium counts them. Interactive is the first moment at which the page's
content is loaded, the script behind its controls has run, and a frame has been drawn since; measured from the
start of the navigation, the median of all rounds.
"""

import json
import shutil
import statistics
import tempfile
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Browser, BrowserContext, sync_playwright

from benchmarks.app_process import running
from benchmarks.load import APP
from benchmarks.pages import CHROMIUM, FLAGS
from lora_lab.settings.urls import LAB_PAGES
from study.base.command_line import build_module_parser
from study.content.concepts import build_concept_address
from study.learner.study_modes import STUDY_MODES

CONCEPT = "nf4"
PATHS = (
    *("/", "/learn", "/cards", "/quiz", "/explain", "/progress", "/review", "/settings", "/browse", "/io"),
    *("/figures", "/figures?figure=lora-to-scale", "/projects", "/projects?id=merge-it"),
    *(address for _, views in LAB_PAGES for _, address in views),
    *(build_concept_address(CONCEPT, mode) for mode in STUDY_MODES),
)
KINDS = {"Script": "JS", "Stylesheet": "CSS", "Font": "fonts"}
COLUMNS = ("HTML and data", "JS", "CSS", "fonts")
WAIT_MS = 60_000
LATE_REQUESTS_MS = 700  # late requests of a ready page; its event stream never ends, so it is never idle

WATCH = """(() => {
  const look = () => {
    const main = document.querySelector('#main');
    const wired = Object.keys(window.__islands || {}).length > 0;
    if (!main || !wired || document.querySelector('[data-waiting]')) return void requestAnimationFrame(look);
    requestAnimationFrame(() => setTimeout(() => { window.__interactive = performance.now(); }));
  };
  look();
})();"""


@dataclass(frozen=True, kw_only=True)
class PageLoad:
    """The measurements of one page load."""

    bytes_of: dict[str, int]
    requests: int
    interactive_ms: float

    @property
    def total_bytes(self) -> int:
        """All bytes on the wire."""
        return sum(self.bytes_of.values())


def main() -> None:
    """Print the table, then one JSON line."""
    parser = build_module_parser("benchmarks.page_weight", __doc__)
    parser.add_argument("--rounds", type=int, default=3)
    rounds = parser.parse_args().rounds
    with (
        tempfile.TemporaryDirectory() as data,
        running(APP, Path(data)) as (_, address),
        sync_playwright() as playwright,
    ):
        chromium = next(found for name in CHROMIUM if (found := shutil.which(name)))
        browser = playwright.chromium.launch(executable_path=chromium, args=FLAGS)
        _open_twice(browser, address + PATHS[0])  # warms up the server
        opened = {path: [_open_twice(browser, address + path) for _ in range(rounds)] for path in PATHS}
        browser.close()
    _print(opened)


def _open_twice(browser: Browser, address: str) -> tuple[PageLoad, PageLoad]:
    context = browser.new_context()
    cold, warm = _open(context, address), _open(context, address)
    context.close()
    return cold, warm


def _open(context: BrowserContext, address: str) -> PageLoad:
    page = context.new_page()
    page.add_init_script(WATCH)
    devtools = context.new_cdp_session(page)
    kinds: dict[str, str] = {}
    sizes: dict[str, int] = defaultdict(int)
    wired: list[str] = []

    def note_received(event: dict[str, Any]) -> None:
        kinds[event["requestId"]] = KINDS.get(event["type"], COLUMNS[0])
        if not event["response"].get("fromDiskCache"):
            wired.append(event["requestId"])

    def note_finished(event: dict[str, Any]) -> None:
        sizes[kinds.get(event["requestId"], COLUMNS[0])] += int(event["encodedDataLength"])

    devtools.on("Network.responseReceived", note_received)
    devtools.on("Network.loadingFinished", note_finished)
    devtools.send("Network.enable")
    page.goto(address)
    page.wait_for_function("window.__interactive", timeout=WAIT_MS)
    page.wait_for_timeout(LATE_REQUESTS_MS)
    interactive = page.evaluate("window.__interactive")
    page.close()
    return PageLoad(bytes_of=dict(sizes), requests=len(wired), interactive_ms=interactive)


def _print(found: dict[str, list[tuple[PageLoad, PageLoad]]]) -> None:
    ends = ("requests", "interactive, ms")
    heads = ("page", "cold, kB", *COLUMNS, *ends, "warm, kB", *ends)
    print("| " + " | ".join(heads) + " |")
    print("|---" * len(heads) + "|")
    for path, rounds in found.items():
        cold, warm = rounds[-1]
        cold_ms, warm_ms = (statistics.median(one[at].interactive_ms for one in rounds) for at in (0, 1))
        row = [
            f"`{path}`",
            _format_kb(cold.total_bytes),
            *(_format_kb(cold.bytes_of.get(kind, 0)) for kind in COLUMNS),
            str(cold.requests),
            f"{cold_ms:,.0f}",
            _format_kb(warm.total_bytes),
            str(warm.requests),
            f"{warm_ms:,.0f}",
        ]
        print("| " + " | ".join(row) + " |")
    numbers = {
        path: {
            name: {**each.bytes_of, "requests": each.requests, "interactive_ms": round(each.interactive_ms)}
            for name, each in zip(("cold", "warm"), rounds[-1], strict=True)
        }
        for path, rounds in found.items()
    }
    print(json.dumps(numbers))


def _format_kb(size_bytes: int) -> str:
    return f"{size_bytes / 1000:,.0f}"


if __name__ == "__main__":
    main()
