"""The Lab page in a browser: opening it, starting a run, waiting for one."""

import re

from playwright.sync_api import Page, expect

from tests.browser.conftest import Visit

RUN_MS = 120_000
INSTANT = "/lab?preset=instant"


def open_lab(visit: Visit, address: str, path: str, **options: object) -> Page:
    """A page of its own browser profile, once its plots are there."""
    page = visit(address=address, **options).open(path)
    expect(page.locator("figure.plot")).to_have_count(3)
    return page


def start(page: Page) -> str:
    """Press Start; returns the id of the run."""
    page.get_by_role("button", name="Start training").click()
    expect(page).to_have_url(re.compile(r"run=\d{8}-"))
    return page.url.rpartition("run=")[2].partition("&")[0]


def wait_for(page: Page, status: str) -> None:
    """Wait until the run panel says so."""
    expect(page.locator("#run .head p")).to_contain_text(status, timeout=RUN_MS)
