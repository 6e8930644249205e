"""Taking a quiz as a person does, by letter keys and by mouse, through a reload, and sharing its address."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visit

pytestmark = pytest.mark.browser


def start_quiz(page: Page, *, length: str = "5") -> None:
    page.get_by_label("Questions").select_option(length)
    page.get_by_role("button", name="Start").click()
    expect(page.locator("#stem")).to_be_visible()


def answer_by_keyboard(page: Page, letter: str) -> None:
    page.keyboard.press(letter)
    expect(page.get_by_role("radio", checked=True)).to_have_count(1)
    page.keyboard.press("Enter")
    expect(page.locator("#next")).to_be_focused()


def test_a_quiz_by_keyboard_from_start_to_summary(visit: Visit) -> None:
    page = visit().open("/quiz")
    start_quiz(page)
    for number in range(5):
        expect(page.locator(".meta")).to_contain_text(f"Question {number + 1} of 5")
        answer_by_keyboard(page, "abcab"[number])
        expect(page.locator(".option.right")).to_have_count(1)
        expect(page.locator(".keep")).to_be_visible()
        page.keyboard.press("Enter")
    expect(page.get_by_text(re.compile(r"[0-5] of 5 right\."))).to_be_visible()
    expect(page.get_by_role("table")).to_be_visible()


def test_options_are_one_radio_group_for_arrow_keys(visit: Visit) -> None:
    page = visit().open("/quiz")
    start_quiz(page)
    page.get_by_role("radio").first.focus()
    page.keyboard.press("ArrowDown")
    expect(page.get_by_role("radio").nth(1)).to_be_checked()
    expect(page.get_by_role("radio", checked=True)).to_have_count(1)


def test_checking_without_a_choice_asks_for_one(visit: Visit) -> None:
    page = visit().open("/quiz")
    start_quiz(page)
    page.get_by_role("button", name="Check answer").click()
    expect(page.get_by_role("alert")).to_contain_text("No answer is chosen yet")
    page.keyboard.press("a")
    expect(page.get_by_role("alert")).to_have_count(0)


def test_a_reload_in_the_middle_goes_on_at_the_same_question(visit: Visit) -> None:
    page = visit().open("/quiz")
    start_quiz(page)
    answer_by_keyboard(page, "a")
    page.keyboard.press("Enter")
    expect(page.locator(".meta")).to_contain_text("Question 2 of 5")
    stem = page.locator("#stem").inner_text()
    page.reload()
    expect(page.locator("#stem")).to_have_text(stem)


def test_a_shared_address_gives_another_learner_the_same_questions(visit: Visit) -> None:
    page = visit().open("/quiz")
    start_quiz(page)
    stem = page.locator("#stem").inner_text()
    other = visit().page
    other.goto(page.url)
    other.get_by_role("button", name="Start this quiz").click()
    expect(other.locator("#stem")).to_have_text(stem)


def test_a_miss_comes_back_as_cards(visit: Visit) -> None:
    visitor = visit()
    page = visitor.open("/quiz")
    start_quiz(page, length="20")
    for _ in range(20):
        answer_by_keyboard(page, "a")
        missed = page.locator(".option.wrong").count() == 1
        if missed:
            expect(page.get_by_text("are due now")).to_be_visible()
            break
        page.keyboard.press("Enter")
        expect(page.locator("#stem")).to_be_visible()
    visitor.open("/cards?new=0")
    expect(page.get_by_text(re.compile("0 new, 0 learning, [1-3] to review"))).to_be_visible()
