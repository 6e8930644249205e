"""A note is one entry of a deck; it makes one card or several, each with an id that never changes.

    kind      writes                            makes
    basic     front, back                       one card
    reversed  front, back                       the card, and `<id>--reversed` that asks the other way round
    cloze     text with {{c1::...}}, {{c2::...}}  `<id>--c1`, `<id>--c2`: what to recall is left out
    typed     front, back, maybe accept         one card whose answer is typed and compared
    numeric   front, answer (a lab quantity)    one card whose number is typed; the right one is computed
    image     front, back, picture              one card with a picture; any other kind may have one, too

A learner's own text replaces the deck's, never its id, so the schedule stays.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Literal, get_args

from flashcards.decks.pictures import Picture
from study.base.checks import Quantity
from study.base.errors import LearnerError
from study.content.evidence import Evidence
from study.content.yaml_reader import Level
from study.text.markup import find_formula_problems_in

NoteKind = Literal["basic", "reversed", "cloze", "typed", "numeric", "image"]
KINDS: tuple[NoteKind, ...] = get_args(NoteKind)

TEXT_LIMIT = 4000  # characters of one field of a learner's own text
ANSWER_PLACE = "{answer}"
BLANK = "[…]"
# No part extends past the next gap, so a text full of openings is parsed in one pass.
CLOZE = re.compile(
    r"\{\{c(?P<number>[1-9]\d?)::(?P<text>(?:(?!::|\}\}|\{\{c\d).)+)"
    r"(?:::(?P<hint>(?:(?!\}\}|\{\{c\d).)+))?\}\}",
    re.DOTALL,
)


@dataclass(frozen=True, kw_only=True)
class CardNumber:
    """The right answer of a numeric card: a computed quantity, its unit, and its tolerance in percent."""

    quantity: Quantity
    unit: str = ""
    tolerance_percent: float = 0.0


@dataclass(frozen=True, kw_only=True)
class _Filed:
    """What a note and its cards have in common."""

    id: str
    deck: str
    concepts: tuple[str, ...]
    level: Level
    tags: tuple[str, ...]
    evidence: Evidence
    kind: NoteKind = "basic"
    accept: tuple[str, ...] = ()
    number: CardNumber | None = None
    picture: Picture | None = None
    own: bool = False
    """Whether the learner's text overrides the deck's."""


@dataclass(frozen=True, kw_only=True)
class Card(_Filed):
    """One question and its answer. The id never changes, so editing a text keeps its schedule."""

    front: str
    back: str
    why: str
    note_id: str
    """The note it was made from; the cards of one note are siblings."""

    @property
    def typed(self) -> bool:
        return self.kind in ("typed", "numeric")


def parse_note_id(card_id: str) -> str:
    """Parse the id of the note that a card is of; the cards of a cloze are `note--c1`, `note--c2`."""
    return card_id.partition("--")[0]


@dataclass(frozen=True, kw_only=True)
class Note(_Filed):
    """One entry of a deck, from which its cards are made."""

    texts: Mapping[str, str]
    """The fields that a learner may edit: front, back and why, or text and why."""

    def replace_texts(self, texts: Mapping[str, str]) -> "Note":
        """Replace the note's texts by the learner's; the other fields stay."""
        return replace(self, texts={**self.texts, **texts}, own=True)

    def build_cards(self) -> tuple[Card, ...]:
        if self.kind == "cloze":
            text = self.texts["text"]
            return tuple(
                self._build_card(f"{self.id}--c{n}", *open_gap(text, n)) for n in list_cloze_numbers(text)
            )
        card = self._build_card(self.id, self.texts["front"], self.texts["back"])
        if self.kind == "reversed":
            return card, self._build_card(f"{self.id}--reversed", self.texts["back"], self.texts["front"])
        return (card,)

    def _build_card(self, card_id: str, front: str, back: str) -> Card:
        same = {name: value for name, value in vars(self).items() if name not in ("id", "texts")}
        return Card(id=card_id, front=front, back=back, why=self.texts["why"], note_id=self.id, **same)


def list_cloze_numbers(text: str) -> list[int]:
    """Return the numbers of the gaps in a cloze text, in order."""
    return sorted({int(gap["number"]) for gap in CLOZE.finditer(text)})


def open_gap(text: str, number: int) -> tuple[str, str]:
    """Return the text with one gap open and the others filled, and the answer of the gap."""

    def show_gap(gap: re.Match[str]) -> str:
        if int(gap["number"]) != number:
            return gap["text"]
        return f"[{gap['hint']}]" if gap["hint"] else BLANK

    missing = [gap["text"] for gap in CLOZE.finditer(text) if int(gap["number"]) == number]
    return CLOZE.sub(show_gap, text), "; ".join(missing)


def fill_gaps(text: str) -> str:
    """Return a cloze text with all gaps filled."""
    return CLOZE.sub(lambda gap: gap["text"], text)


def clean_edit(note: Note, texts: Mapping[str, str]) -> dict[str, str]:
    """Return a learner's own text, cleaned. Raises LearnerError when it can't be stored."""
    cleaned = {name: texts.get(name, "").replace("\r\n", "\n").strip() for name in note.texts}
    for name, text in cleaned.items():
        if not text and note.texts[name]:  # a learner's own card may have no why
            raise LearnerError(f"The {name} is empty.", do_next="Write something, or take the deck's text.")
        if len(text) > TEXT_LIMIT:
            raise LearnerError(
                f"The {name} has {len(text):,} characters.", do_next=f"Shorten it to at most {TEXT_LIMIT:,}."
            )
    if note.kind == "cloze" and not list_cloze_numbers(cleaned["text"]):
        raise LearnerError(
            "The text has no gap.", do_next="Mark what to recall, as in {{c1::low rank}}, with a number each."
        )
    for card in note.replace_texts(cleaned).build_cards():
        for problem in find_formula_problems_in((card.front, card.back, card.why)):
            raise LearnerError(
                f"{problem[0].upper()}{problem[1:]}.", do_next="Correct it, or put it into `backticks`."
            )
    return cleaned
