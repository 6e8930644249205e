"""Cards of one's own: written, seen as new, taken back, deleted, exported; refused beside the field."""

import json
from typing import Any

import pytest

import lora_lab.quantities  # noqa: F401 - some cards compute their answers
from flashcards.pages.browse import BrowsePage
from flashcards.pages.cards import CardsPage
from study.base.errors import LearnerError
from study.base.import_limits import TEXT_CHARACTERS
from study.io.backup import build_backup
from study.ports.context import Context
from study.web.frame import Reply
from tests.flashcards.card_events import shown as shown_card
from tests.flashcards.pages.browsing import build_browse
from tests.visits import build_event, opened, primary, words

FILE = "your-own-cards.imported.json"
FORM = "write=new"


@pytest.fixture
def page(context: Context) -> BrowsePage:
    return build_browse(context)


def learner(browser: str) -> Any:
    """A request of somebody who does not own the server."""
    request = opened(browser)
    request.scope = {"role": "learner"}
    return request


def save(page: BrowsePage, request: Any = None, **texts: str) -> Reply:
    typed = {"front": "What is $B A$?", "back": "The update.", "why": "", "concept": "", **texts}
    fields = {name: [text] for name, text in typed.items()}
    form = page.load(opened("b1", FORM))
    return page.act(build_event(form, "save-card", fields=fields, query=f"?{FORM}"), request or opened("b1"))


def press(page: BrowsePage, html: str, act: str) -> Reply:
    return page.act(build_event(html, act, query="?deck=your-own-cards"), opened("b1"))


def type_draft(page: BrowsePage, field: str, text: str) -> None:
    page.act({"act": "draft", "field": field, "value": text, "query": f"?{FORM}"}, opened("b1"))


def test_a_written_card_is_shown_studied_as_new_and_kept_in_a_deck_of_ones_own(page: BrowsePage) -> None:
    assert 'href="/browse?write=new"' in page.load(opened("b1"))
    done = save(page, why="It has rank r.", concept="lora-rank")
    assert done["say"] == "Saved as a new card of the deck “Your own cards”."
    assert done["url"] == "/browse?deck=your-own-cards"
    assert primary(done["html"]) == ["Write another"]
    assert "<math" in done["html"]
    assert "1 card found" in words(done["html"])
    cards = CardsPage(context=page.context, exercise=page.exercise)
    asked = cards.load(opened("b1", "deck=your-own-cards&new=5"))
    assert "0 of 1 done" in words(asked)
    assert 'href="/browse?write=new"' in asked
    kept = json.loads((page.context.settings.decks_dir / FILE).read_text("utf-8"))
    assert kept == {
        "deck": "Your own cards",
        "cards": [
            {
                "id": "your-own-cards-what-is-b-a",
                "concepts": ["lora-rank"],
                "level": "beginner",
                "front": "What is $B A$?",
                "back": "The update.",
                "why": "It has rank r.",
                "source": "your own card",
            }
        ],
    }


def test_a_written_card_travels_in_exports_and_in_a_backup(page: BrowsePage) -> None:
    save(page)
    context, now = page.context, page.context.clock()
    profile = context.store.profiles.open_for_browser("b1", now=now).id
    for name in ("apkg", "csv", "md"):
        assert page.writing.writer.exchange.export(profile, name, now=now)
    [table] = page.writing.writer.exchange.export(profile, "csv", now=now)
    assert b"What is" in table.content
    backup = build_backup(context.store, context.settings.home, profile, now=now)
    assert f"decks/{FILE}" in backup["files"]
    again = page.writing.writer.exchange.plan(profile, table, now=now)
    assert {entry.verdict for group in again.groups for entry in group.entries} == {"same"}


def test_undo_takes_a_card_back_and_its_text_is_a_draft_again(page: BrowsePage) -> None:
    type_draft(page, "front", "half a")
    assert "half a</textarea>" in page.load(opened("b1", FORM))
    done = save(page, why="so", concept="lora-rank")
    assert "half a" not in page.load(opened("b1", FORM))
    form = press(page, done["html"], "take-back")["html"]
    assert "What is $B A$?</textarea>" in form
    assert '<option value="lora-rank" selected>' in form
    assert not (page.context.settings.decks_dir / FILE).exists()
    assert page.load(opened("b1", FORM)) == form


def test_undo_leaves_what_was_typed_since(page: BrowsePage) -> None:
    done = save(page)
    type_draft(page, "front", "the next one")
    assert "the next one</textarea>" in press(page, done["html"], "take-back")["html"]


def test_many_cards_are_written_and_each_can_be_deleted_and_brought_back(page: BrowsePage) -> None:
    first = save(page, front="One?")["html"]
    assert "write-" in press(page, first, "write")["html"]
    save(page, front="Two?")
    shown = page.act(
        {"act": "open", "card": "your-own-cards-one", "query": "?deck=your-own-cards"}, opened("b1")
    )["parts"]["results"]
    gone = press(page, shown, "delete")
    assert gone["say"].startswith("Deleted.")
    assert "1 card found" in words(gone["html"])
    back = press(page, gone["html"], "put-back")["html"]
    assert "2 cards found" in words(back)


def test_the_last_card_of_a_deck_can_be_deleted_and_another_written(page: BrowsePage) -> None:
    shown = save(page)["html"]
    gone = press(page, shown, "delete")["html"]
    assert "0 cards found" in words(gone)
    assert '<option value="your-own-cards" selected>Your own cards' in gone
    assert "1 card found" in words(save(page, front="Another?")["html"])
    assert page.writing.writer.exchange.check_own_files().problems == ()


def test_a_card_of_the_app_can_not_be_deleted(page: BrowsePage) -> None:
    found = page.act({"act": "open", "card": "typed-target-modules", "query": ""}, opened("b1"))
    assert 'data-act="delete"' not in found["parts"]["results"]
    with pytest.raises(LearnerError, match="can't be deleted here"):
        page.act({"act": "delete", "note": "typed-target-modules", "query": ""}, opened("b1"))


def test_fronts_that_begin_alike_and_a_card_written_anew_are_new_cards(page: BrowsePage) -> None:
    long = "why does this take so long when the rank is large and the batch is small as well as "
    for end in ("before", "after"):
        done = save(page, front=long + end)
    assert "2 cards found" in words(done["html"])
    press(page, save(page)["html"], "take-back")
    assert "3 cards found" in words(save(page)["html"])


@pytest.mark.parametrize(
    ("texts", "beside", "said"),
    [
        ({"front": "  "}, "#card-front", "The front is empty."),
        ({"back": ""}, "#card-back", "The back is empty."),
        ({"back": "x" * (TEXT_CHARACTERS + 1)}, "#card-back", "Its text has 20,001 characters; 20,000 are"),
        ({"why": r"$\frac{$"}, "#card-why", "The formula "),
        ({"front": "", "back": ""}, "#card-front", "The front is empty. The back is empty."),
    ],
)
def test_what_can_not_be_stored_is_said_beside_its_field(
    page: BrowsePage, texts: dict[str, str], beside: str, said: str
) -> None:
    refused = save(page, **texts)
    assert refused["beside"] == beside
    assert refused["error"].startswith(said)
    assert "html" not in refused  # all that was typed stays
    assert not page.context.settings.decks_dir.exists()


def test_the_same_front_is_refused_also_when_the_answer_differs(page: BrowsePage) -> None:
    save(page)
    refused = save(page, back="Another answer.")
    assert refused["error"] == (
        "You already have a card with this front. Change the front, or edit that card."
    )
    assert refused["beside"] == "#card-front"


def test_on_a_server_only_the_owner_writes_and_deletes_as_with_imports(page: BrowsePage) -> None:
    shown = page.load(learner("lea"))
    assert 'href="/browse?write=new"' not in shown
    request = learner("lea")
    request.query_params = FORM
    assert "only its owner can write them" in words(page.load(request))
    with pytest.raises(LearnerError, match="only its owner can write them"):
        save(page, learner("lea"))
    with pytest.raises(LearnerError, match="only its owner can write them"):
        page.act({"act": "draft", "field": "front", "value": "half a", "query": f"?{FORM}"}, learner("lea"))
    lea = page.context.store.profiles.open_for_browser("lea", now=page.context.clock())
    assert page.context.store.drafts.read(lea.id, "card:front") == ""
    done = save(page)["html"]
    for act, query in (("delete", ""), ("take-back", ""), ("put-back", "")):
        event = {"act": act, "note": "your-own-cards-what-is-b-a", "card": "x", "import": "1", "query": query}
        with pytest.raises(LearnerError, match="Everyone on this server shares"):
            page.act(event, learner("lea"))
    assert 'data-act="delete"' in done
    assert (page.context.settings.decks_dir / FILE).exists()


def test_ratings_of_a_deleted_card_do_not_come_to_a_new_one(page: BrowsePage) -> None:
    shown = save(page)["html"]
    now = page.context.clock()
    profile = page.context.store.profiles.open_for_browser("b1", now=now).id
    reviews, card = page.exercise.reviews, "your-own-cards-what-is-b-a"
    reviews.rate(profile, shown_card(reviews, profile, card, now=now), rating=4, now=now)
    press(page, shown, "delete")
    assert "not seen yet" in words(save(page)["html"])
