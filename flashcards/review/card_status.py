"""The status of single cards (suspended, buried, flagged, edited), replayed from their operations."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal, get_args

from study.store.logs.card_operations import CardOperation, Name

Flag = Literal["unclear", "doubtful", "important", "ask"]
FLAGS: tuple[Flag, ...] = get_args(Flag)
FLAG_NAMES: dict[Flag, str] = {
    "unclear": "Unclear to me",
    "doubtful": "May be wrong",
    "important": "Important",
    "ask": "Ask someone",
}

LEECH_LAPSES = 8  # as in Anki: from here on the card needs a new wording more than another repetition
LEECH_AGAIN = 4  # it is suspended again after every so many further lapses

STATUS_OPERATIONS: tuple[Name, ...] = ("bury", "unbury", "suspend", "resume", "flag", "edit", "spread")


@dataclass(frozen=True, kw_only=True)
class CardStatus:
    """The cards that are suspended, buried, postponed, flagged or edited at one moment."""

    suspended: frozenset[str] = frozenset()
    leeches: frozenset[str] = frozenset()
    """Cards forgotten so often that a new wording would help; suspended until resumed if it happened here."""

    buried: frozenset[str] = frozenset()
    postponed: Mapping[str, datetime] = field(default_factory=dict)
    """Cards that a spread of the backlog moved, with the start of the day they moved to."""

    flags: Mapping[str, Flag] = field(default_factory=dict)
    edits: Mapping[str, CardOperation] = field(default_factory=dict)
    """The last edit of each note; its value is None if it restored the deck's text."""

    def list_hidden(self, *, now: datetime) -> frozenset[str]:
        """List the cards that aren't shown now."""
        later = {card_id for card_id, day in self.postponed.items() if day > now}
        return self.suspended | self.buried | later


def replay_operations(
    operations: Iterable[CardOperation],
    lapses: Mapping[str, list[int]],
    *,
    last_rated: Mapping[str, datetime],
    now: datetime,
) -> CardStatus:
    """Replay the operations, oldest first. `lapses` has, per card, the operation ids of its lapses."""
    on_or_off: dict[str, CardOperation] = {}
    buried: dict[str, str] = {}
    flags: dict[str, Flag] = {}
    edits: dict[str, CardOperation] = {}
    postponed: dict[str, datetime] = {}
    for operation in operations:
        match operation.name:
            case "suspend" | "resume":
                on_or_off[operation.subject] = operation
            case "bury":
                buried[operation.subject] = operation.value
            case "unbury":
                buried.pop(operation.subject, None)
                postponed.pop(operation.subject, None)
            case "flag":
                flags[operation.subject] = operation.value
            case "edit":
                edits[operation.subject] = operation
            case "spread":
                postponed |= _keep_unrated(operation, last_rated)
    leeches = {card_id for card_id, found in lapses.items() if len(found) >= LEECH_LAPSES}
    return CardStatus(
        suspended=frozenset(
            card_id for card_id in leeches | on_or_off.keys() if _is_off(card_id, on_or_off, lapses)
        ),
        leeches=frozenset(leeches),
        buried=frozenset(card_id for card_id, until in buried.items() if datetime.fromisoformat(until) > now),
        postponed=postponed,
        flags={card_id: flag for card_id, flag in flags.items() if flag in FLAGS},
        edits=edits,
    )


def find_warning(lapses: list[int]) -> int | None:
    """Return the operation of the last leech warning: the card's 8th lapse, its 12th, its 16th ..."""
    if len(lapses) < LEECH_LAPSES:
        return None
    since = (len(lapses) - LEECH_LAPSES) % LEECH_AGAIN
    return lapses[len(lapses) - 1 - since]


def _is_off(card_id: str, on_or_off: Mapping[str, CardOperation], lapses: Mapping[str, list[int]]) -> bool:
    operation = on_or_off.get(card_id)
    warned = find_warning(lapses.get(card_id, []))
    if operation is None:
        return bool(warned)  # 0 came with an import: where it was suspended, the import says so
    return operation.name == "suspend" or (warned is not None and warned > operation.id)


def _keep_unrated(spread: CardOperation, last_rated: Mapping[str, datetime]) -> dict[str, datetime]:
    moved = {card_id: datetime.fromisoformat(day) for card_id, day in spread.value.items()}
    return {
        card_id: day
        for card_id, day in moved.items()
        if card_id not in last_rated or last_rated[card_id] <= spread.at
    }
