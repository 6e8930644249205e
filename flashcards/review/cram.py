"""Cramming before an exam: its answers are logged apart from ratings, and no schedule moves."""

from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime

from flashcards.decks.note import Card
from study.base.errors import LearnerError
from study.store.logs.card_operations import CardOperation

CramAnswer = tuple[str, bool]
"""The card of one answer, and whether it was known."""


@dataclass(frozen=True, kw_only=True)
class Cram:
    """The state of a cram: the next card, and how many cards are known."""

    card: Card | None
    known: int
    total: int
    tries: int


def parse_start(cram_id: str) -> datetime:
    """Parse the start of a cram from its name in the URL. Raises LearnerError when it isn't a moment."""
    with suppress(ValueError, OverflowError):  # as UTC, a moment of the year 1 may be before it
        moment = datetime.fromisoformat(cram_id)
        if moment.tzinfo is not None:
            return moment.astimezone(UTC)
    raise LearnerError("There is no cram session at this address.", do_next="Start one from the Cards page.")


def list_cram_answers(cram_id: str, operations: Iterable[CardOperation]) -> list[CramAnswer]:
    return [
        (operation.subject, operation.value["known"])
        for operation in operations
        if operation.value["run"] == cram_id
    ]


def choose_next_in_cram(cards: list[Card], answers: list[CramAnswer], *, first: str | None = None) -> Cram:
    """Return unasked cards in their order, then unknown ones, oldest miss first, until all are known.

    `first` is a card whose answer was just undone.
    """
    last, by_id = dict(answers), {card.id: card for card in cards}
    missed = [card_id for card_id, _ in answers if not last[card_id]]
    again = [by_id[card_id] for card_id in dict.fromkeys(reversed(missed)) if card_id in by_id][::-1]
    unasked = [card for card in cards if card.id not in last]
    waiting = [*unasked, *again]
    undone = [card for card in waiting if card.id == first]
    return Cram(
        card=next(iter([*undone, *waiting]), None),
        known=sum(last.get(card.id, False) for card in cards),
        total=len(cards),
        tries=sum(card_id in by_id for card_id, _ in answers),
    )
