"""Import and export in a real browser: look first, import, study, take back, download everything."""

import json
import re
from pathlib import Path

import pytest
from playwright.sync_api import expect

from study.base.import_limits import ITEMS
from tests.browser.axe import violations
from tests.browser.conftest import StartApp, Visit

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def app_address(start_app: StartApp) -> str:
    """An app of this module's own, because imported decks are there for every profile."""
    return start_app("--no-worker")


DECK = """Q: What is the rank of $B A$?
A: At most r.

Q: Nobody answers this?

C: NF4 has [16] levels.
"""


def test_a_deck_is_looked_at_imported_studied_and_taken_back(look: Visit, tmp_path: Path) -> None:
    file = tmp_path / "my own.md"
    file.write_text(DECK)
    visitor = look(width=390, height=844, color_scheme="dark")
    page = visitor.open("/cards?new=1")
    page.get_by_role("link", name="Import or export cards").click()
    visitor.settled()

    page.get_by_label("A file with cards, questions or a backup").set_input_files(file)
    preview = page.locator("#preview")
    expect(preview).to_be_focused()
    expect(preview.get_by_role("row", name="Cards")).to_have_text("Cards2001")
    expect(preview.get_by_text("my own.md:4 a Q: without its A:")).to_be_visible()
    page.reload()
    visitor.settled()
    assert page.evaluate("document.documentElement.scrollWidth") <= 390

    page.get_by_role("button", name="Import into Guest learner").click()
    expect(page.locator("#said")).to_contain_text("my own.md is imported: 2 new, 0 changed.")
    expect(page.locator("#said").get_by_role("button", name="Undo")).to_be_visible()
    assert violations(page) == []
    page.get_by_role("link", name="Study these").click()
    visitor.settled()
    expect(page.locator(".card .front")).to_contain_text("What is the rank of")

    visitor.open("/io")
    page.once("dialog", lambda dialog: dialog.accept())
    page.get_by_role("button", name="Undo the import of my own.md").click()
    expect(page.locator("#said")).to_have_text("The import of my own.md is undone.")
    visitor.open("/cards?deck=my-own&new=2")
    expect(page.get_by_text("No card matches these filters")).to_be_visible()


def test_plain_notes_are_refused_in_view_with_what_was_found(look: Visit, tmp_path: Path) -> None:
    file = tmp_path / "notes.md"
    file.write_text("LoRA trains two thin matrices.\nThe base is frozen.\n")
    page = look(width=390, height=844).open("/io")
    field = page.get_by_label("A file with cards, questions or a backup")
    field.set_input_files(file)
    alert = page.get_by_role("alert")
    expect(alert).to_contain_text("notes.md has 2 lines of text and no card.")
    expect(alert).to_be_in_viewport()
    expect(alert.locator("code").first).to_have_text("Q:")
    expect(alert).not_to_contain_text("`")
    expect(field).to_have_accessible_description(re.compile("2 lines of text"))
    above, below = field.bounding_box(), alert.bounding_box()
    assert above is not None
    assert below is not None
    assert 0 <= below["y"] - above["y"] - above["height"] < 40


def test_everything_is_downloaded_and_comes_back_for_another_learner(look: Visit, tmp_path: Path) -> None:
    visitor = look()
    page = visitor.open("/cards?new=2")
    page.keyboard.press("Space")
    page.keyboard.press("4")
    expect(page.get_by_text("1 of 2 done")).to_be_visible()
    visitor.open("/io")
    with page.expect_download() as waiting:
        page.get_by_role("link", name="Download everything").click()
    backup = tmp_path / waiting.value.suggested_filename
    waiting.value.save_as(backup)
    assert len(json.loads(backup.read_text())["tables"]["card_reviews"]) == 1
    with page.expect_download() as waiting:
        page.get_by_role("link", name="Cards as an Anki deck").click()
    assert waiting.value.suggested_filename == "lora-study-cards.apkg"

    other = look()
    page = other.open("/io")
    page.get_by_label("A file with cards, questions or a backup").set_input_files(backup)
    expect(page.get_by_role("row", name="Card reviews")).to_have_text("Card reviews1000")
    page.get_by_role("button", name="Import into").click()
    expect(page.locator("#said")).to_contain_text("is imported")
    other.open("/cards?new=2")
    expect(page.get_by_text("1 of 2 done")).to_be_visible()


def test_why_a_large_file_was_refused_is_said_when_its_reading_ends(look: Visit, tmp_path: Path) -> None:
    file = tmp_path / "large.md"
    file.write_text("".join(f"Q: What is r{number}?\nA: It is {number}.\n\n" for number in range(ITEMS + 1)))
    page = look().open("/io")
    page.get_by_label("A file with cards, questions or a backup").set_input_files(file)
    expect(page.get_by_role("alert")).to_contain_text("large.md holds more than 20,000 items, the limit.")
    expect(page.get_by_role("heading", name="Reading large.md")).to_have_count(0)
