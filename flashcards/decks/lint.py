"""The decks as the content rules read them."""

from collections.abc import Iterable

from flashcards.decks.deck import Card
from study.content.concepts import ConceptMap
from study.lessons.content_lint import Finding, Item, lint

LEAST_CARDS = 4  # of a concept


def lint_cards(cards: Iterable[Card], concepts: ConceptMap) -> list[Finding]:
    """What is wrong with the cards as a whole."""
    return lint([as_item(card) for card in cards], concepts.by_id, least=LEAST_CARDS)


def as_item(card: Card) -> Item:
    """A card, as far as the rules read it."""
    return Item(
        id=card.id,
        concepts=card.concepts,
        level=card.level,
        asks=card.front,
        answers=card.back,
        explains=(card.why,),
    )
