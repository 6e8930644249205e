"""Pictures of every page at three widths, light and dark, from a real app and real runs: `make screenshots`.

    python -m tests.browser.screenshots [--out FOLDER] [--readme] [--concepts]

`--readme` also makes the README's picture of the lab. `--concepts` takes the pages of all concepts instead:
Learn and Visualize of each, and every study mode of a few (`make screenshots ARGS=--concepts`).
"""

import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path

from playwright.sync_api import Browser, Page, sync_playwright

from benchmarks.app_process import start
from study.base.command_line import build_module_parser
from study.base.settings import ROOT
from study.content.concepts import build_concept_address, load_concepts
from study.learner.study_modes import STUDY_MODES, StudyMode
from tests.browser.chromium import PAGE_IS_THERE, launch_chromium

WIDTHS = {1280: 900, 390: 844, 1920: 1080}
RUN_MS = 300_000

MODES_OF_EACH: tuple[StudyMode, ...] = ("learn", "visualize")
IN_ALL_MODES = ("lora-rank", "nf4", "activation-memory", "quantized-merging", "training-step")
"""One concept of each kind: long formulas, tables of numbers, wide listings."""


def flip(page: Page) -> None:
    """The back of a card."""
    page.keyboard.press("Space")
    page.wait_for_selector("#answer")


def answer(page: Page) -> None:
    """A question with its feedback."""
    page.get_by_label("Topic").select_option("lora")
    page.get_by_role("button", name="Start").click()
    page.locator(".option").first.click()
    page.get_by_role("button", name="Check answer").click()
    page.wait_for_selector("#next")


def plots(page: Page) -> None:
    """The lab once its plots are drawn."""
    page.wait_for_selector("figure.plot")


def result(page: Page) -> None:
    """The newest run, in the form's place."""
    plots(page)
    page.locator("summary", has_text="Earlier runs").click()
    page.locator("table.runs th a").first.click()
    page.wait_for_selector("#next-experiment")
    page.wait_for_selector("figure.plot", state="attached")  # in the same answer: the run for this width


def guess(page: Page) -> None:
    """The lab while the figures are hidden, and the data as the model sees it."""
    plots(page)
    page.locator("details.seen > summary").click()
    page.locator("#predict").click()
    page.wait_for_selector("#guess-percent")


def tick(page: Page) -> None:
    """Two runs beside each other."""
    for box in page.locator("input[name=runs]").all()[:2]:
        box.check()
    page.wait_for_selector("#compare-speed svg")


def xray(page: Page) -> None:
    """Two adapters of the embedded model beside each other."""
    ours = [
        option.get_attribute("value")
        for option in page.locator("#xray-run option").all()
        if "smollm2" in option.inner_text()
    ]
    page.locator("#xray-run").select_option(ours[0])
    page.wait_for_url(f"**run={ours[0]}**")
    if page.locator("#start-xray").count():
        page.locator("#start-xray").click()
    page.wait_for_selector("#plot-xray-values svg", timeout=RUN_MS)
    page.locator("#xray-with").select_option(ours[1])
    page.wait_for_selector("#plot-xray-overlap svg", timeout=RUN_MS)


def look(page: Page) -> None:
    """The microscope with a guess and all it measured; the first time that takes a minute or two."""
    page.get_by_role("radio", name="NF4, blocks of 64").check()
    page.get_by_label("How much does the held-out loss rise").fill("0.1")
    page.get_by_role("button", name="Keep my guess and look").click()
    page.wait_for_selector("#panel-losses", timeout=RUN_MS)
    page.wait_for_function("!document.querySelector('#found .progress')", timeout=RUN_MS)


def explain(page: Page) -> None:
    """An explanation with its verdicts."""
    page.locator("#answer").fill(
        "The pretrained weights are frozen. All of the parameters are trained, so it takes more memory."
    )
    page.get_by_role("button", name="Compare with the concepts").click()
    page.wait_for_selector("#result", timeout=RUN_MS)


def nothing(page: Page) -> None:
    """The page as it opens."""


PAGES: dict[str, tuple[str, Callable[[Page], None]]] = {
    "newcomer": ("/", nothing),
    "learn": ("/learn", nothing),
    **{
        f"concept-{mode}": (f"/concept?id=lora-rank&mode={mode}", nothing)
        for mode in ("learn", "why", "deep", "visualize", "metrics", "review", "try", "project")
    },
    "projects": ("/projects", nothing),
    "project": ("/projects?id=does-rank-matter", nothing),
    "figures": ("/figures", nothing),
    "cards-front": ("/cards", nothing),
    "cards-back": ("/cards", flip),
    "quiz-start": ("/quiz", nothing),
    "quiz-feedback": ("/quiz", answer),
    "explain": ("/explain", nothing),
    "explain-prompt": ("/explain?prompt=explain-lora", nothing),
    "explain-verdicts": ("/explain?prompt=explain-lora", explain),
    "explain-own": ("/explain?own=new", nothing),
    "introduction": ("/start", nothing),
    "reference": ("/reference", nothing),
    "practise": ("/practise", nothing),
    "tasks": ("/tasks", nothing),
    "browse": ("/browse", nothing),
    "progress": ("/progress", nothing),
    "import-and-export": ("/io", nothing),
    "review": ("/review", nothing),
    "settings": ("/settings", nothing),
    "lab": ("/lab", plots),
    "lab-result": ("/lab", result),
    "lab-from-a-concept": ("/lab?from=lora-rank", plots),
    "grid": ("/grid", plots),
    "lab-prediction": ("/lab", guess),
    "compare": ("/compare", tick),
    "xray": ("/xray", xray),
    "microscope": ("/microscope", nothing),
    "microscope-found": ("/microscope?second=nf4-dq", look),
    "claims": ("/claims?example=llama3-attention", nothing),
    "models": ("/models", nothing),
    "papers": ("/papers", nothing),
    "memory": ("/memory", nothing),
    "memory-too-large": ("/memory?gpu=8&batch=4", nothing),
    "today": ("/", nothing),
    "lab-projector": ("/lab?view=projector", plots),  # last: the view stays for the rest of a session
}


def concept_pages() -> dict[str, tuple[str, Callable[[Page], None]]]:
    """Every concept in the modes that are most its own, and some concepts in all nine."""
    return {
        f"{concept}-{mode}": (build_concept_address(concept, mode), nothing)
        for concept in load_concepts().by_id
        for mode in (STUDY_MODES if concept in IN_ALL_MODES else MODES_OF_EACH)
    }


def main() -> None:
    """Make all pictures; pages that log an error or are wider than the window are named at the end."""
    parser = build_module_parser("tests.browser.screenshots", __doc__)
    parser.add_argument("--out", type=Path, default=ROOT / ".cache" / "screenshots")
    parser.add_argument("--readme", action="store_true")
    parser.add_argument("--concepts", action="store_true")
    options = parser.parse_args()
    options.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as data, sync_playwright() as playwright:
        if not options.concepts:
            train(Path(data))
        pages = concept_pages() if options.concepts else PAGES
        server, address = start(["app.py"], Path(data))
        browser = launch_chromium(playwright)
        faults: list[str] = []
        try:
            for width, height in WIDTHS.items():
                for scheme in ("light", "dark"):
                    faults += visit(browser, address, pages, options.out, (width, height), scheme)
            if options.readme:
                picture_of_the_lab(browser, address, ROOT / "docs" / "lab.png")
        finally:
            browser.close()
            server.terminate()
            server.wait(timeout=60)
    if faults:
        raise SystemExit("\n".join(faults))


def train(data: Path) -> None:
    """The quick demo, at two ranks and in two bit widths, so that plots have measured points; and a grid."""
    for settings in ([], ["--rank", "32"], ["--bits", "bf16"]):
        command = [sys.executable, "-m", "lora_lab", "train", "--steps", "10", "--data-folder", str(data)]
        subprocess.run([*command, *settings], cwd=ROOT, check=True)
    lists = ["--ranks", "2,8,32", "--bits", "nf4,bf16", "--seeds", "0,1,2"]
    command = [sys.executable, "-m", "lora_lab", "sweep", "--model", "tiny-random", "--steps", "5", *lists]
    subprocess.run([*command, "--data-folder", str(data)], cwd=ROOT, check=True)


def visit(
    browser: Browser,
    address: str,
    pages: Mapping[str, tuple[str, Callable[[Page], None]]],
    out: Path,
    size: tuple[int, int],
    scheme: str,
) -> list[str]:
    """All pages as one person sees them, in this order, so that Today has something to show at the end.

    Returns what is wrong with them, a line each.
    """
    faults: list[str] = []
    width, height = size
    context = browser.new_context(
        viewport={"width": width, "height": height},
        color_scheme="dark" if scheme == "dark" else "light",
        reduced_motion="reduce",
    )
    page = context.new_page()
    page.on(
        "console", lambda said: faults.append(f"{page.url}: {said.text}") if said.type == "error" else None
    )
    for name, (path, go_on) in pages.items():
        page.goto(address + path)
        page.wait_for_function(PAGE_IS_THERE)
        go_on(page)
        page.screenshot(path=out / f"{name}-{width}-{scheme}.png", full_page=True)
        wide = page.evaluate("document.documentElement.scrollWidth")
        if wide > width:
            faults.append(f"{name} at {width} px, {scheme}: {wide} px wide")
    context.close()
    return faults


def picture_of_the_lab(browser: Browser, address: str, file: Path) -> None:
    """The lab's first screen: the form beside its two charts, with measured points on them."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, reduced_motion="reduce")
    page = context.new_page()
    page.goto(f"{address}/lab")
    page.wait_for_selector("#plot-memory-by-rank svg")
    page.screenshot(path=file)
    context.close()


if __name__ == "__main__":
    main()
