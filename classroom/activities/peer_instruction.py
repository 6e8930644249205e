"""Peer instruction: what a first vote advises, how votes moved between two rounds, and who could discuss.

Mazur, Peer Instruction (1997); the 30-70 rule as in Crouch and Mazur, Am. J. Phys. 69, 970 (2001).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from classroom.activities.activity import Phase
from study.base.confidence_intervals import format_percent

DISCUSS_FROM, DISCUSS_TO = 0.30, 0.70
"""Shares of right answers between which discussion helps most."""

Advice = Literal["re-teach", "discuss", "go-on", "too-few"]
FEWEST_VOTES = 3
"""With fewer votes a share says little."""

ADVISED_PHASE: Mapping[Advice, Phase] = {
    "re-teach": "revote",
    "discuss": "discuss",
    "go-on": "reveal",
    "too-few": "discuss",
}
ADVICE_TEXTS: Mapping[Advice, str] = {
    "re-teach": f"Fewer than {format_percent(DISCUSS_FROM)} are right: explain the idea again, "
    "then let them vote again.",
    "discuss": f"{100 * DISCUSS_FROM:.0f} to {format_percent(DISCUSS_TO)} are right: let neighbours who "
    "disagree convince each other, then vote again.",
    "go-on": f"More than {format_percent(DISCUSS_TO)} are right: show the answer and go on.",
    "too-few": "Too few votes to advise you. If in doubt, discuss and vote again.",
}

Move = Literal["right-right", "wrong-right", "right-wrong", "wrong-wrong"]
MOVES: Mapping[tuple[bool, bool], Move] = {
    (True, True): "right-right",
    (False, True): "wrong-right",
    (True, False): "right-wrong",
    (False, False): "wrong-wrong",
}
"""By whether a student was right before, and after."""


def advise(right: int, votes: int) -> Advice:
    """What the share of right first votes suggests; both limits belong to discussion."""
    if votes < FEWEST_VOTES:
        return "too-few"
    share = right / votes
    if share < DISCUSS_FROM:
        return "re-teach"
    return "discuss" if share <= DISCUSS_TO else "go-on"


@dataclass(frozen=True, kw_only=True)
class Transition:
    """How the votes of those who voted in both rounds moved."""

    moves: Mapping[Move, int]

    @property
    def both(self) -> int:
        return sum(self.moves.values())

    @property
    def gain(self) -> float | None:
        """The normalized gain (after - before) / (1 - before) of those who voted twice, from -inf to 1.

        Hake, Am. J. Phys. 66, 64 (1998). None when nobody voted twice, or when all were right before.
        """
        if not self.both:
            return None
        before = (self.moves["right-right"] + self.moves["right-wrong"]) / self.both
        after = (self.moves["right-right"] + self.moves["wrong-right"]) / self.both
        return None if before == 1 else (after - before) / (1 - before)


def compare_rounds(first: Mapping[str, str], second: Mapping[str, str], right: str) -> Transition:
    """Compare two rounds; each maps a student to an option."""
    moves = dict.fromkeys(MOVES.values(), 0)
    for student in first.keys() & second.keys():
        moves[MOVES[first[student] == right, second[student] == right]] += 1
    return Transition(moves=moves)


def pair_disagreeing(votes: Mapping[str, str]) -> list[tuple[str, str]]:
    """Pair students who chose different options, so that as many as possible have a partner.

    The two largest groups give one student each until one group alone is left.
    """
    groups: dict[str, list[str]] = {}
    for student in sorted(votes):
        groups.setdefault(votes[student], []).append(student)
    pairs: list[tuple[str, str]] = []
    while len(largest := sorted(filter(None, groups.values()), key=len, reverse=True)) > 1:
        pairs.append((largest[0].pop(0), largest[1].pop(0)))
    return pairs
