"""The Lab page in a browser: opening it, starting a run, waiting for one, and what a run leaves."""

import io
import re
import zipfile

from playwright.sync_api import Page, expect

from lora_lab.runs.folder import RunFolder
from lora_lab.runs.predicted_vs_measured import heaviest_came_first
from lora_lab.runs.state import fold_events
from tests.browser.conftest import Visit
from tests.lora_lab.exactness import slack_bytes

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


def assert_predicted_peak(run: RunFolder) -> None:
    """What was measured is what had been predicted."""
    state = fold_events(run.events())
    assert state.started is not None
    predicted_bytes = state.started["predicted_bytes"]
    if heaviest_came_first(state):  # it makes the moments
        predicted_bytes -= state.started["predicted"]["optimizer"]
    slack = slack_bytes(predicted_bytes, state.started["versions"]["torch"])
    assert abs(state.peak_bytes - predicted_bytes) <= slack


def assert_adapter_comes(page: Page, address: str, run_id: str) -> None:
    """Packed, as a file."""
    packed = page.request.get(f"{address}/lab/runs/{run_id}/adapter.zip")
    names = zipfile.ZipFile(io.BytesIO(packed.body())).namelist()
    assert "adapter/adapter_model.safetensors" in names
