"""The Cards page as functions: what it shows before and after the flip, and what each press does."""

import pytest

import lora_lab.quantities  # noqa: F401 - a card shows the number it was checked against
from flashcards.exercise import card_exercise
from flashcards.pages.cards import CardsPage
from study.context import Context
from study.frame import Reply
from tests.visits import opened, press, words


@pytest.fixture
def page(context: Context) -> CardsPage:
    return CardsPage(context=context, exercise=card_exercise(context))


def flip(page: CardsPage, html: str, browser: str = "b1") -> str:
    return page.act(press(html, "flip"), opened(browser))["html"]


def rate(page: CardsPage, html: str, rating: int, browser: str = "b1") -> Reply:
    back = flip(page, html, browser)
    return page.act(press(back, "rate", nth=rating - 1), opened(browser))


def test_the_answer_is_not_in_the_page_before_the_flip(page: CardsPage) -> None:
    html = page.load(opened("b1"))
    card = page.exercise.reviews.decks.by_id[press(html, "flip")["card"]]
    assert card.front in words(html)
    assert card.back not in words(html)
    assert card.why not in words(html)
    back = flip(page, html)
    assert card.back in words(back)
    assert card.why in words(back)
    assert card.evidence.source in words(back)


def test_the_four_buttons_show_when_the_card_would_come_back(page: CardsPage) -> None:
    back = flip(page, page.load(opened("b1")))
    assert "1 Again 1 min 2 Hard 6 min 3 Good 10 min 4 Easy 8 d" in words(back)


def test_a_rating_is_stored_before_the_next_card_shows(page: CardsPage) -> None:
    first = page.load(opened("b1"))
    reply = rate(page, first, 3)
    [profile] = page.context.store.profiles.all()
    [review] = page.context.store.cards.history(profile.id)
    assert review.card_id == press(first, "flip")["card"]
    assert press(reply["html"], "flip")["card"] != review.card_id
    assert reply["say"].startswith("Good: back in 10 min. Question: ")
    assert reply["focus"] == "#flip"


def test_undo_brings_the_card_back_as_it_was(page: CardsPage) -> None:
    first = page.load(opened("b1"))
    rated = rate(page, first, 4)["html"]
    undone = page.act(press(rated, "undo"), opened("b1"))
    assert press(undone["html"], "flip") == press(first, "flip")
    assert undone["say"].startswith("Undone.")


def test_undo_is_offered_on_the_last_page_and_works_there(page: CardsPage) -> None:
    html = page.load(opened("b1", "new=1"))
    back = page.act(press(html, "flip", query="?new=1"), opened("b1"))["html"]
    done = page.act(press(back, "rate", nth=3, query="?new=1"), opened("b1"))["html"]
    assert "No card is waiting" in words(done)
    assert "Today you rated 1 card, 1 of them new" in words(done)
    undone = page.act(press(done, "undo", query="?new=1"), opened("b1"))
    assert press(undone["html"], "flip")["card"] == press(html, "flip")["card"]


def test_a_card_rated_twice_is_one_card_on_the_last_page(page: CardsPage) -> None:
    html = page.load(opened("b1", "new=1"))
    for rating in (1, 4):
        back = page.act(press(html, "flip", query="?new=1"), opened("b1"))["html"]
        html = page.act(press(back, "rate", nth=rating - 1, query="?new=1"), opened("b1"))["html"]
    assert "Today you rated 1 card, 1 of them new. 1 of 1 repeat remembered." in words(html)


def test_a_card_rated_in_another_window_gives_the_next_one_and_says_so(page: CardsPage) -> None:
    first = page.load(opened("b1"))
    back = flip(page, first)
    page.act(press(back, "rate", nth=2), opened("b1"))
    stale = page.act(press(back, "rate", nth=0), opened("b1"))
    assert "rated in another window already" in stale["error"]
    assert press(stale["html"], "flip")["card"] != press(first, "flip")["card"]
    flipped_late = page.act(press(first, "flip"), opened("b1"))
    assert "another window" in flipped_late["error"]


def test_an_address_chooses_deck_and_level(page: CardsPage) -> None:
    html = page.load(opened("b1", "deck=qlora&level=advanced"))
    card = page.exercise.reviews.decks.by_id[press(html, "flip")["card"]]
    assert (card.deck, card.level) == ("qlora", "advanced")
    assert "QLoRA, advanced" in words(html)


def test_a_choice_without_cards_says_so_and_leads_out(page: CardsPage) -> None:
    html = page.load(opened("b1", "deck=gone"))
    assert "No card matches this choice." in words(html)
    assert 'href="/cards"' in html


def test_choosing_a_deck_changes_the_address(page: CardsPage) -> None:
    chosen = press(page.load(opened("b1")), "filter", fields={"deck": ["qlora"], "level": [""]})
    assert page.act(chosen, opened("b1")) == {"goto": "/cards?deck=qlora"}


def test_a_computed_number_is_shown_where_a_card_was_checked(page: CardsPage) -> None:
    checked = next(card for card in page.exercise.reviews.decks.cards if card.evidence.checks)
    visit_page = page.load(opened("b1", f"concept={checked.concepts[0]}&new=99"))
    event = {**press(visit_page, "flip"), "card": checked.id}
    back = page.act(event, opened("b1"))["html"]
    assert f"Checked, computed here: {checked.evidence.checks[0].call} = " in words(back)


def test_two_browsers_do_not_share_a_session(page: CardsPage) -> None:
    first = page.load(opened("b1"))
    rate(page, first, 4)
    assert press(page.load(opened("b2")), "flip")["card"] == press(first, "flip")["card"]


def test_a_browser_without_cookies_is_told_what_to_do(page: CardsPage) -> None:
    with pytest.raises(Exception, match="Allow cookies for this address"):
        page.load(opened(""))


def test_an_unknown_press_is_no_silent_success(page: CardsPage) -> None:
    with pytest.raises(Exception, match="This page has no 'explode'"):
        page.act({"act": "explode"}, opened("b1"))
