"""Reviewing cards as a person does: by keyboard, by mouse, with a change of mind, and through a reload."""

import re

import pytest
from playwright.sync_api import Page, Route, expect

from tests.browser.conftest import Visit

pytestmark = pytest.mark.browser


def question(page: Page) -> str:
    return page.locator("#question").inner_text()


def answer_by_keyboard(page: Page, rating: str) -> None:
    expect(page.locator("[aria-busy=true]")).to_have_count(0)
    page.keyboard.press("Space")
    expect(page.locator("#answer")).to_be_visible()
    page.keyboard.press(rating)
    expect(page.locator("#answer")).to_have_count(0)


def test_three_cards_by_keyboard_with_an_undo(look: Visit) -> None:
    page = look().open("/cards?new=3")
    first = question(page)
    answer_by_keyboard(page, "4")
    second = question(page)
    assert second != first
    answer_by_keyboard(page, "1")
    page.keyboard.press("u")
    expect(page.locator("#question")).to_have_text(second)
    answer_by_keyboard(page, "4")
    answer_by_keyboard(page, "4")
    expect(page.locator(".lead", has_text="No card is waiting")).to_be_visible()
    expect(page.get_by_text("Today you rated 3 cards, 3 of them new.")).to_be_visible()
    page.keyboard.press("u")
    expect(page.locator("#question")).to_be_visible()


def test_a_reload_and_going_back_lose_nothing(look: Visit) -> None:
    page = look().open("/cards?new=3")
    answer_by_keyboard(page, "4")
    second = question(page)
    page.reload()
    expect(page.locator("#question")).to_have_text(second)
    page.get_by_role("link", name="Learn", exact=True).click()
    expect(page).to_have_url(re.compile("/learn$"))
    page.go_back()
    expect(page.locator("#question")).to_have_text(second)


def test_a_click_on_the_card_flips_it_and_a_button_rates_it(look: Visit) -> None:
    page = look().open("/cards?new=2")
    first = question(page)
    page.locator("article.card").click()
    expect(page.locator("#answer")).to_be_visible()
    page.get_by_role("button", name="Easy").click()
    expect(page.locator("#question")).not_to_have_text(first)
    expect(page.locator(".figures").first).to_contain_text("1 of 2 done")


def test_the_answer_is_nowhere_in_the_page_before_the_flip(look: Visit) -> None:
    page = look().open("/cards?new=1")
    before = page.content()
    page.keyboard.press("Space")
    answer = page.locator("#answer .answer").inner_text()
    assert answer[:40] not in before


def test_keys_do_nothing_while_a_field_has_the_focus_or_shortcuts_are_off(look: Visit) -> None:
    visitor = look()
    page = visitor.open("/cards")
    page.get_by_text("All decks, all levels").click()
    page.get_by_label("Deck").focus()
    page.keyboard.press("u")
    expect(page.locator("#question")).to_be_visible()

    visitor.open("/settings")
    page.get_by_role("checkbox", name="Single-key shortcuts").uncheck()
    page.get_by_role("button", name="Save").click()
    expect(page.get_by_text("Saved.")).to_be_visible()
    visitor.open("/cards")
    expect(page.locator('[data-shortcuts="off"]')).to_have_count(1)
    page.locator("body").press("Space")
    page.get_by_role("button", name="Show the answer").click()
    expect(page.locator("#answer")).to_be_visible()
    page.keyboard.press("4")
    expect(page.get_by_role("button", name="Easy")).to_be_visible()


def test_what_happened_is_announced_and_the_focus_goes_along(look: Visit) -> None:
    page = look().open("/cards?new=2")
    page.keyboard.press("Space")
    expect(page.locator("#answer")).to_be_focused()
    expect(page.locator("#live")).to_contain_text("Answer: ")
    page.keyboard.press("3")
    expect(page.locator("#flip")).to_be_focused()
    expect(page.locator("#live")).to_contain_text("Good: back in 10 min. Question: ")


def test_a_second_window_cannot_rate_the_same_card_again(look: Visit) -> None:
    visitor = look()
    page = visitor.open("/cards?new=3")
    other = page.context.new_page()
    other.goto(visitor.address + "/cards?new=3")
    for window in (page, other):
        window.locator("#flip").click()
        expect(window.locator("#answer")).to_be_visible()
    page.get_by_role("button", name="Easy").click()
    expect(page.locator("#answer")).to_have_count(0)
    other.get_by_role("button", name="Again").click()
    expect(other.get_by_role("alert")).to_contain_text("already been rated in another window")
    expect(other.locator("#question")).to_have_text(question(page))


def test_the_flip_is_short_and_still_under_reduced_motion(look: Visit) -> None:
    duration = "getComputedStyle(document.querySelector('.card.flipped')).animationDuration"
    name = "getComputedStyle(document.querySelector('.card.flipped')).animationName"
    for motion, expected in (("no-preference", "card-turn"), ("reduce", "none")):
        page = look(reduced_motion=motion).open("/cards")
        page.keyboard.press("Space")
        expect(page.locator("#answer")).to_be_visible()
        assert page.evaluate(name) == expected
        assert float(page.evaluate(duration).removesuffix("s")) <= 0.35


def test_a_choice_of_deck_stands_in_the_address(look: Visit) -> None:
    page = look().open("/cards")
    page.get_by_text("All decks, all levels").click()
    page.get_by_label("Deck").select_option("qlora")
    page.get_by_role("button", name="Show these").click()
    expect(page).to_have_url(re.compile(r"/cards\?deck=qlora$"))
    expect(page.locator("article.card .meta")).to_contain_text("QLoRA")


def test_an_app_that_does_not_answer_says_so_and_goes_on_when_it_is_back(look: Visit) -> None:
    visitor = look()
    page = visitor.open("/cards")
    page.context.set_offline(True)
    page.keyboard.press("Space")
    expect(page.get_by_role("alert")).to_contain_text("Nothing you typed is lost")
    page.context.set_offline(False)
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#answer")).to_be_visible()
    visitor.forgive("ERR_INTERNET_DISCONNECTED", "Failed to fetch")


def test_keys_pressed_faster_than_the_app_answers_are_not_lost(look: Visit) -> None:
    page = look().open("/cards?new=3")
    for key in ("Space", "4", "Space", "4"):
        page.keyboard.press(key)
    expect(page.locator(".head .figures")).to_contain_text("2 of 3 done")


def test_a_key_pressed_on_a_clicked_button_while_its_answer_comes_is_for_what_comes(look: Visit) -> None:
    page = look().open("/cards?new=3")
    first = question(page)
    page.keyboard.press("Space")
    expect(page.locator("[aria-busy=true]")).to_have_count(0)
    held: list[Route] = []
    page.route("**/act/**", lambda route: held.append(route), times=1)
    page.get_by_role("button", name="Easy").click()  # it keeps the focus until the next card is there
    page.keyboard.press("Space")
    expect(page.locator("[aria-busy=true]")).to_have_count(1)
    held[0].continue_()
    expect(page.locator(".head .figures")).to_contain_text("1 of 3 done")
    expect(page.locator("#answer")).to_be_visible()
    expect(page.locator(".card.flipped .front")).not_to_contain_text(first)


def test_a_press_that_is_refused_says_why_and_can_be_made_again(look: Visit) -> None:
    visitor = look()
    page = visitor.open("/cards?new=3")
    words = "Too many requests from this browser. Wait a moment, then reload the page."
    page.route(
        "**/act/**", lambda route: route.fulfill(status=429, content_type="text/plain", body=words), times=1
    )
    page.keyboard.press("Space")
    expect(page.get_by_role("alert")).to_contain_text(words)
    page.get_by_role("button", name="Try again").click()
    expect(page.locator("#answer")).to_be_visible()
    expect(page.get_by_role("alert")).to_have_count(0)
    visitor.forgive("status of 429")


def test_a_press_goes_through_gradio_where_the_server_does_not_know_the_address(look: Visit) -> None:
    visitor = look()
    page = visitor.open("/cards?new=3")
    page.route("**/act/**", lambda route: route.fulfill(status=404, body=""))
    with page.expect_response("**/component_server**"):
        page.keyboard.press("Space")
    expect(page.locator("#answer")).to_be_visible()
    page.keyboard.press("4")
    expect(page.locator(".head .figures")).to_contain_text("1 of 3 done")
    visitor.forgive("status of 404")


def test_the_editor_is_saved_and_left_by_key(look: Visit) -> None:
    page = look().open("/cards?new=3")
    page.keyboard.press("Space")
    page.keyboard.press("e")
    front = page.get_by_label("Front")
    front.focus()
    page.keyboard.press("Escape")
    expect(page.locator("#edit")).to_have_count(0)
    page.keyboard.press("e")
    front.fill("My own words?")
    page.once("dialog", lambda asked: asked.dismiss())
    page.keyboard.press("Escape")
    expect(front).to_have_value("My own words?")
    page.keyboard.press("Control+Enter")
    expect(page.locator("#edit")).to_have_count(0)
    expect(page.locator("#main")).to_contain_text("My own words?")


def test_a_double_click_on_a_rating_is_one_rating(look: Visit) -> None:
    page = look().open("/cards?new=3")
    page.keyboard.press("Space")
    page.get_by_role("button", name="Easy").dblclick()
    expect(page.locator(".head .figures")).to_contain_text("1 of 3 done")
    expect(page.locator("#flip")).to_be_focused()
    expect(page.get_by_role("alert")).to_have_count(0)


@pytest.mark.parametrize(("width", "height"), [(320, 640), (360, 740), (390, 844), (1280, 800)])
def test_the_ratings_are_in_view_however_long_the_answer_is(look: Visit, width: int, height: int) -> None:
    page = look(width=width, height=height, reduced_motion="reduce").open("/cards?new=3")
    page.get_by_role("button", name="Show the answer").click()
    page.locator("#answer .answer").evaluate("(place) => { place.style.paddingBottom = '150vh'; }")
    page.evaluate("scrollTo(0, 0)")
    for name in ("Again", "Hard", "Good", "Easy"):
        expect(page.get_by_role("button", name=name)).to_be_in_viewport(ratio=1)
    link = page.locator("#answer .chip").first
    link.focus()
    below, bar = link.bounding_box(), page.locator(".ratings").bounding_box()
    assert below
    assert bar
    assert below["y"] + below["height"] <= bar["y"], "the bar doesn't cover what has the focus"


BELOW_TITLE = """() => {
  const box = (what) => document.querySelector(what).getBoundingClientRect();
  const title = box('h1');
  return { counts: box('.head p').top - title.bottom, meter: box('.meter').top - title.top };
}"""


@pytest.mark.parametrize("size", ["usual", "larger"])
def test_the_counts_of_cards_stand_below_the_title_on_a_phone(look: Visit, size: str) -> None:
    visitor = look(width=390, height=844)
    visitor.choose_letters(size)
    page = visitor.open("/cards?new=5")
    before = page.evaluate(BELOW_TITLE)
    for rating in ("1", "1"):
        answer_by_keyboard(page, rating)
    counts = page.locator(".head p")
    expect(counts).to_contain_text("2 in learning")
    after = page.evaluate(BELOW_TITLE)
    assert after["counts"] >= 0
    assert counts.evaluate("each => each.offsetHeight / parseFloat(getComputedStyle(each).lineHeight)") < 2.5
    assert after["meter"] == before["meter"]  # the counts keep their room
