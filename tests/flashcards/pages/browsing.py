"""The card browser for tests, as the app makes it."""

from flashcards.interchange.exchange import build_card_exchange
from flashcards.interchange.user_decks import LiveDecks
from flashcards.interchange.written_card import CardWriter
from flashcards.pages.browse import BrowsePage
from flashcards.pages.writing import CardWriting
from study.io.apply_import import Imports
from study.ports.context import Context
from tests.exercises import build_card_exercise


def build_browse(context: Context) -> BrowsePage:
    home = context.settings.home
    decks = LiveDecks(context.concepts, context.settings.decks_dir)
    writer = CardWriter(
        exchange=build_card_exchange(context.store, home, context.concepts, decks),
        imports=Imports(store=context.store, home=home),
    )
    return BrowsePage(
        context=context,
        exercise=build_card_exercise(context, decks),
        writing=CardWriting(context=context, writer=writer),
    )
