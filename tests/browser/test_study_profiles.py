"""Several learners at one machine: a guest without asking, names, switching, and no mixing."""

import re
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import StartApp, Visit

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def app_address(start_app: StartApp) -> str:
    """An app of this module's own, because it lists every profile."""
    return start_app("--no-worker")


def test_a_learner_is_recognized_renamed_added_and_switched(look: Visit) -> None:
    visitor = look()
    page = visitor.open("/cards?new=2")
    expect(page.locator(".who .name")).to_contain_text("Guest learner")
    page.keyboard.press("Space")
    page.keyboard.press("4")
    expect(page.get_by_text("1 of 2 done")).to_be_visible()

    page.locator(".who").click()
    page.get_by_label("Your name").fill("Ana <i>")
    page.get_by_role("button", name="Rename").click()
    expect(page.locator(".who .name")).to_have_text("Ana <i>")

    page.get_by_label("A new profile").fill("Ben")
    page.get_by_role("button", name="Add and switch").click()
    expect(page.locator(".who .name")).to_have_text("Ben")
    visitor.open("/cards?new=2")
    expect(page.get_by_text("0 of 2 done")).to_be_visible()

    visitor.open("/settings")
    page.get_by_role("button", name="Switch to Ana").click()
    expect(page.locator(".who .name")).to_have_text("Ana <i>")
    visitor.open("/cards?new=2")
    expect(page.get_by_text("1 of 2 done")).to_be_visible()


def test_a_fresh_browser_is_asked_who_it_is_on_any_page(look: Visit) -> None:
    first = look()
    page = first.open("/cards?new=1")
    page.keyboard.press("Space")
    page.keyboard.press("4")
    expect(page.locator(".lead", has_text="No card is waiting")).to_be_visible()
    guest = page.locator(".who .name").text_content()

    for width in (1280, 390):
        page = look(width=width, height=844).open("/quiz")
        asked = page.get_by_role("group", name="Who are you?")
        here = asked.get_by_role("button", name=re.compile(f"^{guest} · today · 1 answer$"))
        expect(here).to_be_in_viewport(ratio=1)
        expect(asked.get_by_role("button").first).to_have_text("I am new here")
        assert asked.evaluate("e => [e, ...e.children].every((each) => each.scrollWidth <= each.clientWidth)")
        assert page.evaluate("document.documentElement.scrollWidth") <= width
    here.press("Enter")
    expect(page.locator(".who .name")).to_have_text(guest or "")
    expect(asked).to_have_count(0)

    other = look()
    page = other.open("/quiz")
    asked = page.get_by_role("group", name="Who are you?")
    asked.get_by_role("button", name="I am new here").click()
    expect(asked).to_have_count(0)
    other.open("/learn")
    expect(page.locator(".who .name")).to_be_visible()
    expect(asked).to_have_count(0)

    other = look(width=390, height=844)
    page = other.open("/quiz")
    asked = page.get_by_role("group", name="Who are you?")
    asked.get_by_role("button", name="Not now").click()
    expect(asked).to_have_count(0)
    other.open("/learn")
    expect(page.locator(".who .name")).to_be_attached()
    expect(asked).to_have_count(0)


def test_the_first_answer_moves_nothing(look: Visit) -> None:
    page = look().open("/settings")
    page.get_by_label("Your name").fill("Mia")
    page.get_by_role("button", name="Rename").click()
    expect(page.locator(".who .name")).to_have_text("Mia")

    page = look(height=800).open("/cards")
    asked = page.get_by_role("group", name="Who are you?")
    expect(asked).to_be_visible()
    places = (
        "['h1', '.meter'].map(each => document.querySelector(`#main ${each}`).getBoundingClientRect().top)"
    )
    before = page.evaluate(places)
    page.keyboard.press("Space")
    expect(asked).to_be_hidden()
    assert page.evaluate(places) == before
    page.keyboard.press("3")
    expect(page.get_by_role("button", name="Undo")).to_be_visible()
    assert page.evaluate(places) == before
    page.keyboard.press("u")
    expect(page.get_by_role("button", name="Undo")).to_have_count(0)
    assert page.evaluate(places) == before


def test_an_exam_that_has_begun_does_not_ask_who_takes_it(look: Visit) -> None:
    page = look().open("/settings")
    page.get_by_label("Your name").fill("Eve")
    page.get_by_role("button", name="Rename").click()
    expect(page.locator(".who .name")).to_have_text("Eve")

    page = look().open("/quiz?mode=exam&topic=lora&n=5&seed=5")
    asked = page.get_by_role("group", name="Who are you?")
    expect(asked).to_be_visible()
    page.get_by_role("button", name="Start this quiz").click()
    expect(page.locator("#stem")).to_be_visible()
    expect(asked).to_be_hidden()
    page.reload()
    expect(page.locator("#stem")).to_be_visible()
    expect(page.locator(".who .name")).to_be_visible()
    expect(asked).to_be_hidden()


def test_deleting_asks_first_and_then_leaves_a_fresh_start(look: Visit) -> None:
    visitor = look()
    page = visitor.open("/cards?new=1")
    page.keyboard.press("Space")
    page.keyboard.press("4")
    expect(page.locator(".lead", has_text="No card is waiting")).to_be_visible()
    visitor.open("/settings")
    page.get_by_role("button", name="Delete this profile").click()
    expect(page.get_by_text("with 1 card rating,")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.get_by_role("button", name="Delete for good")).to_have_count(0)
    page.get_by_role("button", name="Delete this profile").click()
    page.get_by_role("button", name="Delete for good").click()
    expect(page.get_by_role("link", name="Understand LoRA in five minutes")).to_be_visible()


def test_a_long_name_stays_on_the_page(look: Visit) -> None:
    visitor = look(width=390, height=844)
    page = visitor.open("/cards?new=1")
    page.keyboard.press("Space")
    page.keyboard.press("4")
    expect(page.locator(".lead", has_text="No card is waiting")).to_be_visible()
    visitor.open("/settings")
    hint = page.get_by_label("A new profile")
    assert hint.evaluate("e => getComputedStyle(e, '::placeholder').color !== getComputedStyle(e).color")
    page.get_by_label("Your name").fill("W" * 40)
    page.get_by_role("button", name="Rename").click()
    expect(page.locator(".who .name")).to_have_text("W" * 40)
    visitor.open("/")
    assert page.locator("h1").evaluate("e => e.scrollWidth") <= 390


def test_a_window_that_shows_another_profile_rates_no_card_for_it(look: Visit) -> None:
    visitor = look()
    left = visitor.open("/cards?new=1")
    page = visitor.page = left.context.new_page()
    visitor.open("/settings")
    page.get_by_label("A new profile").fill("Ben of two windows")
    page.get_by_role("button", name="Add and switch").click()
    expect(page.locator(".who .name")).to_have_text("Ben of two windows")
    left.keyboard.press("Space")
    expect(left.get_by_role("alert")).to_contain_text("Another profile was chosen in another window")
    left.reload()
    expect(left.locator(".who .name")).to_have_text("Ben of two windows")
    expect(left.get_by_text("0 of 1 done")).to_be_visible()


def test_a_phone_carries_on_by_the_link_of_a_qr_code_and_can_be_shut_out(
    look: Visit, start_app: StartApp
) -> None:
    address = start_app("--no-worker", "--host", "0.0.0.0")
    computer = look(address=address)
    page = computer.open("/settings")
    page.get_by_label("Your name").fill("Ana")
    page.get_by_role("button", name="Rename").click()
    expect(page.locator(".who .name")).to_have_text("Ana")
    page.get_by_role("button", name="Add a device").click()
    expect(page.locator("#device-link svg, [data-part=device] svg")).to_be_visible()
    link = urlsplit(page.locator("[data-part=device]").get_by_text("/devices/join?token=").inner_text())

    phone = look(address=address, width=390, height=844)
    phone.page.goto(f"{address}{link.path}?{link.query}")
    phone.page.get_by_role("button", name="Study here as Ana").click()
    expect(phone.page).to_have_url(f"{address}/")
    phone.open("/settings")
    expect(phone.page.get_by_label("Your name")).to_have_value("Ana")

    page.once("dialog", lambda dialog: dialog.accept())
    computer.open("/settings")
    page.get_by_role("button", name="Remove device").click()
    expect(page.get_by_role("button", name="Remove device")).to_have_count(0)
    phone.open("/settings")
    expect(phone.page.get_by_label("Your name")).to_have_value(re.compile("Guest learner"))
