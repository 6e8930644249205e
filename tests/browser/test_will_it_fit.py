"""Will it fit? as a person with a GPU asks it: choose, read one sentence, take the change that is offered."""

import re

import pytest
from playwright.sync_api import Page, expect

from tests.browser.axe import NONE_FOUND, violations, violations_by_theme
from tests.browser.conftest import Visit

pytestmark = pytest.mark.browser


def sentence(page: Page) -> str:
    return page.locator("#fit").inner_text()


def test_the_question_is_answered_in_one_sentence_in_view(look: Visit) -> None:
    page = look(width=1280, height=800).open("/memory")
    expect(page.locator("#fit")).to_contain_text(
        "Fits in 24 GB with 12.0 GB left. 41,943,040 trainable parameters (0.52 %). "
        "It needs 13.4 GB; PyTorch sees 25.4 GB of its 25.8 GB (24 GiB)."
    )
    expect(page.locator("#fit")).to_be_in_viewport(ratio=1)
    expect(page.locator("#longest")).to_contain_text("tokens per sequence")
    expect(page.locator("[data-coming]")).to_have_count(0)
    page.get_by_label("Rank r").fill("8")
    expect(page.locator("#fit")).to_contain_text("20,971,520 trainable")
    form = page.locator("#question").bounding_box()
    page.get_by_label("GPU").select_option("12")
    expect(page.locator("#fit")).to_contain_text("Does not fit in 12 GB")
    expect(page.locator(".changes")).to_be_visible()
    assert page.locator("#question").bounding_box() == form, "the advice moves no control"
    change = page.locator(".changes a").first
    expect(change).to_be_in_viewport(ratio=1)
    change.click()
    expect(page.locator("#fit")).to_contain_text("Fits in 12 GB")
    expect(page.get_by_label("Rank r")).to_have_value("8")
    assert violations(page) == []


def test_the_count_is_the_one_of_the_run_page(look: Visit) -> None:
    visitor = look()
    page = visitor.open("/memory?model=smollm2-135m&rank=8")
    expect(page.locator("#fit")).to_contain_text("2,442,240 trainable parameters (1.78 %)")
    page = visitor.open("/lab?rank=8")
    expect(page.locator("#trainable")).to_have_text("2,442,240")
    expect(page.locator("#percent")).to_have_text("(1.78 %)")


def test_long_tables_are_folded_and_open(look: Visit) -> None:
    page = look(width=390, height=844).open("/memory?from=qlora")
    expect(page.get_by_role("link", name="Back to")).to_be_visible()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    table = page.get_by_role("region", name="What fits")
    expect(table).to_be_hidden()
    page.locator("summary", has_text="What fits on this GPU").click()
    expect(table.locator("[scope=row]").first).to_have_text("gemma-3-1b", timeout=60_000)
    expect(table.get_by_role("row", name="llama-3.1-70b")).to_have_count(1)


def test_on_a_phone_the_verdict_and_the_models_names_stay_in_view(look: Visit) -> None:
    page = look(width=390, height=844).open("/memory?gpu=12")
    expect(page.locator("#longest, .changes").first).to_be_attached()
    assert page.locator("#fit").bounding_box()["height"] < 64  # type: ignore[index]
    page.get_by_label("Batch, sequences").scroll_into_view_if_needed()
    page.mouse.wheel(0, 600)
    expect(page.locator("#fit")).to_be_in_viewport(ratio=1)
    page.locator("summary", has_text="What fits on this GPU").click()
    table = page.get_by_role("region", name="What fits")
    expect(table.locator("[scope=row]").first).to_have_text("gemma-3-1b", timeout=60_000)
    table.evaluate("region => region.scrollLeft = region.scrollWidth")
    box, region = table.locator("[scope=row]").first.bounding_box(), table.bounding_box()
    assert box
    assert region
    assert box["x"] >= region["x"]
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


def test_two_wrong_numbers_are_both_marked_until_they_are_corrected(look: Visit) -> None:
    page = look(width=390, height=844).open("/memory")
    page.get_by_label("Rank r").fill("2000")
    page.get_by_label("Batch, sequences").fill("0")
    for name in ("Rank r", "Batch, sequences"):
        field = page.get_by_role("spinbutton", name=name, exact=True)
        expect(field).to_have_attribute("aria-invalid", "true")
        expect(field).to_have_accessible_description(re.compile(f"^“{name}” must be a whole number from 1"))
    expect(page.locator("[aria-invalid=true]")).to_have_count(2)
    assert violations(page) == []
    page.get_by_label("Rank r").fill("16")
    page.get_by_label("Batch, sequences").fill("1")
    expect(page.locator("[aria-invalid=true]")).to_have_count(0)
    expect(page.locator("#fit")).to_contain_text("Fits in 24 GB")


def test_axe_finds_no_violation(look: Visit) -> None:
    page = look(reduced_motion="reduce").open("/memory?gpu=8")
    expect(page.locator("#fit")).to_contain_text("Does not fit in 8 GB")
    for summary in page.locator("#main summary").all():
        if summary.is_visible():
            summary.click()
    assert violations_by_theme(page) == NONE_FOUND
