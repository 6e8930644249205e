"""Today as a newcomer and as a learner: a first picture, the five-minute review, and how things stand."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.answering import answer_by_keyboard
from tests.browser.axe import violations
from tests.browser.conftest import Visit

pytestmark = pytest.mark.browser


def test_a_newcomer_moves_the_rank_and_opens_today_by_keyboard(look: Visit) -> None:
    visitor = look()
    page = visitor.open("/")
    expect(page.get_by_role("heading", level=1)).to_contain_text("two thin matrices")
    page.get_by_label("Rank r").focus()
    page.keyboard.press("ArrowRight")
    expect(page.locator(".fig-numbers")).to_contain_text("2.65 %")
    page.get_by_role("button", name="I know it: open Today").focus()
    page.keyboard.press("Enter")
    expect(page.get_by_role("button", name="Start the review")).to_be_visible()
    page.reload()
    visitor.settled()
    expect(page.get_by_role("button", name="Start the review")).to_be_visible()


def rate(page: Page, rating: str) -> None:
    page.keyboard.press("Space")
    expect(page.locator(".rating").first).to_be_visible()
    page.keyboard.press(rating)
    expect(page.locator(".rating")).to_have_count(0)  # a question that comes next may have an #answer too


def test_a_learner_does_the_five_minute_review_from_start_to_end(look: Visit) -> None:
    visitor = look()
    page = visitor.open("/cards?new=1")
    rate(page, "1")
    visitor.open("/settings")
    page.get_by_label("New cards per day").fill("2")
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved.")).to_be_focused()  # a new page, of which a screen reader says the title

    visitor.open("/")
    expect(page.get_by_text("1 card is due and 1 new one is ready.")).to_be_visible()
    expect(page.get_by_text("missed once, last seen today").first).to_be_visible()
    page.get_by_role("button", name="Start the review").click()
    expect(page).to_have_url(re.compile(r"/review\?run="))
    visitor.settled()
    while page.locator("#flip").count():
        rate(page, "4")
    for _ in range(3):
        answer_by_keyboard(page, "b")
        page.keyboard.press("Enter")
        expect(page.locator("#next")).to_have_count(0)
    page.locator("textarea").fill("The base is frozen, and small matrices learn.")
    page.get_by_role("button", name="Compare with the concepts").click()
    page.get_by_role("checkbox").first.check()
    page.get_by_role("button", name="Keep this and show an example answer").click()
    page.get_by_role("button", name="Go on").click()
    expect(page.get_by_text("Done for now.")).to_be_visible()
    expect(page.get_by_text("1 of 4 concepts explained.")).to_be_visible()
    expect(page.get_by_text("not explained")).to_have_count(3)
    expect(page.locator("a.button.primary")).to_have_count(1)
    assert violations(page) == []
    page.keyboard.press("u")
    expect(page.locator("#flip")).to_be_visible()
    rate(page, "4")
    expect(page.get_by_text("Done for now.")).to_be_visible()

    visitor.open("/")
    expect(page.get_by_text("First day")).to_be_visible()
    waiting = re.findall(r"(\d+) (?!new)", page.locator(".due .lead").inner_text())
    today = f"^Cards due: Today {sum(map(int, waiting))},"
    expect(page.get_by_role("img", name=re.compile(today))).to_be_visible()
