"""Progress as a person uses it: charts that come by themselves, the slider by keyboard, files to keep."""

import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from study.web.security.middleware import COOKIE
from tests.browser.axe import violations
from tests.browser.conftest import StartApp, Visit, Visitor
from tests.seeded import seed_home

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def address(start_app: StartApp, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An app whose learner Ana has studied for weeks."""
    home = tmp_path_factory.mktemp("studied")
    seed_home(home, cards=24, days=30)
    return start_app("--no-worker", folder=home)


def ana(visitor: Visitor) -> Visitor:
    """This browser is Ana's."""
    visitor.page.context.add_cookies([{"name": COOKIE, "value": "browser-of-ana", "url": visitor.address}])
    return visitor


def test_a_learner_reads_the_charts_and_chooses_an_aim_by_keyboard(look: Visit, address: str) -> None:
    visitor = ana(look(address=address))
    page = visitor.open("/progress")
    expect(page.locator("figure.plot")).to_have_count(14)
    expect(page.locator("figure.plot:visible")).to_have_count(3)
    expect(page.get_by_role("img", name=re.compile("^You recalled .* what|^You recalled"))).to_be_visible()
    assert violations(page) == []

    slider = page.get_by_role("slider", name=re.compile("Desired retention"))
    slider.focus()
    for _ in range(5):
        page.keyboard.press("ArrowLeft")
    expect(page.locator("#workload output")).to_have_text(re.compile("^85"))
    expect(page.locator("#live")).to_contain_text("ratings per day")
    # All charts are drawn anew: a press on them at that very moment would be lost.
    with page.expect_response(lambda answer: '"draw"' in (answer.request.post_data or "")):
        page.get_by_role("button", name="Use this from the next rating on").click()
    expect(page.get_by_text(re.compile("You aim at 85"))).to_be_visible()
    expect(slider).to_have_value("85")

    page.get_by_text("More charts (11)").click()
    calendar = page.locator("#plot-calendar")
    with page.expect_download() as downloading:
        calendar.get_by_role("link", name="CSV").click()
    assert "day,ratings" in Path(downloading.value.path()).read_text("utf-8")
    calendar.get_by_text("The numbers").click()
    expect(calendar.get_by_role("columnheader", name="ratings")).to_be_visible()

    page.get_by_label("Charts of").select_option(index=1)
    page.get_by_role("button", name="Show").click()
    expect(page.locator("#plot-forecast figcaption")).to_contain_text("deck ")


def test_progress_fits_a_phone_in_the_dark(look: Visit, address: str) -> None:
    page = ana(look(address=address, width=390, height=844, color_scheme="dark")).open("/progress")
    expect(page.locator("figure.plot")).to_have_count(14)
    page.get_by_text("More charts (11)").click()
    expect(page.locator("figure.plot:visible")).to_have_count(14)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert violations(page) == []


def test_a_newcomer_is_led_to_the_first_cards(look: Visit, address: str) -> None:
    page = look(address=address).open("/progress")
    expect(page.get_by_text("No reviews yet.")).to_be_visible()
    page.get_by_role("link", name="Start with 5 cards").click()
    expect(page.get_by_text("0 of 5 done")).to_be_visible()
