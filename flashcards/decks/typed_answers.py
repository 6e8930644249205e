"""Comparison of a typed answer with the right one, letter by letter, or as numbers within a tolerance.

The verdict is only a hint: the learner rates the card themselves.
"""

import re
import unicodedata
from contextlib import suppress
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Literal

from flashcards.decks.note import ANSWER_PLACE, Card, CardNumber
from study.base.checks import evaluate, find_scale
from study.base.errors import LearnerError
from study.base.typed_numbers import find_unit_size, is_known_unit, parse_in_unit, read_number
from study.text.markup import to_plain

Change = Literal["same", "missing", "extra"]
TypedAnswerVerdict = Literal["right", "close", "different", "nothing"]

CLOSE = 0.8  # similarity, 0 to 1; one typo in a ten-letter word stays above it
NUMBER_WORDS = 8  # of a typed number and its unit: `1 221 120 bytes per parameter`


@dataclass(frozen=True, kw_only=True)
class ComparedAnswer:
    """The typed answer compared with the expected one."""

    verdict: TypedAnswerVerdict
    typed: str
    expected: str
    changes: tuple[tuple[Change, str], ...] = ()
    """The diff, in order: in both, only in the right answer, only in the typed one."""


def render_back(card: Card) -> str:
    """Return the back of a card as it is shown, with its number computed now, if it has one."""
    return card.back.replace(ANSWER_PLACE, format_right_number(card.number)) if card.number else card.back


def compare_typed(card: Card, typed: str) -> ComparedAnswer:
    typed = " ".join(typed.split())
    if card.number is not None:
        return _compare_number(card.number, typed)
    wanted = [to_plain(card.back), *card.accept]
    closest = max(wanted, key=lambda text: _measure_likeness(text, typed))
    if not typed:
        return ComparedAnswer(verdict="nothing", typed="", expected=wanted[0])
    likeness = _measure_likeness(closest, typed)
    verdict: TypedAnswerVerdict = "right" if likeness == 1 else "close" if likeness >= CLOSE else "different"
    return ComparedAnswer(
        verdict=verdict,
        typed=typed,
        expected=closest,
        changes=_list_changes(closest, typed) if verdict != "right" else (),
    )


def format_right_number(number: CardNumber) -> str:
    """Format the computed answer: whole numbers in full, others with four significant digits."""
    value = _compute_in_unit(number)
    written = f"{value:,.0f}" if value == int(value) else f"{value:,.4g}"
    return f"{written} {number.unit}".strip()


def _compare_number(number: CardNumber, typed: str) -> ComparedAnswer:
    expected = format_right_number(number)
    given = _read_in_unit(typed, number.unit)
    if given is None:
        return ComparedAnswer(verdict="different" if typed else "nothing", typed=typed, expected=expected)
    right = _compute_in_unit(number)
    # At least the float rounding error: 0.1 + 0.2 must count as 0.3.
    room = max(number.tolerance_percent / 100, 1e-9) * abs(right)
    verdict: TypedAnswerVerdict = "right" if abs(given - right) <= room else "different"
    return ComparedAnswer(verdict=verdict, typed=typed, expected=expected)


def _compute_in_unit(number: CardNumber) -> float:
    return evaluate(number.quantity) / (find_scale(number.unit) or find_unit_size(number.unit))


def _read_in_unit(typed: str, unit: str) -> float | None:
    """Read the first number with what follows it, as far as that is understood: `about 16 GB a GPU` is 16 GB.

    Without a known unit on the card, whatever unit is typed is left out: `60 %` is 60.
    """
    start = re.search(r"[-+−.]?\d", typed)
    words = typed[start.start() :].split()[:NUMBER_WORDS] if start else []
    for end in range(len(words), 0, -1):
        text = " ".join(words[:end])
        with suppress(LearnerError):
            return parse_in_unit(text, unit) if unit and is_known_unit(unit) else read_number(text).value
    return None


def _normalize(text: str) -> str:
    """Remove case, accents, hyphens, doubled spaces and a final full stop, because no card tests these."""
    letters = unicodedata.normalize("NFKD", text.casefold())
    bare = "".join(letter for letter in letters if not unicodedata.combining(letter))
    return " ".join(bare.replace("-", " ").split()).rstrip(".")


def _measure_likeness(expected: str, typed: str) -> float:
    return SequenceMatcher(None, _normalize(expected), _normalize(typed), autojunk=False).ratio()


def _list_changes(expected: str, typed: str) -> tuple[tuple[Change, str], ...]:
    matcher = SequenceMatcher(None, _split_letters(expected), _split_letters(typed), autojunk=False)
    pieces: list[tuple[Change, str]] = []
    for tag, i, j, k, m in matcher.get_opcodes():
        if tag == "equal":
            pieces.append(("same", typed[k:m]))
            continue
        if j > i:
            pieces.append(("missing", expected[i:j]))
        if m > k:
            pieces.append(("extra", typed[k:m]))
    return tuple(pieces)


def _split_letters(text: str) -> list[str]:
    """Return caseless letters, one per letter of the text: lower() alone makes two of some."""
    return [letter.casefold() for letter in text]
