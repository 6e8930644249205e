"""The flashcards part of the app: cards, browser, import and export, their share of Today and Progress."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlencode

from flashcards.decks.note import Card
from flashcards.interchange.backup_rows import check_row
from flashcards.interchange.class_cards import write_class_cards
from flashcards.interchange.exchange import build_card_exchange, open_exchange
from flashcards.interchange.user_decks import LiveDecks
from flashcards.interchange.written_card import CardWriter
from flashcards.pages.browse import BrowsePage
from flashcards.pages.cards import CardsPage
from flashcards.pages.progress_section import CardSection
from flashcards.pages.writing import ADDRESS, CardWriting
from flashcards.review.fit_scheduler import Fitting
from flashcards.review.operations import Reviews
from flashcards.review.presenter import CardExercise
from study.content.confusable import load_confusable
from study.content.search import SearchEntry
from study.parts import AppPart, Core
from study.text.markup import to_plain

ACTIONS = (
    ("Write a card", ADDRESS, "Make a card of your own: front, back, why and topic."),
    ("Edit a card", "/cards", "Rewrite it in your own words: e on Cards."),
    ("Flag a card", "/cards", "Mark it so that you find it again: f on Cards."),
    ("Bury a card", "/cards", "Hide it until tomorrow: b on Cards."),
    ("Suspend a card", "/cards", "Hide it until you bring it back: s on Cards."),
    ("Bring a card back", "/browse?state=suspended", "Show a suspended card again."),
    ("Undo", "/cards", "Take back the last thing you did with a card: u on Cards."),
    ("Cram", "/browse", "Go through the cards that a search found without moving their schedule."),
)
LONGEST_SEARCH = 120  # characters of the words in the address of Browse


def build(core: Core) -> AppPart:
    """Read the decks; provide the cards due, cards on request, and each card's concepts to other parts."""
    context, ports = core.context, core.ports
    decks = LiveDecks(context.concepts, core.settings.decks_dir)
    exchange = build_card_exchange(context.store, core.settings.home, context.concepts, decks)
    writer = CardWriter(exchange=exchange, imports=core.imports)
    writing = CardWriting(context=context, writer=writer)
    lookalikes = load_confusable(context.concepts)
    reviews = Reviews(store=context.store, decks=decks, lookalikes=lookalikes)
    exercise = CardExercise(
        reviews=reviews,
        concepts=context.concepts,
        fitting=Fitting(reviews, clock=context.clock),
        figure_about=ports.figure_about,
    )
    ports.cards = exercise
    ports.cards_due = exercise.count_due
    ports.ask_for_cards = exercise.ask_for
    ports.subjects = replace(ports.subjects, of_card=exercise.subjects)
    ports.row_problem = check_row
    ports.class_cards = write_class_cards
    return AppPart(
        pages=lambda: (
            CardsPage(context=context, exercise=exercise),
            BrowsePage(context=context, exercise=exercise, writing=writing),
        ),
        exchanges={"cards": exchange},
        claims_last=True,
        exchange_openers=(open_exchange,),
        sections=(CardSection(exercise=exercise),),
        searchable=(_list_actions, lambda: map(_search_entry, decks.cards)),
        styles=(Path(__file__).parent / "static" / "cards.css",),
        closers=(exercise.fitting.close,),
    )


def _list_actions() -> Iterator[SearchEntry]:
    for title, address, about in ACTIONS:
        yield SearchEntry(kind="Actions", title=title, address=address, about=about)


def _search_entry(card: Card) -> SearchEntry:
    front = to_plain(card.front)
    return SearchEntry(
        kind="Cards",
        title=front,
        address=f"/browse?{urlencode({'words': front[:LONGEST_SEARCH]})}",
        text=f"{to_plain(card.back)} {' '.join(card.tags)}",
    )
