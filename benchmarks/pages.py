"""Benchmark of the app's start-up and page times: first page, ready worker, first training step.

    python -m benchmarks.pages

Wall seconds on this machine; run it on a quiet one. Targets are in docs/performance.md.
"""

import json
import shutil
import statistics
import tempfile
import time
import urllib.request
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from benchmarks.app_process import running
from lora_lab.data.lab_folder import LabHome
from lora_lab.runs.events import read_events
from lora_lab.worker.model.load import prepare_embedded
from study.base.settings import load_settings

CHROMIUM = ("chromium-headless-shell", "chromium", "chromium-browser", "google-chrome", "chrome")
FLAGS = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
WAIT_SECONDS = 120
PAGES = (
    "/", "/learn", "/concept?id=lora-rank", "/projects", "/figures",
    "/cards", "/quiz", "/explain", "/lab", "/grid",
)  # fmt: skip
REPEATS = 8

# One step of a figure's first slider: ms until the new numbers are in the page, and until they are drawn.
MOVE_A_SLIDER = """async (id) => {
  const figure = document.querySelector(`[data-figure="${id}"]`);
  const slider = figure.querySelector('input[type=range]');
  const shown = figure.querySelector('[data-figure-shown]');
  const changed = new Promise((done) => new MutationObserver(done).observe(shown, { childList: true }));
  const begun = performance.now();
  slider.value = slider.value === slider.max ? slider.min : Number(slider.value) + 1;
  slider.dispatchEvent(new Event('input', { bubbles: true }));
  await changed;
  const number = performance.now() - begun;
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  return [number, performance.now() - begun];
}"""

# The Lab's rank, moved by its slider: ms until its number is in the page, and until all plots are drawn.
MOVE_THE_RANK = """async (rank) => {
  const shows = (css, words) => document.querySelector(css)?.textContent.includes(words);
  const until = (there) => new Promise((done) => {
    const watch = new MutationObserver(() => { if (there()) { watch.disconnect(); done(); } });
    watch.observe(document.body, { childList: true, subtree: true, characterData: true });
  });
  const number = until(() => shows('#formula', ` × ${rank} × `));
  const plots = until(() => shows('#plot-parameters-by-rank h3', `Rank ${rank} `));
  const slider = document.querySelector('[data-drives="rank"]');
  const begun = performance.now();
  slider.value = Math.log2(rank);
  slider.dispatchEvent(new Event('input', { bubbles: true }));
  await number;
  const took = performance.now() - begun;
  await plots;
  await new Promise((done) => requestAnimationFrame(() => requestAnimationFrame(done)));
  return [took, performance.now() - begun];
}"""


def main() -> None:
    """Print each measurement, then one JSON line."""
    prepare_embedded(load_settings().models_dir)
    with tempfile.TemporaryDirectory() as folder:
        data = Path(folder)
        begun = time.perf_counter()
        with running(["app.py"], data) as (server, address):
            figures = _measure(server.pid, address, data, begun)
    for name, value in figures.items():
        print(f"{name:44}{value:8.2f}")
    print(json.dumps(figures))


def _measure(server_pid: int, address: str, data: Path, begun: float) -> dict[str, float]:
    with urllib.request.urlopen(address) as answer:
        answer.read()
    figures = {"command to first page, s": time.perf_counter() - begun}
    _wait_until_ready(LabHome(data))
    figures["command to ready worker, s"] = time.perf_counter() - begun
    maps = Path(f"/proc/{server_pid}/maps")
    if maps.exists():
        figures["torch loaded in the page process, 0 or 1"] = float("libtorch" in maps.read_text())
    with sync_playwright() as playwright:
        path = next(found for name in CHROMIUM if (found := shutil.which(name)))
        browser = playwright.chromium.launch(executable_path=path, args=FLAGS)
        page = browser.new_page()
        figures |= {f"open {name}, s": _open(page, address + name) for name in PAGES}
        figures |= _measure_figure_events(page, address)
        figures |= _measure_lab_events(page, address, data)
        figures |= _measure_grid_events(page, address)
        figures |= _measure_card_events(page, address)
        browser.close()
    return figures


def _wait_until_ready(home: LabHome) -> None:
    limit = time.monotonic() + WAIT_SECONDS
    while home.read_worker_state()["state"] != "ready":
        if time.monotonic() > limit:
            raise SystemExit(f"The worker was not ready within {WAIT_SECONDS} s.")
        time.sleep(0.02)


def _open(page: Page, address: str) -> float:
    begun = time.perf_counter()
    page.goto(address)
    page.wait_for_function("document.querySelector('#main') && !document.querySelector('[data-waiting]')")
    return time.perf_counter() - begun


def _measure_figure_events(page: Page, address: str) -> dict[str, float]:
    """Measure every live figure with a slider: median and worst of all moves."""
    _open(page, f"{address}/figures")
    names = page.evaluate(
        "[...document.querySelectorAll('[data-figure]:has(input[type=range])')].map((f) => f.dataset.figure)"
    )
    moves = [page.evaluate(MOVE_A_SLIDER, name) for name in names for _ in range(REPEATS)]
    numbers, pictures = zip(*moves, strict=True)
    return {
        "figure slider to number, median ms": statistics.median(numbers),
        "figure slider to number, worst ms": max(numbers),
        "figure slider to picture, median ms": statistics.median(pictures),
        "figure slider to picture, worst ms": max(pictures),
    }


def _measure_lab_events(page: Page, address: str, data: Path) -> dict[str, float]:
    page.goto(f"{address}/lab")
    page.wait_for_selector("figure.plot")
    moves = [page.evaluate(MOVE_THE_RANK, rank) for rank in range(10, 10 + REPEATS)]
    numbers, plots = zip(*moves, strict=True)
    page.fill("#rank", "8")
    page.get_by_role("button", name="Start training").click()
    page.wait_for_selector("#stop")
    run = next(path for path in sorted((data / "runs").iterdir()) if path.name[0].isdigit())
    return {
        "rank to number, median ms": statistics.median(numbers),
        "rank to plots, median ms": statistics.median(plots),
        "Start to first step done, s": _wait_for_first_step(run),
    }


def _measure_grid_events(page: Page, address: str) -> dict[str, float]:
    """Measure the time from a typed list to the count, time and memory of 60 cells."""
    _open(page, f"{address}/grid?bits=nf4-dq,nf4,int8,bf16&seeds=0,1,2")
    took = []
    for rank in range(10, 10 + REPEATS):
        begun = time.perf_counter()
        page.fill("#ranks", f"1, 2, 4, 8, {rank}")
        page.wait_for_function(
            "r => document.querySelector('table.peaks thead')?.textContent.includes(`r=${r}`)", arg=rank
        )
        took.append(time.perf_counter() - begun)
    return {"list of 60 cells to cost, median ms": 1000 * statistics.median(took)}


def _wait_for_first_step(run: Path) -> float:
    limit = time.monotonic() + WAIT_SECONDS
    while time.monotonic() < limit:
        events: list[dict[str, Any]] = read_events(run / "events.jsonl")[0]
        steps = [event["at"] for event in events if event["kind"] == "step"]
        if steps:
            return float(steps[0] - events[0]["at"])
        time.sleep(0.05)
    raise SystemExit("The run did not step.")


def _measure_card_events(page: Page, address: str) -> dict[str, float]:
    _open(page, f"{address}/cards")
    took = []
    for _ in range(REPEATS):
        page.keyboard.press("Space")
        page.wait_for_selector("#answer")
        begun = time.perf_counter()
        page.keyboard.press("3")
        page.wait_for_selector("#answer", state="detached")
        took.append(time.perf_counter() - begun)
    return {"rating to next card, median ms": 1000 * statistics.median(took)}


if __name__ == "__main__":
    main()
