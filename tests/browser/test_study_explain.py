"""Explaining as a person does: typing, reloading in the middle, submitting, ticking, comparing."""

import pytest
from playwright.sync_api import expect

from tests.browser.conftest import Visit

pytestmark = pytest.mark.browser

# What a template engine, a browser or a careless page might take for more than text.
TRICKY = "Frozen <b>W</b>, plus ${1+1} {{value}} `r` \\alpha & 'B A'"


def test_a_draft_survives_a_reload_and_becomes_an_explanation(look: Visit) -> None:
    page = look().open("/explain")
    page.get_by_role("link", name="explain what LoRA is").click()
    box = page.get_by_label("In your own words, explain what LoRA is")
    box.fill(TRICKY)
    expect(page.locator("[data-saved]")).to_have_text("Saved")
    page.reload()
    expect(box).to_have_value(TRICKY)
    page.get_by_role("button", name="Give me a hint").click()
    expect(page.locator("#hint")).to_contain_text("Think about which numbers get trained")
    expect(box).to_have_value(TRICKY)

    page.get_by_role("button", name="Compare with the concepts").click()
    expect(page.locator("blockquote")).to_have_text(TRICKY)
    page.get_by_role("checkbox", name="Base weights stay frozen").check()
    page.get_by_role("checkbox", name="Low-rank update").check()
    page.get_by_role("checkbox", name="Few trainable parameters").check()
    page.get_by_role("button", name="Keep this and show an example answer").click()
    expect(page.get_by_text("3 of 4 concepts", exact=True)).to_be_visible()
    expect(page.get_by_text("An example answer")).to_be_visible()

    page.get_by_role("button", name="Write it again").click()
    expect(page.get_by_label("In your own words, explain what LoRA is")).to_have_value("")
    expect(page.get_by_text("Your earlier explanations (1)")).to_be_visible()


def test_what_is_typed_while_leaving_at_once_is_kept(look: Visit) -> None:
    visitor = look()
    page = visitor.open("/explain?prompt=explain-rank")
    page.locator("#answer").press_sequentially("The inner dimension")
    visitor.open("/")
    visitor.open("/explain?prompt=explain-rank")
    expect(page.locator("#answer")).to_have_value("The inner dimension")


def test_typing_is_never_interrupted_by_saving(look: Visit) -> None:
    page = look().open("/explain?prompt=explain-qlora")
    box = page.locator("#answer")
    box.focus()
    page.keyboard.type("Four bits, ")
    expect(page.locator("[data-saved]")).to_have_text("Saved")
    expect(box).to_be_focused()
    page.keyboard.type("1 2 u and space")
    expect(box).to_have_value("Four bits, 1 2 u and space")


def test_an_app_that_does_not_answer_loses_no_text(look: Visit) -> None:
    visitor = look()
    page = visitor.open("/explain?prompt=explain-lora")
    page.context.set_offline(True)
    page.locator("#answer").fill("Written without a server")
    expect(page.locator("[data-saved]")).to_contain_text("kept in this window")
    page.context.set_offline(False)
    page.reload()
    expect(page.locator("#answer")).to_have_value("Written without a server")
    expect(page.locator("[data-saved]")).to_have_text("Saved")
    visitor.forgive("ERR_INTERNET_DISCONNECTED", "Failed to fetch")
