"""The content lint of the decks."""

from collections.abc import Iterable

from flashcards.decks.note import Card
from study.content.concepts import ConceptMap
from study.lessons.content_lint import LintedItem, LintFinding, lint

LEAST_CARDS = 4  # per concept


def lint_cards(cards: Iterable[Card], concepts: ConceptMap) -> list[LintFinding]:
    """List what is wrong with the cards as a whole."""
    return lint([as_item(card) for card in cards], concepts.by_id, least=LEAST_CARDS)


def as_item(card: Card) -> LintedItem:
    """Convert a card to the fields that the lint rules read."""
    return LintedItem(
        id=card.id,
        concepts=card.concepts,
        level=card.level,
        asks=card.front,
        answers=card.back,
        explains=(card.why,),
    )
