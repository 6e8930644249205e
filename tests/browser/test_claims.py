"""The claim checker as a person uses it: paste, read the verdict, correct it, fill the form."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Page, expect

from tests.browser.conftest import Visit

pytestmark = pytest.mark.browser

TUTORIAL = """model = AutoModelForCausalLM.from_pretrained("meta-llama/Meta-Llama-3-8B")
config = LoraConfig(r=16, target_modules=["q_proj", "k_proj", "v_proj", "o_proj"])
# trainable params: 20,971,520 || all params: 8,051,232,768 || trainable%: 0.26
"""


def verdict(page: Page) -> str:
    return page.locator("#verdict-title").inner_text()


def test_a_pasted_tutorial_is_judged_with_the_right_numbers_beside_the_printed_ones(look: Visit) -> None:
    page = look().open("/claims")
    expect(page.get_by_role("heading", level=1)).to_have_text("Claims")
    page.get_by_label("Text with the code and the printed line").fill(TUTORIAL)
    page.get_by_role("button", name="Check the claim").click()
    expect(page.locator("#verdict-title")).to_contain_text("Impossible")
    expect(page.locator("#verdict")).to_be_focused()
    row = page.locator("#verdict table tr", has_text="trainable params")
    expect(row).to_contain_text("20,971,520")
    expect(row).to_contain_text("13,631,488")
    expect(row).to_contain_text("✗ no")
    expect(page.locator(".arithmetic")).to_contain_text(
        "self_attn.k_proj: 32 × 16 × (4,096 + 1,024) = 2,621,440"
    )
    expect(page.locator(".settings-found").first).to_contain_text("r = 8 on")
    expect(page.get_by_label("Text with the code and the printed line")).to_have_value(TUTORIAL)


def test_the_corrected_text_is_possible(look: Visit) -> None:
    page = look().open("/claims")
    right = TUTORIAL.replace("20,971,520", "13,631,488").replace("8,051,232,768", "8,043,892,736")
    box = page.get_by_label("Text with the code and the printed line")
    box.fill(right.replace("0.26", "0.17"))
    box.press("Tab")
    page.get_by_role("button", name="Check the claim").press("Enter")
    expect(page.locator("#verdict-title")).to_contain_text("Possible")


def test_a_text_without_a_line_says_what_to_add_and_keeps_what_was_typed(look: Visit) -> None:
    page = look().open("/claims?example=open-setting")
    expect(page.locator("#verdict-title")).to_contain_text("Underdetermined")
    page.get_by_label("Text with the code and the printed line").fill("LoraConfig(r=8) on llama-7b")
    page.get_by_role("button", name="Check the claim").click()
    expect(page.get_by_role("alert")).to_contain_text("There is no printed line in this text")
    expect(page.get_by_label("Text with the code and the printed line")).to_have_value(
        "LoraConfig(r=8) on llama-7b"
    )
    expect(page.locator("#verdict")).to_be_empty()


def test_the_form_leaves_open_what_is_left_empty(look: Visit) -> None:
    page = look().open("/claims")
    page.get_by_text("Fill in a form instead").click()
    page.get_by_label("Model").fill("llama-7b")
    page.get_by_label("Printed line", exact=True).fill("trainable params: 4194304 || all params: 6742609920")
    page.get_by_role("button", name="Check the form").click()
    expect(page.locator("#verdict-title")).to_contain_text("Underdetermined")
    expect(page.locator(".settings-found").first).to_contain_text("r = 8 on k_proj, q_proj")
    page.get_by_label("Rank").fill("8")
    page.get_by_label("Target modules").fill("q_proj, v_proj")
    page.get_by_role("button", name="Check the form").click()
    expect(page.locator("#verdict-title")).to_contain_text("Possible")


def test_an_example_is_checked_from_its_address(look: Visit) -> None:
    page = look().open("/claims?example=falcon-4bit")
    expect(page.locator("#verdict-title")).to_contain_text("Possible")
    expect(page.locator("#verdict")).to_contain_text("6,926,439,296 − 6,625,951,744 / 2 = 3,613,463,424")


def test_a_pasted_config_adds_a_model_that_a_claim_can_name(look: Visit) -> None:
    page = look().open("/models")
    expect(page.get_by_role("row", name=re.compile("llama-3.1-405b"))).to_contain_text("405,853,388,800")
    page.get_by_text("Add one from its config.json").click()
    page.get_by_label("Name or hub id").fill("ana/little")
    page.get_by_label("config.json").fill("{}")
    page.get_by_role("button", name="Read and add").click()
    expect(page.locator("#add").get_by_role("alert")).to_contain_text("That has no model_type")
    page.get_by_label("Name or hub id").fill("ana/little")
    page.get_by_label("config.json").fill(
        '{"model_type": "gpt2", "n_embd": 64, "n_layer": 2, "n_head": 2, "vocab_size": 100, '
        '"n_positions": 32}'
    )
    page.get_by_role("button", name="Read and add").click()
    expect(page.locator("#add").get_by_role("status")).to_have_text("Reading the configuration …")
    expect(page.locator("#add").get_by_role("alert")).to_have_count(0)
    expect(page.locator("#added")).to_contain_text("ana/little is added", timeout=90_000)
    page = look().open("/claims")
    page.get_by_text("Fill in a form instead").click()
    page.get_by_label("Model").fill("ana/little")
    page.get_by_label("Printed line", exact=True).fill("trainable params: 4,096 || all params: 112,640")
    page.get_by_label("Rank").fill("8")
    page.get_by_label("Target modules").fill("c_attn")
    page.get_by_role("button", name="Check the form").click()
    expect(page.locator("#verdict-title")).to_contain_text("Possible")


@pytest.mark.parametrize("width", [1280, 390])
def test_a_verdict_can_be_read_by_everyone(look: Visit, width: int) -> None:
    page = look().open("/claims?example=llama3-attention")
    page.set_viewport_size({"width": width, "height": 800})
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()
    assert page.evaluate("document.documentElement.scrollWidth <= window.innerWidth")
    assert re.search("Impossible", verdict(page))


def test_an_error_stands_beside_the_field_it_is_about(look: Visit) -> None:
    page = look().open("/claims")
    page.get_by_label("Text with the code and the printed line").fill("nothing printed here")
    page.get_by_role("button", name="Check the claim").click()
    problem = page.locator("#paste").get_by_role("alert")
    expect(problem).to_contain_text("There is no printed line")
    expect(problem).to_be_in_viewport(ratio=1)


def test_a_share_of_wrong_numbers_is_not_marked_right(look: Visit) -> None:
    page = look().open("/claims?example=llama3-attention")
    row = page.locator("#verdict table tr", has_text="trainable%")
    expect(row).to_contain_text("0.26")
    expect(row).to_contain_text("0.1695")
    expect(row).to_contain_text("✗ no")


def test_on_a_laptop_no_column_of_the_models_is_cut_and_a_verdict_has_no_room_below_its_words(
    look: Visit,
) -> None:
    page = look().open("/models")
    cut = "region => region.scrollWidth - region.clientWidth"
    assert page.get_by_role("region", name="1B to 73B parameters").evaluate(cut) <= 0
    page.goto(page.url.replace("/models", "/papers"))
    pill = page.locator("details.verdict").first
    expect(pill).to_be_visible()
    plain = page.locator(".legend .verdict").first
    heights = [each.bounding_box()["height"] for each in (pill, plain)]  # type: ignore[index]
    assert abs(heights[0] - heights[1]) <= 3


def test_on_a_phone_printed_and_expected_numbers_are_in_view_together(look: Visit) -> None:
    page = look(width=390, height=844).open("/claims?example=llama3-attention")
    row = page.locator("#verdict table tr", has_text="all params")
    expect(row).to_contain_text("8,043,892,736")
    table = row.locator("xpath=ancestor::div[@role='region']")
    assert table.evaluate("it => it.scrollWidth <= it.clientWidth")
