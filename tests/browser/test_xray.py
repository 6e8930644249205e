"""The X-ray as a person uses it, by keyboard: start, read, choose a matrix, lay a second run beside it."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from tests.browser.axe import NONE_FOUND, violations_by_theme
from tests.browser.conftest import CopyRuns, StartApp, Visit

pytestmark = pytest.mark.browser

RUN_MS = 120_000


@pytest.fixture(scope="module")
def lab_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("xray")


@pytest.fixture(scope="module")
def run_ids(finished_runs: CopyRuns, lab_folder: Path) -> list[str]:
    """Two real runs of two ranks."""
    return finished_runs(lab_folder, "rank 2", "rank 4")


@pytest.fixture(scope="module")
def address(start_app: StartApp, lab_folder: Path, run_ids: list[str]) -> str:
    """An app whose workers start when they are asked for."""
    return start_app("--no-worker", folder=lab_folder)


def tab_to(page: Page, selector: str) -> None:
    """With the Tab key alone."""
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate("wanted => document.activeElement.matches(wanted)", selector):
            return
    raise AssertionError(f"Tab does not reach {selector}")


def test_an_adapter_is_xrayed_and_compared_by_keyboard_alone(
    look: Visit, address: str, run_ids: list[str]
) -> None:
    page = look(address=address).open(f"/lab?run={run_ids[0]}")
    tab_to(page, f".actions a[href='/xray?run={run_ids[0]}']")
    page.keyboard.press("Enter")
    expect(page.locator("#start-xray")).to_be_visible()
    tab_to(page, "#xray-guess")
    page.keyboard.type("2")
    page.keyboard.press("Enter")
    expect(page.locator("#stop-xray, #plot-xray-values")).not_to_have_count(0)
    expect(page.locator("#plot-xray-values svg")).to_be_visible(timeout=RUN_MS)
    expect(page.locator("#plot-xray-values h3")).to_contain_text(
        re.compile(r"[12] of 2 directions carr(y|ies) 90\s% of the update of q_proj in layer 0")
    )
    expect(page.locator("#main")).to_contain_text("You guessed 2; in the median matrix")
    expect(page.locator("#main .limit")).to_have_count(4)
    expect(page.locator("table.figures", has_text="GPT-3").locator("tbody tr")).to_have_count(7)

    tab_to(page, "#xray-matrix")
    page.keyboard.type("mlp.d")
    expect(page.locator("#plot-xray-values h3")).to_contain_text("down_proj in layer 0")
    expect(page).to_have_url(re.compile(r"matrix=mlp\.down_proj"))
    expect(page.locator("#xray-matrix")).to_be_focused()

    page.locator("#xray-with").focus()
    page.keyboard.type("r=4")
    expect(page.locator("#plot-xray-overlap svg")).to_be_visible(timeout=RUN_MS)
    label = page.locator("#plot-xray-overlap svg").get_attribute("aria-label") or ""
    assert re.search(r"2 and 4 directions by [\d.]+ %.*At its corners 1 and 1: [\d.]+ %", label)
    expect(page.locator("#plot-xray-random h3")).to_contain_text("128 dimensions")
    page.locator("#xray-side").focus()
    page.keyboard.type("B")
    expect(page.locator("#plot-xray-random h3")).to_contain_text("64 dimensions")
    page.reload()
    expect(page.locator("#plot-xray-random h3")).to_contain_text("64 dimensions")
    expect(page.locator("#start-xray")).to_have_count(0)


def test_an_xray_fits_a_phone_and_axe_finds_nothing(look: Visit, address: str, run_ids: list[str]) -> None:
    visitor = look(address=address, width=390, height=844, reduced_motion="reduce")
    page = visitor.open(f"/xray?run={run_ids[0]}&with={run_ids[1]}")
    if page.locator("#start-xray").count():
        page.locator("#start-xray").click()
    expect(page.locator("#plot-xray-norms svg")).to_have_attribute(
        "viewBox", re.compile("^0 0 302"), timeout=RUN_MS
    )
    for summary in page.locator("#main summary").all():
        summary.click()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert violations_by_theme(page) == NONE_FOUND


def test_before_there_is_a_run_the_page_leads_to_the_lab(look: Visit) -> None:
    page = look().open("/xray")
    page.get_by_role("link", name="Open the quick demo").click()
    expect(page).to_have_url(re.compile(r"/lab\?preset=demo"))
