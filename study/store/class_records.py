"""What is stored of a live class: its room, what the teacher did, its students, and their answers."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

Outcome = Literal["stored", "repeated", "answered", "late"]
"""`stored`: new, or replaces an earlier answer; `repeated`: the same id was stored before;
`answered`: there is another answer; `late`: the round is closed."""


@dataclass(frozen=True, kw_only=True)
class ClassRoom:
    """A class that was opened, and the choices its teacher made."""

    id: str
    code: str
    plan_id: str
    title: str
    options: Mapping[str, Any]
    opened_at: datetime
    names_until: datetime
    revision: int = 0


@dataclass(frozen=True, kw_only=True)
class ClassEvent:
    """One thing that the teacher did; numbers count from 1 in each room."""

    number: int
    kind: str
    """step, lock, names, kick, readmit, run, measured, grid, figure, quote, overrule, withdraw or end."""

    value: Mapping[str, Any]
    """What the kind needs."""

    at: datetime


@dataclass(frozen=True, kw_only=True)
class ClassStudent:
    """One device in a room; the name is empty once names are deleted."""

    id: str
    device: str
    number: int
    name: str
    joined_at: datetime


@dataclass(frozen=True, kw_only=True)
class ClassAnswer:
    """One student's answer in one round of one activity."""

    id: str
    student_id: str
    position: int
    round: int
    value: Mapping[str, Any]
    confidence: str | None
    at: datetime
    claim: str | None = None
    """What only this student has in this activity, such as a cell of a grid."""

    graded: Mapping[str, Any] | None = None
    """What the grader found, by concept; None until it is graded."""

    revision: int = field(default=0, compare=False)
    """The room's revision that stored it: of two answers to one round the larger one is the later."""


@dataclass(frozen=True, kw_only=True)
class ClassRecord:
    """Everything stored about one room."""

    room: ClassRoom
    activities: tuple[Mapping[str, Any], ...]
    events: tuple[ClassEvent, ...]
    students: tuple[ClassStudent, ...]
    answers: tuple[ClassAnswer, ...]
    progress: Mapping[int, Mapping[str, Any]]
    """How far what an activity trains is, by position."""

    first_activity: int = 0
    """The position of the first of `activities`: a record of changes leaves known ones out."""


@dataclass(frozen=True, kw_only=True)
class RecordedAnswer:
    """What became of an answer, and the answer that is stored for this student and round, if any."""

    outcome: Outcome
    answer: ClassAnswer | None
