"""Live figures by keyboard: one of each kind, the numbers read as a person and a screen reader get them."""

import re

import pytest
from axe_playwright_python.sync_playwright import Axe  # type: ignore[import-untyped]
from playwright.sync_api import Locator, Page, expect

from tests.browser.conftest import Visit

pytestmark = pytest.mark.browser


class Figure:
    """One live figure on the page."""

    def __init__(self, page: Page, name: str) -> None:
        self.page = page
        self.place = page.locator(f'[data-figure="{name}"]')

    def press(self, label: str, *keys: str) -> None:
        """Focus the slider with that name and press keys."""
        self.slider(label).focus()
        for key in keys:
            self.page.keyboard.press(key)

    def slider(self, label: str) -> Locator:
        return self.place.get_by_role("slider", name=label, exact=True)

    def says(self, words: str) -> None:
        expect(self.place.locator("[data-finding]")).to_contain_text(words)

    def shows(self, words: str) -> None:
        """In the picture's alternative text."""
        expect(self.place.locator(".fig-picture")).to_have_attribute("aria-label", words)


def test_a_slider_moves_numbers_picture_and_alternative_text_and_keeps_the_focus(visit: Visit) -> None:
    page = visit().open("/figures")
    one = Figure(page, "lora-to-scale")
    one.says("At rank 8")
    one.press("Rank r", "ArrowRight")
    one.says("At rank 12, B and A hold 13,824 numbers")
    rank = one.slider("Rank r")
    expect(rank).to_be_focused()
    expect(rank).to_have_attribute("aria-valuetext", "12")
    one.press("Rank r", "End")
    one.says("At rank 256")
    assert "B of 576 by 256" in (one.place.locator(".fig-picture").get_attribute("aria-label") or "")
    expect(page.locator("#live")).to_contain_text("At rank 256")


def test_every_kind_of_figure_answers_the_keyboard(visit: Visit) -> None:
    page = visit().open("/figures")
    chart = Figure(page, "scaling-over-ranks")
    chart.press("Rank r", "End")
    chart.says("At rank 256 and alpha 16, LoRA multiplies B·A·x by 0.0625")

    steps = Figure(page, "block-step-by-step")
    steps.press("Weight number", "ArrowRight")
    steps.says("Weight 5 is")

    arithmetic = Figure(page, "double-quantization")
    arithmetic.press("Lines of the arithmetic", "Home")
    arithmetic.shows("one 32-bit constant for 64 weights: 32 / 64 = 0.5 bits a weight.")

    memory = Figure(page, "training-memory")
    memory.place.get_by_role("combobox", name="Model", exact=True).select_option("llama-7b")
    memory.says("llama-7b: ")

    measured = Figure(page, "paged-optimizer")
    measured.press("Memory of the device", "Home")
    measured.says("the run stops at step")

    recorded = Figure(page, "merging")
    recorded.press("Steps trained", "Home")
    recorded.says("After 5 steps")


def test_a_figure_stands_alone_at_its_address_and_fits_a_phone(visit: Visit) -> None:
    visitor = visit(width=390, height=844)
    page = visitor.open("/figures?figure=lora-to-scale&rank=64")
    one = Figure(page, "lora-to-scale")
    one.says("At rank 64")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    slider = one.slider("Rank r").bounding_box()
    assert slider is not None
    assert slider["height"] >= 44
    one.press("Rank r", "ArrowRight")
    one.says("At rank 96")
    expect(page).to_have_url(re.compile(r"figure=lora-to-scale&rank=96"))


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_no_violation_in_any_figure_with_all_of_it_open(visit: Visit, scheme: str) -> None:
    page = visit(color_scheme=scheme, reduced_motion="reduce").open("/figures")
    page.evaluate("document.querySelectorAll('.fig details').forEach((one) => { one.open = true; })")
    found = Axe().run(page).response["violations"]
    assert [(one["id"], [node["html"][:160] for node in one["nodes"]]) for one in found] == []
