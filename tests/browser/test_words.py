"""A dotted word shows its meaning on pointing, by Tab and by tap, and Escape hides it."""

import pytest
from playwright.sync_api import expect

from study.content.concepts import load_concepts
from study.content.glossary import read_glossary
from tests.browser.conftest import Visit

pytestmark = pytest.mark.browser
CONCEPT = "/concept?id=lora-update"


def test_pointing_at_a_word_shows_its_meaning_and_escape_hides_it(look: Visit) -> None:
    page = look().open(CONCEPT)
    word = page.locator("button.term").first
    meanings = {form.lower(): each.means for each in read_glossary() for form in (each.term, *each.also)}
    word.hover()
    meaning = page.get_by_role("tooltip")
    expect(meaning).to_have_text(meanings[word.inner_text().lower()])
    page.keyboard.press("Escape")
    expect(meaning).to_be_hidden()


def test_the_keyboard_reaches_a_term_and_its_concept_in_one_line(look: Visit) -> None:
    page = look().open(CONCEPT)
    term = page.locator("a.term").first
    term.focus()
    expect(page.get_by_role("tooltip")).to_be_visible()
    expect(term).to_have_attribute("aria-describedby", "meaning")
    concept = load_concepts().by_id[str(term.get_attribute("href")).split("=")[1]]
    assert page.get_by_role("tooltip").inner_text()[:30] == concept.summary[:30]
    page.keyboard.press("Tab")
    expect(term).not_to_have_attribute("aria-describedby", "meaning")


def test_a_tap_shows_a_word_within_a_phone(look: Visit) -> None:
    page = look(width=390, height=844, has_touch=True).open("/reference")
    page.locator("button.term").first.tap()
    box = page.get_by_role("tooltip").bounding_box()
    assert box is not None
    assert box["x"] >= 0
    assert box["x"] + box["width"] <= 390
