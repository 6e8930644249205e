"""Browsing the cards as functions: search, look closer, set aside, mark, rewrite, undo."""

import pytest

import lora_lab.quantities  # noqa: F401 - some cards compute their answers
from flashcards.pages.browse import AT_ONCE, BrowsePage
from study.ports.context import Context
from study.web.frame import Reply
from tests.flashcards.pages.browsing import build_browse
from tests.visits import build_event, opened, words


@pytest.fixture
def page(context: Context) -> BrowsePage:
    return build_browse(context)


def results(reply: Reply) -> str:
    return reply["parts"]["results"]


def search(page: BrowsePage, **fields: str) -> Reply:
    asked = {"words": "", **fields}
    return page.act({"act": "find", "fields": {name: [text] for name, text in asked.items()}}, opened("b1"))


def of_row(html: str, card: str) -> dict[str, str]:
    return {**build_event(html, "open"), "card": card}


def test_a_search_narrows_the_list_and_stands_in_the_address(page: BrowsePage) -> None:
    reply = search(page, words="scaled factor", deck="words-formulas-pictures")
    assert words(results(reply)).startswith("1 card found")
    assert reply["url"] == "/browse?deck=words-formulas-pictures&words=scaled+factor"
    assert reply["say"] == "1 card found."
    again = page.load(opened("b1", reply["url"].partition("?")[2]))
    assert "By which factor is the adapter" in words(again)


def test_a_deck_and_a_tag_without_cards_stay_chosen(page: BrowsePage) -> None:
    shown = page.load(opened("b1", "deck=gone&tag=gone"))
    assert '<option value="gone" selected>gone</option>' in shown
    assert "<option selected>gone</option>" in shown
    assert "0 cards found" in words(shown)


def test_a_long_list_is_shown_in_part_until_asked_for(page: BrowsePage) -> None:
    first = page.load(opened("b1"))
    assert first.count('class="found-row"') == AT_ONCE
    whole = results(page.act({"act": "all", "fields": {"words": [""]}}, opened("b1")))
    assert whole.count('class="found-row"') == len(page.exercise.reviews.decks.cards)


def test_nothing_found_says_what_to_do(page: BrowsePage) -> None:
    assert "Remove a word or a filter" in words(results(search(page, words="xylophone")))


def test_an_open_row_shows_both_sides_and_what_can_be_done(page: BrowsePage) -> None:
    found = results(page.act({"act": "all", "fields": {"words": [""]}}, opened("b1")))
    assert "It takes a list of names" not in words(found)
    opened_row = results(page.act(of_row(found, "typed-target-modules"), opened("b1")))
    assert "It takes a list of names" in words(opened_row)
    front = "Which argument of"
    assert words(opened_row).count(front) == words(found).count(front) > 0  # said once, by the row itself
    suspended = page.act(build_event(opened_row, "suspend"), opened("b1"))
    assert suspended["say"] == "Suspended."
    assert "· suspended" in words(results(suspended))
    flagged = results(page.act(build_event(results(suspended), "flag", nth=3), opened("b1")))
    assert "⚑ Ask someone" in words(flagged)
    undone = results(page.act(build_event(flagged, "undo", card="typed-target-modules"), opened("b1")))
    assert "⚑" not in words(undone)
    back = results(page.act(build_event(undone, "resume"), opened("b1")))
    assert "· suspended" not in words(back)


def test_a_card_is_rewritten_from_its_row(page: BrowsePage) -> None:
    found = results(search(page, words="target_modules argument"))
    form = page.act({**of_row(found, "typed-target-modules"), "act": "edit"}, opened("b1"))
    fields = {"front": ["Mine"], "back": ["target_modules"], "why": ["so"]}
    saved = page.act(
        build_event(results(form), "save-edit", fields=fields, query="?words=Mine"), opened("b1")
    )
    assert saved["say"].startswith("Saved.")
    assert "your own text" in words(results(saved))


def test_what_was_found_can_be_crammed(page: BrowsePage) -> None:
    asked = {"act": "cram", "fields": {"words": [""], "concept": ["nf4"]}}
    assert page.act(asked, opened("b1"))["goto"] == "/cards?concept=nf4&cram=2026-03-04T10%3A00%3A00Z"
