"""Questions answered by arranging: match pairs, or put items in order. Both use plain selects."""

from dataclasses import dataclass, replace
from typing import ClassVar, Literal

from quizzes.kinds.grade import (
    Form,
    Grade,
    GradedPart,
    Offered,
    Response,
    assign_letters,
    assign_numbers,
    read_typed,
)
from study.base.errors import LearnerError
from study.content.declared import read_declared
from study.content.yaml_reader import Fields


@dataclass(frozen=True, kw_only=True)
class ArrangedItem:
    """A choice to match, or an item to put in its place."""

    id: str
    text: str
    feedback: str


@dataclass(frozen=True, kw_only=True)
class MatchingPair:
    """A left side, and the id of the choice that belongs to it."""

    id: str
    left: str
    choice: str


@dataclass(frozen=True, kw_only=True)
class Matching:
    """A matching task. Each left side has one choice; a choice may belong to none."""

    kind: ClassVar[Literal["matching"]] = "matching"
    pairs: tuple[MatchingPair, ...]
    choices: tuple[ArrangedItem, ...]

    @property
    def rule(self) -> str:
        """The scoring rule, as the learner reads it."""
        return f"Each right pair counts 1/{len(self.pairs)}."

    @property
    def answer(self) -> Response:
        return {"pairs": {pair.id: pair.choice for pair in self.pairs}}

    @property
    def texts(self) -> tuple[str, ...]:
        """All texts that a learner can read, for checks."""
        return (*(p.left for p in self.pairs), *(f"{c.text} {c.feedback}" for c in self.choices))

    def offer(self, salt: str) -> Offered:
        """Return the choices with their numbers: letters would clash with the matrices A and B."""
        return assign_numbers(self.choices, salt=salt)

    def read(self, form: Form, offered: Offered) -> Response:
        """Parse the choice of each left side. Raises LearnerError when all are open; some may be."""
        ids = {number: choice.id for number, choice in offered}
        given = {pair.id: ids.get(read_typed(form, f"pair-{pair.id}"), "") for pair in self.pairs}
        if not any(given.values()):
            raise LearnerError("Nothing is matched yet.", do_next="Choose a number for each line.")
        return {"pairs": {pair: choice for pair, choice in given.items() if choice}}

    def grade(self, response: Response) -> Grade:
        """Grade by the share of pairs that are right."""
        given = response.get("pairs", {})
        named = {choice.id: choice for choice in self.choices}
        owned = {pair.choice for pair in self.pairs}
        parts: list[GradedPart] = []
        for pair in self.pairs:
            right = named[pair.choice]
            wrong = named.get(given.get(pair.id, ""))
            if wrong is not None and wrong.id != right.id:
                # The choice's own pair says why it belongs there; a choice without a pair says so here.
                told = replace(wrong, feedback="") if wrong.id in owned else wrong
                parts.append(_grade_part(pair, told, "wrong"))
            parts.append(_grade_part(pair, right, "right" if wrong == right else "missed"))
        matched = sum(part.state == "right" for part in parts)
        return Grade(fraction=matched / len(self.pairs), parts=tuple(parts))


@dataclass(frozen=True, kw_only=True)
class Ordering:
    """An ordering task: items in their right order, as written."""

    kind: ClassVar[Literal["ordering"]] = "ordering"
    items: tuple[ArrangedItem, ...]

    @property
    def rule(self) -> str:
        return f"Each item in its right place counts 1/{len(self.items)}."

    @property
    def answer(self) -> Response:
        return {"order": [item.id for item in self.items]}

    @property
    def texts(self) -> tuple[str, ...]:
        return tuple(f"{item.text} {item.feedback}" for item in self.items)

    def offer(self, salt: str) -> Offered:
        return assign_letters(self.items, salt=salt)

    def read(self, form: Form, offered: Offered) -> Response:
        """Parse the item at each place. Raises LearnerError unless each item has exactly one place."""
        ids = {letter: item.id for letter, item in offered}
        order = [ids.get(read_typed(form, f"place-{number}"), "") for number in range(1, len(self.items) + 1)]
        if not all(order) or len(set(order)) != len(order):
            twice = [letter for letter, item in offered if order.count(item.id) > 1]
            raise LearnerError(
                f"{twice[0]} stands in two places." if twice else "Not every place is filled yet.",
                do_next="Give each place one letter, and each letter one place.",
            )
        return {"order": order}

    def grade(self, response: Response) -> Grade:
        """Grade by the share of items in their right place."""
        given = list(response.get("order", ()))
        parts = tuple(
            GradedPart(
                id=item.id,
                text=item.text,
                state="right" if given[place : place + 1] == [item.id] else "missed",
                feedback=item.feedback,
                about=_grade_place(given, item.id, place),
            )
            for place, item in enumerate(self.items)
        )
        placed = sum(part.state == "right" for part in parts)
        return Grade(fraction=placed / len(self.items), parts=parts)


def read_matching(fields: Fields) -> Matching:
    """Read the pairs, and the choices that belong to none."""
    entries = fields.children("pairs", kind="pair")
    pairs, choices = [], []
    for entry in entries:
        item = ArrangedItem(id=entry.text("id"), text=entry.text("right"), feedback=entry.text("feedback"))
        pairs.append(MatchingPair(id=item.id, left=entry.text("left"), choice=item.id))
        choices.append(item)
        entry.close()
    choices += [
        read_declared(entry, ArrangedItem) for entry in fields.children("others", kind="choice", needed=False)
    ]
    if not 2 <= len(pairs) <= 8:
        fields.note(f"needs 2 to 8 pairs, got {len(pairs)}")
    _note_alike(fields, choices)
    return Matching(pairs=tuple(pairs), choices=tuple(choices))


def read_ordering(fields: Fields) -> Ordering:
    items = tuple(read_declared(entry, ArrangedItem) for entry in fields.children("items", kind="item"))
    if not 3 <= len(items) <= 8:
        fields.note(f"needs 3 to 8 items, got {len(items)}")
    _note_alike(fields, items)
    return Ordering(items=items)


def _note_alike(fields: Fields, items: tuple[ArrangedItem, ...] | list[ArrangedItem]) -> None:
    for what in ("id", "text"):
        if len({getattr(item, what) for item in items}) != len(items):
            fields.note(f"two items have the same {what}")


def _grade_part(
    pair: MatchingPair, choice: ArrangedItem, state: Literal["right", "wrong", "missed"]
) -> GradedPart:
    return GradedPart(
        id=f"{pair.id}-{choice.id}", text=choice.text, state=state, feedback=choice.feedback, about=pair.left
    )


def _grade_place(given: list[str], item_id: str, place: int) -> str:
    if item_id not in given or given.index(item_id) == place:
        return f"{place + 1}"
    return f"{place + 1} (you had it at {given.index(item_id) + 1})"
