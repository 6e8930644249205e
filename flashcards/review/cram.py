"""Cramming before an exam: its answers are logged apart from ratings, and no schedule moves."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from flashcards.decks.note import Card
from study.base.errors import LearnerError
from study.store.logs.card_operations import Verb


@dataclass(frozen=True, kw_only=True)
class CramAnswer:
    """One answer of a cram: known or not."""

    card_id: str
    known: bool


@dataclass(frozen=True, kw_only=True)
class Cram:
    """The state of a cram: the next card, and how many cards are known."""

    card: Card | None
    known: int
    total: int
    tries: int


def started_at(run: str) -> datetime:
    """Parse the start of a cram from its name in the URL. Raises LearnerError when it isn't a moment."""
    try:
        moment = datetime.fromisoformat(run)
    except ValueError as error:
        raise LearnerError("This address names no cram.", do_next="Start one from the Cards page.") from error
    if moment.tzinfo is None:
        raise LearnerError("This address names no cram.", do_next="Start one from the Cards page.")
    return moment


def answers_of(run: str, verbs: Iterable[Verb]) -> list[CramAnswer]:
    """Return the answers given in one cram."""
    values: list[tuple[str, dict[str, Any]]] = [(verb.subject, verb.value) for verb in verbs]
    return [CramAnswer(card_id=card, known=value["known"]) for card, value in values if value["run"] == run]


def next_in_cram(cards: list[Card], answers: list[CramAnswer], *, first: str | None = None) -> Cram:
    """Return unasked cards in their order, then unknown ones, oldest miss first, until all are known.

    `first` is a card whose answer was just undone.
    """
    last = {answer.card_id: answer.known for answer in answers}
    by_id = {card.id: card for card in cards}
    missed = [answer.card_id for answer in answers if not last[answer.card_id]]
    again = [by_id[card_id] for card_id in dict.fromkeys(reversed(missed)) if card_id in by_id][::-1]
    unasked = [card for card in cards if card.id not in last]
    waiting = [*unasked, *again]
    undone = [card for card in waiting if card.id == first]
    return Cram(
        card=next(iter([*undone, *waiting]), None),
        known=sum(last.get(card.id, False) for card in cards),
        total=len(cards),
        tries=sum(answer.card_id in by_id for answer in answers),
    )
