"""Misconceptions: what wrong answers to different questions have in common.

The log keeps the id of a wrong answer, its slug. A slug belongs to one misconception, which has a name and
the page of the concept that refutes it.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from study.content.declared import read_declared_list
from study.content.yaml_reader import ContentError, Problem, read_list

MISCONCEPTIONS_FILE = Path(__file__).with_name("misconceptions.yaml")


@dataclass(frozen=True, kw_only=True)
class Misconception:
    """One idea behind several wrong answers; `name` completes "you"."""

    id: str
    name: str
    concept: str
    slugs: tuple[str, ...]


@cache
def load_misconceptions(path: Path = MISCONCEPTIONS_FILE) -> tuple[Misconception, ...]:
    """Read all misconceptions. Raises ContentError with every problem in the file."""
    return read_declared_list(path, Misconception, kind="misconception", under="misconceptions")


@cache
def map_misconceptions() -> Mapping[str, Misconception]:
    """Map the id of a wrong answer to its misconception."""
    return {slug: each for each in load_misconceptions() for slug in each.slugs}


SIGNS_FILE = Path(__file__).with_name("misconception_signs.yaml")


@dataclass(frozen=True, kw_only=True)
class Signs:
    """The misconception behind a forgotten card, and behind a contradicted idea of an explanation."""

    of_card: Mapping[str, Misconception]
    of_idea: Mapping[tuple[str, str], Misconception]
    """By prompt and idea."""


@cache
def load_signs() -> Signs:
    """Read where misconceptions show outside of questions. Raises ContentError with every problem."""
    problems: list[Problem] = []
    named = {each.id: each for each in load_misconceptions()}
    of_card: dict[str, Misconception] = {}
    of_idea: dict[tuple[str, str], Misconception] = {}
    for entry in read_list(SIGNS_FILE, kind="sign", problems=problems):
        found = named.get(entry.text("misconception"))
        cards, ideas = entry.texts("cards", default=()), entry.texts("ideas", default=())
        entry.close()
        if found is None:
            entry.note("there is no such misconception")
            continue
        for card in cards:
            if of_card.setdefault(card, found) is not found:
                entry.note(f"the card {card} is a sign of {of_card[card].id} already")
        for idea in ideas:
            prompt, _, name = idea.partition("/")
            if of_idea.setdefault((prompt, name), found) is not found:
                entry.note(f"the idea {idea} is a sign of {of_idea[prompt, name].id} already")
    if problems:
        raise ContentError(problems)
    return Signs(of_card=of_card, of_idea=of_idea)
