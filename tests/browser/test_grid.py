"""The grid as a person uses it: set lists, start, watch cells fill in, steer the queue, keep the report."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from study.base.settings import load_settings
from tests.browser.axe import NONE_FOUND, violations, violations_by_theme
from tests.browser.conftest import StartApp, Visit
from tests.lora_lab.sweep_builders import finish, runs_of, sweep_of, tiny_grid

pytestmark = pytest.mark.browser

SWEEP_MS = 120_000
TINY = "/grid?preset=instant"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data folder of the grid's own app."""
    return tmp_path_factory.mktemp("grid")


@pytest.fixture(scope="module")
def kept(folder: Path) -> str:
    """The address of a sweep that ended before the app was opened; one of its cells was cancelled."""
    settings = load_settings(home=folder)
    sweep = sweep_of(settings, tiny_grid(ranks=[2, 8], bits=["nf4", "bf16"]))
    *finished, cancelled = runs_of(settings, sweep)
    for run in finished:
        finish(run, 3 - run.spec.rank / 10)
    cancelled.emit("stopped", step=0)
    return f"/grid?sweep={sweep.sweep_id}"


@pytest.fixture(scope="module")
def grid_address(start_app: StartApp, folder: Path, kept: str) -> str:
    """An app whose worker starts with the first cell."""
    return start_app("--no-worker", folder=folder)


def test_a_grid_is_set_up_started_steered_and_kept(look: Visit, grid_address: str) -> None:
    page = look(address=grid_address).open(TINY)
    page.get_by_label("Ranks r, with commas").fill("2, 4, 8")
    expect(page.locator("#cells")).to_have_text("6 cells")
    page.get_by_label("Ranks r, with commas").fill("2, 8")
    expect(page.locator("#cells")).to_have_text("4 cells")
    expect(page).to_have_url(re.compile("model=tiny-random"))

    page.get_by_role("button", name="Start the grid").click()
    expect(page.locator("#sweep-state")).to_contain_text("0 of 4 cells done")
    expect(page.locator("#sweep")).to_be_focused()
    assert violations(page) == []

    # by keyboard: the last cell goes up, the first waiting one is cancelled
    table = page.get_by_role("region", name="Cells of the grid")
    page.get_by_role("button", name="Move cell 4 up").focus()
    page.keyboard.press("Enter")
    expect(page.locator("#live")).to_contain_text("in the queue")
    page.get_by_role("button", name="Cancel cell 3").focus()
    page.keyboard.press("Enter")
    expect(table).to_contain_text("cancelled")

    expect(page.locator("#sweep-state")).to_have_text("3 finished, 1 cancelled", timeout=SWEEP_MS)
    expect(page.locator("#live")).to_have_text("The grid: 3 finished, 1 cancelled.")
    expect(page.locator("table.map .measured")).to_have_count(3)
    expect(page.locator("figure.plot")).to_have_count(5)

    with page.context.expect_page() as opened:
        page.get_by_role("link", name="Report as one HTML file").click()
    report = opened.value
    report.wait_for_load_state()
    expect(report.locator("figure svg")).to_have_count(5)
    expect(report.locator("tbody tr")).to_have_count(4)
    assert violations(report) == []


def test_a_refresh_and_a_second_browser_show_the_same_sweep(
    look: Visit, grid_address: str, kept: str
) -> None:
    page = look(address=grid_address).open(kept)
    expect(page.locator("#sweep-state")).to_have_text("3 finished, 1 cancelled")
    expect(page.get_by_label("Ranks r, with commas")).to_have_value("2, 8")
    expect(page.get_by_label("4-bit NF4 (nf4)", exact=True)).to_be_checked()
    page.reload()
    expect(page.locator("#sweep-state")).to_have_text("3 finished, 1 cancelled")


def test_the_table_filters_and_sorts_and_the_address_keeps_it(
    look: Visit, grid_address: str, kept: str
) -> None:
    page = look(address=grid_address).open(kept)
    rows = page.locator("table.cells tbody tr")
    expect(rows).to_have_count(4)
    page.locator("#show-status-finished").click()
    expect(rows).to_have_count(3)
    expect(page.locator("#show-status-finished")).to_have_attribute("aria-pressed", "true")
    page.get_by_role("button", name="Held-out loss").click()
    expect(page.locator("th[aria-sort=ascending]")).to_contain_text("Held-out loss")
    page.reload()
    expect(rows).to_have_count(3)
    expect(page.locator("th[aria-sort=ascending]")).to_contain_text("Held-out loss")


def test_the_finished_sweep_is_clean_for_axe(look: Visit, grid_address: str, kept: str) -> None:
    page = look(address=grid_address, reduced_motion="reduce").open(kept)
    expect(page.locator("figure.plot")).to_have_count(5)
    assert violations_by_theme(page) == NONE_FOUND


def test_the_finished_sweep_fits_a_phone_and_a_finger(look: Visit, grid_address: str, kept: str) -> None:
    page = look(address=grid_address, width=390, height=844).open(kept)
    expect(page.locator("figure.plot")).to_have_count(5)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    small = page.evaluate(
        """[...document.querySelectorAll('#main button, #main a.button, #main select, #main label.tick-chip')]
           .filter(e => e.offsetParent && !e.matches('.link') && e.getBoundingClientRect().height < 44)
           .map(e => e.outerHTML.slice(0, 120))"""
    )
    assert small == []


def test_the_predicted_peaks_hide_no_rank_on_a_phone(look: Visit, grid_address: str) -> None:
    page = look(address=grid_address, width=390, height=844).open("/grid?model=tiny-random&ranks=2,8,32")
    region = page.get_by_role("region", name="Predicted peak by rank and bit width")
    assert region.evaluate("region => region.scrollWidth <= region.clientWidth")


def test_a_cancelled_cell_is_tried_again(look: Visit, grid_address: str, kept: str) -> None:
    page = look(address=grid_address).open(kept)
    table = page.get_by_role("region", name="Cells of the grid")
    expect(table).to_contain_text("cancelled")
    page.get_by_role("button", name="Retry cell 4").click()
    expect(table).not_to_contain_text("cancelled")
    expect(page.locator("#sweep-state")).to_contain_text("3 of 4 cells done")


def test_an_address_of_a_sweep_begins_at_the_sweep_and_that_of_the_form_at_the_form(
    look: Visit, grid_address: str, kept: str
) -> None:
    page = look(address=grid_address).open(f"{kept}#sweep")
    expect(page.locator("#sweep")).to_be_focused()
    expect(page.locator("#sweep-title")).to_be_in_viewport()
    page = look(address=grid_address).open(kept)
    expect(page.locator("#sweep")).not_to_be_focused()
    expect(page.locator("#setup-title")).to_be_in_viewport()


def test_the_machines_own_number_type_is_not_cut(look: Visit, grid_address: str) -> None:
    for width in (1280, 390):
        page = look(address=grid_address, width=width, height=844).open(TINY)
        page.get_by_text("More: matrices, variants").click()
        control = page.get_by_label("compute in")
        needed = control.evaluate(
            """select => {
                const free = select.cloneNode(true);
                Object.assign(free.style, { width: 'auto', position: 'absolute' });
                select.parentElement.append(free);
                const width = free.offsetWidth;
                free.remove();
                return width;
            }"""
        )
        assert control.evaluate("select => select.offsetWidth") >= needed
