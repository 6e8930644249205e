"""What Learn, a concept and Progress link to: challenges, experiments, tasks, misconceptions and runs."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class ChallengeLink:
    """A link to the timed challenge of a concept."""

    address: str
    """The URL of a new challenge, drawn for this learner; the clock starts when they press Start."""

    problems: int
    rules: str
    best: str
    """The best result; empty before the first one."""

    done: bool
    badge: bool


@dataclass(frozen=True, kw_only=True)
class ProjectLink:
    """A link to a guided experiment."""

    name: str
    address: str
    question: str
    progress: str
    """This learner's progress in it, in words."""

    done: bool


@dataclass(frozen=True, kw_only=True)
class TaskLink:
    """A link to a task that the lab judges."""

    name: str
    address: str
    status: str
    """Whether this learner has tried or solved it, in words."""


@dataclass(frozen=True, kw_only=True)
class TasksDone:
    """The number of tasks, and of those that this learner has solved."""

    settings: int = 0
    settings_solved: int = 0
    runs: int = 0
    runs_solved: int = 0
    builds: int = 0
    builds_solved: int = 0


@dataclass(frozen=True, kw_only=True)
class MisconceptionLink:
    """A misconception by name, with what to do about it."""

    id: str
    name: str
    """Completes "you"."""

    address: str
    """The page that refutes it."""

    experiment: str = ""
    """What to set and what one sees then; empty where nobody wrote one."""

    experiment_address: str = ""
    """Where to set it."""


@dataclass(frozen=True, kw_only=True)
class RecurringMiss:
    """A misconception behind several of the latest misses, and what to do about it."""

    misconception: MisconceptionLink
    count: int
    total: int
    """The latest misses whose mistake is known."""

    where: str
    """The kinds of exercise in words: `2 questions and 1 card`."""

    questions: str
    """The address of questions on its concept."""

    task: str = ""
    """The address of a task on its concept; empty without one."""

    task_name: str = ""


@dataclass(frozen=True, kw_only=True)
class LabLink:
    """A link to a prepared training run."""

    address: str
    settings: tuple[tuple[str, str], ...]
    command: str
