"""What Learn needs of quizzes and the lab, so that it need not know the packages behind them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from study.ports.context import Visit


@dataclass(frozen=True, kw_only=True)
class ChallengeDoor:
    """The timed challenge of a concept."""

    address: str
    """Of a fresh one, drawn for this learner; the clock starts there, on a press."""

    problems: int
    rules: str
    best: str
    """How the best one went; empty before the first."""

    done: bool
    badge: bool


@dataclass(frozen=True, kw_only=True)
class ProjectDoor:
    """A guided experiment."""

    name: str
    address: str
    question: str
    standing: str
    """Where this learner is in it, in words."""

    done: bool


@dataclass(frozen=True, kw_only=True)
class LabDoor:
    """A lab run, filled in."""

    address: str
    settings: tuple[tuple[str, str], ...]
    command: str


@dataclass(frozen=True, kw_only=True)
class Doors:
    """One function a mode that leads elsewhere."""

    lab: Callable[[Mapping[str, Any]], LabDoor]
    challenge: Callable[[Visit, str], ChallengeDoor]
    project: Callable[[Visit, str], ProjectDoor]
