"""The reference page on paper: one sheet, with the check or source of each number."""

import re
from typing import Any

import pytest
from playwright.sync_api import expect

import lora_lab.quantities  # noqa: F401 - registers what the lines compute
from study.lessons.reference import read_reference
from tests.browser.conftest import Visit

pytestmark = pytest.mark.browser

MARGIN = "12.7mm"
"""The widest that a browser leaves by default."""

PAGE_OF_A_PDF = re.compile(rb"/Type\s*/Page\b")

SMALLEST_LETTERS = """() => {
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  const sizes = [];
  while (walker.nextNode()) {
    const holder = walker.currentNode.parentElement;
    if (!walker.currentNode.data.trim() || !holder.checkVisibility()) continue;
    sizes.push(parseFloat(getComputedStyle(holder).fontSize));
  }
  return Math.min(...sizes);
}"""
"""In px, of the text that shows; 10 px are 7.5 pt."""

BRIGHTEST_CHANNEL = """e => Math.max(...getComputedStyle(e).color.match(/\\d+/g).slice(0, 3).map(Number))"""


@pytest.mark.parametrize("options", [{}, {"color_scheme": "dark"}], ids=["light", "dark"])
@pytest.mark.parametrize("letters", ["", "large"])
def test_the_sheet_is_one_page_of_a4_and_of_letter(
    look: Visit, letters: str, options: dict[str, Any]
) -> None:
    visitor = look(**options)
    visitor.choose_letters(letters)
    page = visitor.open("/reference")
    margins: Any = dict.fromkeys(("top", "bottom", "left", "right"), MARGIN)
    for paper in ("A4", "Letter"):
        printed = page.pdf(format=paper, margin=margins)
        assert len(PAGE_OF_A_PDF.findall(printed)) == 1, paper
    page.emulate_media(media="print")
    assert page.evaluate(SMALLEST_LETTERS) >= 10
    assert page.locator(".lines dd").first.evaluate(BRIGHTEST_CHANNEL) == 0, "black on white"
    page.emulate_media(media="null")


def test_the_sheet_prints_checks_and_sources_and_nothing_of_the_app(look: Visit) -> None:
    page = look().open("/reference")
    lines = [line for section in read_reference() for line in section.lines]
    expect(page.locator(".printed").first).to_be_hidden()
    assert page.locator(".lines dd").first.inner_text().replace("\xa0", " ").endswith(f". {lines[0].source}")
    page.emulate_media(media="print")
    assert (
        page.locator("#site, #asks, .skip, .actions, .words").evaluate_all(
            "all => all.filter((one) => one.checkVisibility() && one.getBoundingClientRect().bottom > 0)"
        )
        == []
    )
    sources = page.locator(".lines .source")
    assert sources.count() == len(lines)
    assert all(source.is_visible() for source in sources.all())
    assert page.locator(".printed").count() == sum(len(line.list_checks()) for line in lines) >= 15
    expect(page.locator(".printed").first).to_be_visible()
    page.emulate_media(media="null")
