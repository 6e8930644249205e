"""A card and a question of one's own in a real browser: refused, asked, edited, taken back, deleted."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.axe import violations
from tests.browser.conftest import StartApp, Visit, Visitor

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def app_address(start_app: StartApp) -> str:
    """An app of this module's own, because written cards are there for every profile."""
    return start_app("--no-worker")


def open_form(visitor: Visitor, address: str, name: str) -> Page:
    """Follow the link to a form, which has no problem that axe finds."""
    page = visitor.open(address)
    page.get_by_role("link", name=name).click()
    visitor.settled()
    expect(page).to_have_title(re.compile(f"^{name}"))
    assert violations(page) == []
    return page


def test_a_card_is_written_by_keyboard_asked_and_edited(look: Visit) -> None:
    visitor = look(width=390, height=844, color_scheme="dark")
    page = open_form(visitor, "/cards?new=1", "Write a card")

    front, back = page.get_by_label("Front: the question"), page.get_by_label("Back: the answer")
    front.fill("What is $B A$ here?")
    back.fill(r"The update $\frac{$")
    front.press("Control+Enter")
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("can't be shown")
    expect(back).to_have_accessible_description(re.compile("can't be shown"))
    expect(page.locator("[data-saved$=back]")).to_have_text("Saved")
    page.reload()
    visitor.settled()
    expect(back).to_have_value(r"The update $\frac{$")

    back.fill("The update.")
    page.get_by_label("Topic, if you like").select_option("lora-rank")
    back.press("Control+Enter")
    expect(page.locator("#done")).to_be_focused()
    expect(page.locator("#done")).to_contain_text("Saved as a new card")
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 390

    page.get_by_role("link", name="Study your own cards").click()
    visitor.settled()
    expect(page.locator("#question math")).to_be_visible()
    page.keyboard.press("Space")
    expect(page.locator("#answer")).to_contain_text("The update.")
    page.keyboard.press("e")
    page.locator("#edit textarea[name=back]").fill("The learnt update.")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#answer")).to_contain_text("The learnt update.")


def test_a_card_is_taken_back_into_the_form_written_again_and_deleted(look: Visit) -> None:
    visitor = look()
    page = visitor.open("/browse?write=new")
    page.get_by_label("Front: the question").fill("One?")
    page.get_by_label("Back: the answer").fill("Yes.")
    save = page.get_by_role("button", name="Save the card")
    save.click()
    page.locator("#done").get_by_role("button", name="Undo").click()
    expect(page.get_by_label("Front: the question")).to_have_value("One?")
    save.click()
    page.get_by_role("link", name="Write another").click()
    expect(page.get_by_label("Front: the question")).to_be_focused()
    expect(page.get_by_label("Front: the question")).to_have_value("")
    expect(page.get_by_label("Back: the answer")).to_have_value("")

    visitor.open("/browse?words=One%3F&deck=your-own-cards")
    page.once("dialog", lambda dialog: dialog.accept())
    page.locator(".found-row").click()
    page.get_by_role("button", name="Delete").click()
    expect(page.locator("#done")).to_contain_text("Deleted.")
    expect(page.locator(".found-row")).to_have_count(0)
    page.locator("#done").get_by_role("button", name="Undo").click()
    expect(page.locator(".found-row")).to_have_count(1)


def test_a_question_is_written_and_asked_at_once(look: Visit) -> None:
    visitor = look(width=390, height=844, color_scheme="dark")
    page = open_form(visitor, "/quiz", "Write a question")
    page.locator("#question-stem").fill("What is frozen?")
    page.locator("#question-right").fill("The base")
    page.locator("#question-wrong-1").fill("The base")
    page.locator("#question-wrong-1").press("Control+Enter")
    expect(page.locator("#question-wrong-1")).to_have_accessible_description("This answer is there twice.")
    page.get_by_text("More wrong answers").click()
    page.locator("#question-wrong-4").fill("Nothing")
    page.locator("#question-wrong-1").fill("The adapter")
    page.locator("#question-wrong-1").press("Control+Enter")
    expect(page.locator("#done")).to_be_focused()
    assert violations(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.get_by_role("button", name="Ask me my own questions").click()
    expect(page.locator("#stem")).to_contain_text("What is frozen?")
    page.get_by_role("radio", name="The base").check()
    page.get_by_role("button", name="Check").first.click()
    expect(page.locator("#main")).to_contain_text(re.compile("right", re.IGNORECASE))
