"""The nine ways to study a concept, and the learner's state in each; derived from the logs."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, get_args

from study.lessons.lesson import Lesson
from study.store.logs.lessons import ModeMark

StudyMode = Literal["learn", "why", "deep", "visualize", "metrics", "challenge", "review", "try", "project"]
STUDY_MODES: tuple[StudyMode, ...] = get_args(StudyMode)

ABOUT: dict[StudyMode, str] = {
    "learn": "the explanation",
    "why": "what it is for",
    "deep": "the derivation",
    "visualize": "a live figure",
    "metrics": "what to measure",
    "challenge": "timed problems",
    "review": "cards, questions, own words",
    "try": "a run in the lab",
    "project": "a guided experiment",
}
STEPS: tuple[tuple[str, tuple[StudyMode, ...]], ...] = (
    ("Understand", ("learn", "why", "deep")),
    ("Look", ("visualize", "metrics")),
    ("Practise", ("challenge", "review")),
    ("Experiment", ("try", "project")),
)
"""The four steps of a concept, each with its modes, in row order."""

READ: frozenset[StudyMode] = frozenset({"learn", "why", "deep", "metrics"})
"""Texts: reading one completes the mode."""

TOLD: frozenset[StudyMode] = READ | {"visualize"}
"""Modes that the learner marks as done; a run started from Try, answers and texts complete the others."""

CHALLENGE_MINUTES = 10

ModeStatus = Literal["new", "opened", "read", "done"]


@dataclass(frozen=True, kw_only=True)
class ModeState:
    mode: StudyMode
    minutes: int
    status: ModeStatus

    @property
    def title(self) -> str:
        return self.mode.capitalize()

    @property
    def about(self) -> str:
        """Its content, in two or three words."""
        return ABOUT[self.mode]

    @property
    def finished(self) -> bool:
        return self.status in ("read", "done")


def parse_mode(written: str) -> StudyMode | None:
    """Parse the mode from a URL; None when it names no mode."""
    return next((mode for mode in STUDY_MODES if mode == written), None)


def list_states(
    marks: Iterable[ModeMark], *, minutes: Mapping[StudyMode, int], shown_done: Iterable[StudyMode]
) -> list[ModeState]:
    """Return each mode's state, in row order. `shown_done` are the modes that other logs prove done."""
    known: set[tuple[str, str]] = {(mark.mode, mark.mark) for mark in marks}
    proven = set(shown_done)
    return [
        ModeState(mode=mode, minutes=minutes[mode], status=_find_status(mode, known, mode in proven))
        for mode in STUDY_MODES
        if mode in minutes
    ]


def list_minutes(lesson: Lesson | None, *, review: int) -> dict[StudyMode, int]:
    """Return the stated minutes per mode, with those of one review; without a lesson there are two modes."""
    own: dict[StudyMode, int] = {"challenge": CHALLENGE_MINUTES, "review": review}
    if lesson is None:
        return own
    return own | {
        "learn": lesson.learn.minutes,
        "why": lesson.why.minutes,
        "deep": lesson.deep.minutes,
        "visualize": lesson.visualize.minutes,
        "metrics": lesson.metrics.minutes,
        "try": lesson.try_it.minutes,
        "project": lesson.project.minutes,
    }


def find_last_mode(marks: Iterable[ModeMark]) -> StudyMode | None:
    opened = [mark for mark in marks if mark.mark == "opened"]
    return parse_mode(opened[-1].mode) if opened else None


def find_next_mode(row: Iterable[ModeState], mode: StudyMode) -> ModeState | None:
    """Find the mode after this one in the row."""
    return next((following for state, following in pairwise(row) if state.mode == mode), None)


def count_done(marks: Iterable[ModeMark]) -> dict[str, int]:
    """Count, per concept, the modes that the learner marked as done."""
    found: dict[str, set[str]] = {}
    for mark in marks:
        if mark.mark == "done":
            found.setdefault(mark.concept_id, set()).add(mark.mode)
    return {concept: len(modes) for concept, modes in found.items()}


def _find_status(mode: StudyMode, known: set[tuple[str, str]], proven: bool) -> ModeStatus:
    if proven or (mode, "done") in known:
        return "read" if mode in READ else "done"
    return "opened" if (mode, "opened") in known else "new"
