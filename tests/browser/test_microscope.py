"""The microscope by keyboard: choose, guess, watch the panels come, be told; stop, and find it again."""

import re

import pytest
from playwright.sync_api import Page, Request, Route, expect

from tests.browser.axe import NONE_FOUND, violations_by_theme
from tests.browser.conftest import Visit

pytestmark = pytest.mark.browser

LOOK_MS = 120_000
TINY = "/microscope?model=tiny-random"
PANELS = ("weights", "map", "errors", "outliers", "double", "output", "losses")


def tab_to(page: Page, selector: str) -> None:
    """With the Tab key alone."""
    for _ in range(40):
        if page.evaluate("selector => document.activeElement?.matches(selector)", selector):
            return
        page.keyboard.press("Tab")
    raise AssertionError(f"Tab never reaches {selector}")


def all_is_measured(page: Page) -> None:
    expect(page.locator("#panel-losses")).to_be_visible(timeout=LOOK_MS)
    expect(page.locator("#found .progress")).to_have_count(0, timeout=LOOK_MS)


def test_a_guess_by_keyboard_then_everything_that_was_measured_and_a_verdict(look: Visit) -> None:
    page = look().open(TINY)
    expect(page.locator("#panel-weights")).to_have_count(0)
    tab_to(page, "#matrix")
    page.keyboard.press("ArrowDown")
    expect(page).to_have_url(re.compile(r"matrix=self_attn\.k_proj"))
    expect(page.locator("#predict-title + form legend")).to_contain_text("self_attn.k_proj")
    expect(page.locator("#matrix")).to_be_focused()
    tab_to(page, "#second")
    page.keyboard.press("ArrowDown")  # from FP4 to int8
    expect(page).to_have_url(re.compile("second=int8"))
    tab_to(page, "input[name=smaller]")
    page.keyboard.press("Space")
    tab_to(page, "input[name=rise]")
    page.keyboard.type("0,5")
    page.keyboard.press("Enter")

    expect(page.locator("#found")).to_be_focused()
    all_is_measured(page)
    for name in PANELS:
        panel = page.locator(f"section[aria-labelledby=panel-{name}]")
        assert re.search(r"\d", panel.locator(".fig-finding").inner_text())
        assert re.search(r"\d", panel.locator(".fig-picture").get_attribute("aria-label") or "")
        expect(panel.locator(".limit")).to_contain_text("Limit.")
        expect(panel.locator("svg").first).to_be_visible()
    verdicts = page.locator(".verdicts li")
    expect(verdicts).to_have_count(2)
    expect(verdicts.first).to_contain_text(
        "✗ Not quite. Smaller error. Your guess: NF4, blocks of 64. Result: int8"
    )
    expect(verdicts.first).to_contain_text("NF4 has 16 levels, and int8 has 255.")
    expect(verdicts.last).to_contain_text("Rise of the loss. Your guess: +0.5")
    expect(page.locator("#live")).to_contain_text("All is measured.")

    found = page.locator("#found").inner_text()
    page.reload()
    expect(page.locator("#panel-losses")).to_be_visible()
    assert page.locator("#found").inner_text() == found


@pytest.mark.embedded
def test_a_look_can_be_stopped_and_begun_again(look: Visit) -> None:
    """On the embedded model: the tiny one is measured in a second, before a slow press arrives."""
    page = look().open("/microscope?second=hqq3&layer=1")
    page.get_by_role("button", name="Look without a guess").click()
    page.locator("#stop-looking").press("Enter")
    expect(page.locator("#found")).to_contain_text("Stopped. What had been found by then is below.")
    expect(page.locator(".prediction")).to_have_count(0)
    page.locator("#look-again").press("Enter")
    expect(page.locator("#panel-weights")).to_be_visible(timeout=LOOK_MS)
    page.locator("#stop-looking").press("Enter")
    expect(page.locator("#found")).to_contain_text("Stopped. What had been found by then is below.")


def test_a_key_counts_on_what_the_answer_has_just_brought(look: Visit) -> None:
    page = look().open(f"{TINY}&second=hqq3&layer=1")
    page.evaluate("() => { window.requestAnimationFrame = () => 0; }")  # settling takes its longest
    page.get_by_role("button", name="Look without a guess").click()
    page.locator("#stop-looking").press("Enter")
    expect(page.locator("#found")).to_contain_text("Stopped. What had been found by then is below.")


def test_a_press_that_takes_longer_than_the_next_state_counts(look: Visit) -> None:
    page = look().open(f"{TINY}&second=hqq3&layer=0")
    held: list[Route] = []

    def hold_polls(route: Route) -> None:
        if is_act("poll", route.request):
            held.append(route)
        else:
            route.continue_()

    page.route("**/act/*", hold_polls)
    with page.expect_request(lambda request: is_act("poll", request)):
        page.get_by_role("button", name="Look without a guess").click()
    stop = page.locator("#stop-looking").bounding_box()
    assert stop is not None
    page.mouse.move(stop["x"] + 5, stop["y"] + 5)
    page.mouse.down()
    with page.expect_response(lambda response: is_act("poll", response.request)):
        held.pop().continue_()
    page.wait_for_timeout(300)  # in which the page would show it
    # Sent even where the look has ended meanwhile.
    with page.expect_request(lambda request: is_act("stop", request)):
        page.mouse.up()
    page.unroute_all(behavior="ignoreErrors")


def is_act(act: str, request: Request) -> bool:
    return f'"act":"{act}"' in (request.post_data or "")


def test_the_figures_lead_here_with_the_two_schemes_they_are_about(look: Visit) -> None:
    page = look().open("/figures?figure=double-quantization")
    page.get_by_role("link", name="under the microscope").click()
    expect(page.locator("#second")).to_have_value("nf4-dq")
    expect(
        page.get_by_role("navigation", name="Lab").get_by_role("link", name="Microscope")
    ).to_have_attribute("aria-current", "page")


def test_axe_finds_nothing_on_a_phone_and_nothing_scrolls_sideways(look: Visit) -> None:
    page = look(width=390, height=844).open(TINY)
    assert_clean(page)
    page.get_by_role("button", name="Look without a guess").click()
    all_is_measured(page)
    assert_clean(page)


def assert_clean(page: Page) -> None:
    assert violations_by_theme(page) == NONE_FOUND
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
