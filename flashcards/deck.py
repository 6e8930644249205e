"""The decks: YAML files of cards, read and checked; each problem names its file, line and card."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from study.concepts import ConceptMap, note_unknown_concepts
from study.content import LEVELS, ContentError, Fields, Level, Problem, note_repeated_ids, read_mapping
from study.evidence import Evidence, read_evidence

DECKS_DIR = Path(__file__).parent / "decks"


@dataclass(frozen=True, kw_only=True)
class Card:
    """One question and its answer. The id never changes, so that editing a text keeps its schedule."""

    id: str
    deck: str
    concepts: tuple[str, ...]
    level: Level
    tags: tuple[str, ...]
    front: str
    back: str
    why: str
    evidence: Evidence


@dataclass(frozen=True)
class Decks:
    """All cards, in the order they are written; a deck is known by its file's name."""

    cards: tuple[Card, ...]
    titles: Mapping[str, str]

    @cached_property
    def by_id(self) -> Mapping[str, Card]:
        """Each card under its id."""
        return {card.id: card for card in self.cards}

    @cached_property
    def concepts_of(self) -> Mapping[str, tuple[str, ...]]:
        """Which concepts each card is about."""
        return {card.id: card.concepts for card in self.cards}

    def about(self, concepts: Iterable[str]) -> list[Card]:
        """The cards that share a concept with these."""
        wanted = set(concepts)
        return [card for card in self.cards if wanted.intersection(card.concepts)]


def load_decks(concepts: ConceptMap, *, folder: Path = DECKS_DIR) -> Decks:
    """Read every deck of a folder, or raise with all problems of all decks."""
    problems: list[Problem] = []
    read: list[tuple[Card, Fields]] = []
    titles: dict[str, str] = {}
    for path in sorted(folder.glob("*.yaml")):
        file = read_mapping(path, kind="deck", problems=problems)
        if file is None:
            continue
        titles[path.stem] = file.text("deck")
        entries = file.children("cards", kind="card")
        file.close()
        read.extend((read_card(entry, path.stem, concepts), entry) for entry in entries)
    note_repeated_ids((card.id, fields) for card, fields in read)
    if problems:
        raise ContentError(problems)
    return Decks(tuple(card for card, _ in read), titles)


def read_card(fields: Fields, deck: str, concepts: ConceptMap) -> Card:
    """One entry of a deck; what is wrong with it is noted."""
    front, back, why = fields.text("front"), fields.text("back"), fields.text("why")
    card = Card(
        id=fields.text("id"),
        deck=deck,
        concepts=fields.texts("concepts"),
        level=fields.choice("level", LEVELS),
        tags=fields.texts("tags", default=()),
        front=front,
        back=back,
        why=why,
        evidence=read_evidence(fields, printed=f"{front} {back} {why}"),
    )
    note_unknown_concepts(fields, card.concepts, concepts)
    fields.close()
    return card
