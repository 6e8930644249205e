"""Cards that a student takes home from a class, as an Anki package."""

from collections.abc import Sequence
from datetime import datetime

from flashcards.interchange.anki_write import write_apkg
from flashcards.interchange.entry import CardEntry
from study.ports.classes import ClassCard


def write_class_cards(cards: Sequence[ClassCard], *, deck: str, source: str, now: datetime) -> bytes:
    """Implements `study.ports.classes.WriteClassCards`."""
    entries = [
        CardEntry(
            deck=deck,
            id=card.id,
            front=card.front,
            back=card.back,
            why=card.why,
            concepts=card.concepts,
            source=source,
        )
        for card in cards
    ]
    return write_apkg(entries, now=now)
