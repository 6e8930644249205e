"""Taking a quiz as a person does: by keyboard, through reloads, against the clock, on a phone."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.answering import answer_by_keyboard
from tests.browser.axe import violations
from tests.browser.conftest import Visit, Visitor

pytestmark = pytest.mark.browser

KINDS = ("kinds-choices", "kinds-numbers", "kinds-words", "kinds-arranging")


def start_quiz(page: Page, *, mode: str = "Practice", topic: str = "lora", length: str = "5") -> None:
    page.get_by_role("radio", name=mode, exact=True).check()
    page.get_by_label("Topic").select_option(topic)
    page.get_by_label("Questions").select_option(length)
    page.get_by_role("button", name="Start").click()
    expect(page.locator("#stem")).to_be_visible()


def open_quiz(visitor: Visitor, address: str) -> Page:
    page = visitor.open(f"/quiz?{address}")
    page.get_by_role("button", name="Start this quiz").click()
    expect(page.locator("#stem")).to_be_visible()
    return page


def test_practice_by_keyboard_with_confidence_hint_and_a_second_attempt(look: Visit) -> None:
    page = open_quiz(look(), "topic=kinds-numbers&n=1&seed=5")
    expect(page.locator("#answer")).to_be_focused()
    described = re.compile(r"counts as right\. A calculator")
    expect(page.locator("#answer")).to_have_accessible_description(described)
    page.keyboard.type("1,000,000,000 parameters")
    page.keyboard.press("Tab")
    page.keyboard.press("3")
    expect(page.get_by_role("radio", name="Sure")).to_be_checked()
    page.keyboard.press("h")
    expect(page.locator(".hint")).to_be_visible()
    expect(page.locator("#answer")).to_have_value("1,000,000,000 parameters")
    expect(page.locator("[aria-busy]")).to_have_count(0)
    page.keyboard.press("Enter")
    expect(page.locator("#verdict")).to_be_focused()
    expect(page.locator("#next")).to_contain_text("Try again")
    expect(page.get_by_text("A right second attempt counts for two thirds.")).to_be_visible()

    page.reload()
    expect(page.get_by_text("Second attempt.")).to_be_visible()
    expect(page.locator(".hint")).to_be_visible()
    page.locator("#answer").focus()
    page.keyboard.type("18.9 million")
    page.keyboard.press("Enter")
    expect(page.locator("#next")).to_be_focused()
    expect(page.locator("strong", has_text="Right. It counts as 0.67 of a point.")).to_be_visible()
    expect(page.locator(".steps li")).to_have_count(3)
    computed = page.locator("details.computed").first
    expect(computed).to_contain_text("Checked, computed here: ")
    formula = computed.locator("p math").first
    expect(formula).to_be_hidden()
    computed.locator("summary").click()
    expect(formula).to_be_visible()


def test_back_leads_from_a_begun_quiz_to_the_form_and_forward_to_its_question(look: Visit) -> None:
    page = look().open("/quiz")
    page.locator("form[data-submit=start] button[type=submit]").click()
    stem = page.locator("#stem").text_content() or ""  # a formula has line breaks in its inner text
    page.go_back()
    expect(page.locator("form[data-submit=start]")).to_be_visible()
    page.go_forward()
    expect(page.locator("#stem")).to_have_text(stem)


def test_every_kind_by_keyboard_on_a_phone_in_the_dark(look: Visit) -> None:
    visitor = look(width=390, height=844, color_scheme="dark", reduced_motion="reduce")
    page = visitor.page
    seen: set[str] = set()
    for topic in KINDS:
        open_quiz(visitor, f"topic={topic}&n=20&seed=5")
        total = int(re.findall(r"of (\d+)", page.locator(".meta").inner_text())[0])
        for _ in range(total):
            kind = page.locator("form.question").get_attribute("data-kind") or ""
            new = kind not in seen
            seen.add(kind)
            if new:
                assert violations(page) == []
                assert page.evaluate("document.documentElement.scrollWidth") <= 390, kind
            answer_by_keyboard(page, sure="2" if new else "")
            if page.get_by_role("button", name="Show the answer").count():
                page.keyboard.press("Space")
            expect(page.locator(".keep")).to_be_visible()
            if new:
                assert violations(page) == []
                assert page.evaluate("document.documentElement.scrollWidth") <= 390, kind
            if topic != "kinds-arranging" and len(seen) == 2 * (1 + KINDS.index(topic)):
                break
            page.keyboard.press("Enter")
            expect(page.locator("#next")).to_have_count(0)
    assert len(seen) == 9
    expect(page.locator(".lead", has_text=re.compile(r"\d+ of \d+ right\."))).to_be_visible()
    expect(page.get_by_role("table")).to_be_visible()
    assert violations(page) == []


@pytest.mark.parametrize(("width", "height"), [(1280, 800), (390, 844)])
def test_start_is_on_the_first_screen_and_only_an_exam_has_a_time(
    look: Visit, width: int, height: int
) -> None:
    visitor = look(width=width, height=height)
    page = visitor.open("/quiz")
    visitor.answer_who()
    expect(page.get_by_label("Exam time")).to_be_hidden()
    for mode in (
        "Practice",
        "10-question check",
        "Timed challenge",
        "Exam",
        "Weak concepts",
        "What you missed",
    ):
        page.get_by_role("radio", name=mode, exact=True).check()
        assert page.evaluate("window.scrollY") == 0
        box = page.get_by_role("button", name="Start").bounding_box()
        assert box is not None
        assert box["y"] + box["height"] <= height, mode
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        expect(page.get_by_label("Exam time")).to_be_visible(visible=mode == "Exam")
        expect(page.locator(".modes .about:visible")).to_have_count(1)
    assert violations(page) == []


def test_an_exam_ends_when_its_time_runs_out(look: Visit) -> None:
    page = open_quiz(look(), "mode=exam&topic=lora&pace=2&n=1&seed=5")
    expect(page.locator(".clock")).to_contain_text("Time left")
    expect(page.locator(".lead", has_text="0 of 1 right.")).to_be_visible()
    expect(page.get_by_text("Time ran out; 1 question was not answered.")).to_be_visible()
    expect(page.locator("#live")).to_have_text("Time is up. Here is how it went.")
    expect(page.locator("#main")).to_be_focused()
    expect(page.locator(".exam .keep")).to_be_visible()
    expect(page.locator(".exam > li")).to_have_count(1)
    assert violations(page) == []


def test_options_are_one_radio_group_for_arrow_keys_and_an_answer_is_needed(look: Visit) -> None:
    page = look(width=390, height=844).open("/quiz")
    start_quiz(page)
    check = page.get_by_role("button", name="Check answer")
    check.click()
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("No answer is chosen yet")
    expect(check).to_have_accessible_description(re.compile("No answer is chosen yet"))
    said, button = alert.bounding_box(), check.bounding_box()
    assert said is not None
    assert button is not None
    assert 0 <= button["y"] - said["y"] - said["height"] < 60
    page.locator("[name=option]").first.focus()
    page.keyboard.press("ArrowDown")
    expect(page.locator("[name=option]").nth(1)).to_be_checked()
    expect(page.locator("[name=option]:checked")).to_have_count(1)
    page.keyboard.press("a")
    expect(page.get_by_role("alert")).to_have_count(0)


def test_a_second_window_and_another_learner_at_the_same_address(look: Visit) -> None:
    visitor = look()
    page = visitor.open("/quiz")
    start_quiz(page)
    stem = page.locator("#stem").text_content() or ""
    other = look().page
    other.goto(page.url)
    other.get_by_role("button", name="Start this quiz").click()
    expect(other.locator("#stem")).to_have_text(stem)

    second = page.context.new_page()
    second.goto(page.url)
    expect(second.locator("#stem")).to_have_text(stem)
    answer_by_keyboard(second)
    page.keyboard.press("b")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("Your first answer counts")


def test_a_miss_comes_back_as_cards(look: Visit) -> None:
    visitor = look()
    page = visitor.open("/quiz")
    start_quiz(page, length="20")
    for _ in range(20):
        answer_by_keyboard(page)
        missed = page.locator(".option.wrong").count() == 1
        if missed:
            expect(page.get_by_text("ready now")).to_be_visible()
            break
        page.keyboard.press("Enter")
        expect(page.locator("#stem")).to_be_visible()
    visitor.open("/cards?new=0")
    expect(
        page.get_by_text(re.compile("0 new, 0 learning, 0 to review, [1-3] about what you missed"))
    ).to_be_visible()


def test_a_chart_leaves_room_for_the_answers_and_stays_after_a_wrong_one(look: Visit) -> None:
    visitor = look(height=800)
    page = open_quiz(visitor, "topic=kinds-numbers&n=5&seed=3")
    visitor.answer_who()
    expect(page.locator("form.question .option").last).to_be_in_viewport(ratio=1)
    title, tick = page.locator(".chart text").first.bounding_box(), page.get_by_text("10", exact=True)
    top = tick.first.bounding_box()
    assert title
    assert top
    assert title["y"] + title["height"] < top["y"]
    page.keyboard.press("h")
    expect(page.locator("#hint")).to_be_in_viewport(ratio=1)
    page.get_by_text("They quadruple each time").click()
    page.get_by_role("button", name="Check answer").click()
    expect(page.get_by_role("button", name="Try again")).to_be_visible()
    expect(page.locator(".chart rect")).to_have_count(5)
