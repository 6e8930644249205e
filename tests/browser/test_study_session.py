"""A session of cards as a whole: rewrite, mark, set aside, take back, crash, come back after two weeks."""

import re
import signal
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Page, Route, expect

from flashcards.decks.deck import load_decks
from flashcards.review.operations import Reviews
from study.base.settings import load_settings
from study.content.concepts import load_concepts
from study.store import open_store
from study.web.security.middleware import COOKIE
from tests.browser.axe import violations
from tests.browser.conftest import Visit, launch
from tests.browser.test_study_cards import answer_by_keyboard, question
from tests.flashcards.fortnight import study

pytestmark = pytest.mark.browser


def fine_on_a_phone(page: Page) -> None:
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert violations(page) == []


def test_rewriting_marking_and_setting_aside_by_keyboard_and_all_of_it_taken_back(look: Visit) -> None:
    visitor = look(width=390, height=844, color_scheme="dark", reduced_motion="reduce")
    page = visitor.open("/cards?new=3")
    first = question(page)
    page.keyboard.press("Space")
    easy = page.get_by_role("button", name="Easy").inner_text()
    page.keyboard.press("e")
    expect(page.locator("#edit textarea").first).to_be_focused()
    fine_on_a_phone(page)
    page.get_by_label("Back").fill("My own answer, with keys such as 1 2 u e in it")
    page.get_by_role("button", name="Save").click()
    expect(page.locator("#answer")).to_contain_text("My own answer")
    expect(page.get_by_role("button", name="Easy")).to_have_text(easy)
    page.keyboard.press("f")
    expect(page.locator("#flags")).to_be_focused()
    fine_on_a_phone(page)
    page.keyboard.press("3")
    expect(page.locator(".flag")).to_have_text("⚑ Important")
    page.keyboard.press("4")
    expect(page.locator("#question")).not_to_have_text(first)
    second = question(page)
    page.keyboard.press("b")
    expect(page.locator("#question")).not_to_have_text(second)
    third = question(page)
    page.keyboard.press("x")
    expect(page.locator("#question")).not_to_have_text(third)
    for back in (third, second, first):
        page.keyboard.press("u")
        expect(page.locator("#question")).to_have_text(back)
    page.keyboard.press("u")
    expect(page.locator(".flag")).to_have_count(0)
    page.keyboard.press("u")
    expect(page.get_by_role("button", name="Undo")).to_have_count(0)
    page.keyboard.press("?")
    expect(page.locator("#keys kbd").get_by_text("/", exact=True)).to_have_count(1)
    page.keyboard.press("Escape")
    page.keyboard.press("/")
    expect(page.get_by_role("dialog").get_by_role("combobox")).to_be_focused()
    page.keyboard.press("Escape")
    page.get_by_role("searchbox", name="Search all cards").fill("double quantization")
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/browse"))
    expect(page.locator(".found-row").first).to_be_visible()
    fine_on_a_phone(page)


def test_a_key_pressed_while_an_answer_is_on_its_way_stays_the_pages(
    look: Visit,
) -> None:
    page = look().open("/cards?new=3")
    held: list[Route] = []
    page.route("**/act/**", lambda route: held.append(route))
    page.keyboard.press("Space")
    page.keyboard.press("e")
    for route in held:
        route.continue_()
    page.unroute("**/act/**")
    expect(page.get_by_label("Back")).to_be_visible()
    expect(page.get_by_role("dialog")).to_have_count(0)


def test_undo_goes_back_from_the_last_screen_to_the_first_card(look: Visit) -> None:
    page = look().open("/cards?new=2")
    first = question(page)
    for _ in range(2):
        answer_by_keyboard(page, "4")
    expect(page.locator(".lead")).to_contain_text("No card is waiting")
    for _ in range(2):
        page.keyboard.press("u")
        expect(page.locator("#question")).to_be_visible()
    expect(page.locator("#question")).to_have_text(first)
    expect(page.locator(".head .figures")).to_contain_text("0 of 2 done")


def test_a_search_narrows_while_typing_and_its_rows_can_be_changed(look: Visit) -> None:
    page = look().open("/browse")
    page.get_by_role("searchbox", name="Words").fill("target_modules")
    expect(page.locator("[data-part=results] .figures").first).to_contain_text("found")
    row = page.locator(".found-row", has_text="Which argument of PEFT's")
    row.click()
    page.get_by_role("button", name="Suspend").click()
    expect(row).to_contain_text("suspended")
    page.reload()
    page.get_by_role("combobox", name="State").select_option("suspended")
    expect(page.locator(".found-row")).to_have_count(1)
    page.locator(".found-row").click()
    page.get_by_role("button", name="Bring back").click()
    expect(page.get_by_text("No card matches all of that.")).to_be_visible()


def test_the_app_is_killed_in_the_middle_of_a_session_and_nothing_is_lost(
    visit: Visit, tmp_path: Path
) -> None:
    process, address = launch(tmp_path, "--no-worker")
    try:
        visitor = visit(address=address)
        page = visitor.open("/cards?new=3")
        answer_by_keyboard(page, "4")
        second = question(page)
        page.keyboard.press("Space")
        expect(page.locator("#answer")).to_be_visible()
        process.send_signal(signal.SIGKILL)
        process.wait()
        page.keyboard.press("3")
        expect(page.get_by_role("alert")).to_contain_text("Nothing you typed is lost")
        process, _ = launch(tmp_path, "--no-worker", port=urlsplit(address).port or 0)
        page.get_by_role("button", name="Try again").click()
        expect(page.locator("#question")).not_to_have_text(second)
        expect(page.locator(".head .figures")).to_contain_text("1 of 3 done")
        for _ in range(2):
            page.keyboard.press("u")
        expect(page.locator(".head .figures")).to_contain_text("0 of 3 done")
        visitor.forgive("Failed to load resource", "Failed to fetch", "ERR_", "Connection", "connection")
    finally:
        process.kill()
        process.wait()


def test_after_two_weeks_of_study_the_pages_say_where_one_is(visit: Visit, tmp_path: Path) -> None:
    store = open_store(load_settings(home=tmp_path).database_url)
    begun = datetime.now(UTC) - timedelta(days=14)
    ana = store.profiles.add("the browser of ana", "Ana", now=begun).id
    store.preferences.change(ana, new_cards_a_day=3, time_zone="UTC", reviews_a_day=3)
    studied = list(study(Reviews(store=store, decks=load_decks(load_concepts())), ana, first_day=begun))
    store.close()
    process, address = launch(tmp_path, "--no-worker")
    try:
        visitor = visit(address=address)
        visitor.page.context.add_cookies([{"name": COOKIE, "value": "the browser of ana", "url": address}])
        page = visitor.open("/")
        expect(page.get_by_text("14 days in a row")).to_be_visible()
        visitor.open("/cards")
        expect(page.locator("form.notice")).to_contain_text("3 fit today")
        page.get_by_role("button", name="Spread").first.click()
        expect(page.locator("form.notice")).to_have_count(0)
        answer_by_keyboard(page, "3")
        visitor.open("/browse?state=new")
        learnt = {answer.card_id for answer in studied}
        found = page.locator("[data-part=results] .figures").first.inner_text()
        assert int(found.split()[0]) == len(load_decks(load_concepts()).cards) - len(learnt)
    finally:
        process.terminate()
        process.wait()
