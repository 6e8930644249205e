"""The guided path through the concept map, and how far a learner has come on it."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

from study.base.yaml_loader import load_yaml
from study.content.concepts import Concept, ConceptMap
from study.learner.progress import Mastery
from study.store.logs.lessons import ModeMark

FILE = Path(__file__).parents[1] / "content" / "path.yaml"

PathState = Literal["done", "next", "later"]


@dataclass(frozen=True, kw_only=True)
class PathStep:
    concept: Concept
    state: PathState


@cache
def read_path_ids() -> tuple[str, ...]:
    """Read the ids of the path's concepts, in order."""
    return tuple(load_yaml(FILE.read_text("utf-8")))


def list_understood(marks: Iterable[ModeMark], known: Mapping[str, Mastery]) -> set[str]:
    """Return the concepts whose explanation is read, or whose exercises were mostly answered right."""
    read = {mark.concept_id for mark in marks if (mark.mode, mark.mark) == ("learn", "done")}
    return read | {concept for concept, found in known.items() if found.level != "Attempted"}


def follow_path(concepts: ConceptMap, done: Collection[str]) -> list[PathStep]:
    """Return the path's steps: the first one that isn't done is next."""
    ids = [each for each in read_path_ids() if each in concepts.by_id]
    following = next((each for each in ids if each not in done), "")
    return [
        PathStep(
            concept=concepts.by_id[each],
            state="done" if each in done else "next" if each == following else "later",
        )
        for each in ids
    ]


def choose_next_concept(concepts: ConceptMap, done: Collection[str], *, after: str = "") -> Concept | None:
    """Choose what to learn next: the next step of the path, else what builds on `after`, else what is ready.

    None when every concept is in `done` or is `after`.
    """
    past = {*done, after}
    on_path = next((step.concept for step in follow_path(concepts, past) if step.state == "next"), None)
    if on_path is not None:
        return on_path
    others = [concept for concept in concepts.by_id.values() if concept.id not in past]
    ready = [concept for concept in others if past >= set(concept.prerequisites)]
    building = [concept for concept in ready if after in concept.prerequisites]
    return next(iter([*building, *ready, *others]), None)


def say_place(concepts: ConceptMap, concept: Concept) -> str:
    """Say why a concept is next: its step on the path, else what it builds on."""
    if concept.id in read_path_ids():
        return f"step {read_path_ids().index(concept.id) + 1} of the path"
    before = ", ".join(concepts.name(each) for each in concept.prerequisites)
    return f"builds on {before}" if before else "needs nothing else first"
