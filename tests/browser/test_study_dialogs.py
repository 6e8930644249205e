"""The dialogs of every page: the search, and the list of its keys."""

import re

import pytest
from playwright.sync_api import Route, expect

from tests.browser.axe import NONE_FOUND, violations, violations_by_theme
from tests.browser.conftest import Visit

pytestmark = pytest.mark.browser


@pytest.mark.parametrize("path", ["/class", "/docs/traps.md"])
def test_search_and_keys_open_on_pages_that_gradio_does_not_make(look: Visit, path: str) -> None:
    visitor = look(reduced_motion="reduce")
    page = visitor.page
    page.goto(visitor.address + path)
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("Keys of this page")
    assert violations_by_theme(page) == NONE_FOUND
    page.keyboard.press("Escape")
    page.get_by_role("button", name="Search").click()
    page.locator("#search-words").fill("nf4")
    expect(page.locator("#search-found")).to_contain_text("NF4")
    assert violations_by_theme(page) == NONE_FOUND
    page.locator("#search-found a[href='/concept?id=nf4']").first.click()
    expect(page).to_have_url(re.compile("/concept"))


def test_search_finds_concepts_cards_models_and_settings_while_one_types(look: Visit) -> None:
    page = look().open("/")
    page.keyboard.press("/")
    box = page.get_by_role("combobox")
    expect(box).to_be_focused()
    for words, found in (
        ("nf4", "NF4"),
        ("8b", "llama-3.1-8b"),
        ("dark", "Light or dark page"),
        ("projector", "Projector view"),
    ):
        box.fill(words)
        expect(page.locator("#search-found")).to_contain_text(found)
    box.fill("xyzzy plugh")
    expect(page.locator("#search-found")).to_contain_text("Nothing found for")
    box.fill("rank r of an adapter")
    expect(page.locator("#search-found a").first).to_have_text("Rank r of an adapter Concepts")
    expect(page.locator("#search-says")).to_have_text(re.compile(r"^\d+ found\. The down arrow"))
    expect(page.locator("#search-found")).not_to_have_attribute("aria-live", "polite")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile(r"/concept\?id=lora-rank"))


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844), (320, 640)])
def test_the_search_fits_the_window_and_looks_like_the_page(look: Visit, width: int, height: int) -> None:
    page = look(width=width, height=height).open("/reference")
    page.get_by_role("button", name="Search").click()
    box, label = page.get_by_role("dialog"), page.get_by_text("Search concepts, words")
    edges, place, field = (
        box.bounding_box(),
        label.bounding_box(),
        page.get_by_role("combobox").bounding_box(),
    )
    assert edges
    assert place
    assert field
    assert edges["x"] >= 0
    assert edges["x"] + edges["width"] <= width
    assert field["y"] - (place["y"] + place["height"]) >= 5, "the ring of the focus has 5 px of room"
    family = "(node) => getComputedStyle(node).fontFamily.split(',')[0]"
    assert label.evaluate(family) == page.locator("#main p").first.evaluate(family)
    page.get_by_role("combobox").fill("peft")
    page.get_by_role("dialog").get_by_role("link", name="PEFT Parameter-efficient").click()
    expect(box).to_be_hidden()
    expect(page.locator("#word-peft")).to_be_in_viewport()


def test_a_question_mark_lists_the_keys_of_the_page(look: Visit) -> None:
    page = look().open("/cards?new=5")
    page.keyboard.press("?")
    keys = page.get_by_role("dialog")
    expect(keys).to_contain_text("Search")
    expect(keys).to_contain_text("Space")
    assert violations(page) == []
    page.keyboard.press("Escape")
    expect(keys).to_be_hidden()


def test_no_key_of_the_page_acts_behind_a_dialog(look: Visit) -> None:
    page = look().open("/cards?new=5")
    page.keyboard.press("Space")
    expect(page.locator("#answer")).to_be_visible()
    shown = page.locator("#answer").inner_text()
    page.keyboard.press("?")
    page.keyboard.press("3")
    page.keyboard.press("Escape")
    page.locator("[data-open-search]").first.click()
    page.get_by_role("combobox").fill("rank")
    expect(page.get_by_role("dialog").get_by_role("link").first).to_be_visible()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("x")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_be_hidden()
    expect(page.locator("[aria-busy=true]")).to_have_count(0)
    assert page.locator("#answer").inner_text() == shown
    page.keyboard.press("3")
    expect(page.locator("#answer")).to_have_count(0)


def test_a_slow_search_says_that_it_is_searching(look: Visit) -> None:
    page = look().open("/cards?new=2")
    held: list[Route] = []
    page.route("**/search?q=*", lambda route: held.append(route))
    page.keyboard.press("/")
    page.get_by_role("combobox").fill("nf4")
    expect(page.locator("#search-found")).to_have_text("Searching …")
    for route in held:
        route.continue_()
    expect(page.locator("#search-found")).to_contain_text("NF4")


def test_the_list_of_keys_shows_its_keys_on_a_touch_screen_too(look: Visit) -> None:
    page = look(has_touch=True).open("/cards?new=2")
    expect(page.get_by_role("button", name="Show the answer").locator("kbd")).to_be_hidden()
    page.keyboard.press("?")
    for key in ("/", "Space", "x"):
        expect(page.locator("#keys kbd").get_by_text(key, exact=True)).to_be_visible()
