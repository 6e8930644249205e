"""Explaining with the real grader in its process: an attempt, a teacher's mark and its undo, a second try."""

import re

import pytest
from playwright.sync_api import expect

from tests.browser.axe import violations
from tests.browser.conftest import StartApp, Visit

pytestmark = pytest.mark.browser

OFF_TOPIC = "My uncle sells <b>boats</b> & the weather was fine on Sunday."
SECOND = (
    "The pretrained weights stay frozen and receive no updates. What is learned is the product of two "
    "small low-rank matrices, which is added to the original weight. Only a very small share of the "
    "parameters is trained. Gradients and optimizer states are kept for the adapters only, so it needs much "
    "less GPU memory."
)
READ_MS = 120_000  # the first answer waits for the model to load, and on a fresh machine to be fetched


def test_an_attempt_a_teachers_mark_and_a_second_try(visit: Visit, start_app: StartApp) -> None:
    address = start_app("--study-only")  # a grader, and no worker that would load a model to train
    visitor = visit(address=address, width=390, height=844, color_scheme="dark", reduced_motion="reduce")
    page = visitor.open("/explain?prompt=explain-lora")
    box = page.get_by_label("In your own words, explain what LoRA is")
    box.fill(OFF_TOPIC)
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Reading your answer…")).to_be_visible()
    expect(page.get_by_text("Meanwhile: what a full answer says")).to_be_visible()
    expect(page.locator("#result")).to_be_focused(timeout=READ_MS)
    expect(page.get_by_text("0 of 4 concepts", exact=True)).to_be_visible()
    expect(page.locator(".verdict")).to_have_count(4)
    expect(page.locator(".said blockquote")).to_contain_text(OFF_TOPIC)
    expect(page.get_by_text("An example answer")).to_be_visible()

    claim = page.get_by_role("button", name=re.compile("I disagree.*Low-rank update"))
    claim.click()
    expect(claim).to_have_attribute("aria-pressed", "true")
    expect(page.locator("#idea-2")).to_be_focused()
    page.get_by_text("Mark as teacher, and history").click()
    page.locator("select[name=concept]").select_option("low-rank-update")
    page.get_by_label("Reason").fill("Said aloud in class.")
    page.get_by_role("button", name="Set this verdict").click()
    expect(page.get_by_text("1 of 4 concepts", exact=True)).to_be_visible()
    expect(page.locator("#idea-2")).to_contain_text("Said aloud in class. (grader:")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    assert violations(page) == []

    page.reload()
    visitor.settled()
    page.get_by_text("Mark as teacher, and history").click()
    page.get_by_role("button", name=re.compile("Undo.*Teacher, Low-rank update")).click()
    expect(page.get_by_text("(taken back)")).to_be_visible()

    page.get_by_role("button", name="Write it again").click()
    box.fill(SECOND)
    page.get_by_role("button", name="Compare with the concepts").click()
    expect(page.locator("#result")).to_be_focused(timeout=READ_MS)
    expect(page.get_by_text("New since your last try:")).to_be_visible()
    expect(page.locator("mark").first).to_be_visible()
    expect(page.locator(".claims button")).to_have_count(4)
    expect(page.get_by_text("It is never the only mark")).to_be_hidden()
    page.get_by_text("How far to trust it").click()
    expect(page.get_by_text("It is never the only mark")).to_be_visible()
    expect(page.get_by_text("Your earlier explanations (1)")).to_be_visible()
