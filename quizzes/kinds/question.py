"""A question: what it asks, how it is answered, and the evidence for its answer."""

from dataclasses import dataclass

from quizzes.kinds import QuestionKind, Task
from quizzes.kinds.choices import Option
from quizzes.kinds.matrix_shape import Shape
from study.content.evidence import Evidence
from study.content.yaml_reader import Level


@dataclass(frozen=True, kw_only=True)
class Question:
    """One question. Its task has what its kind needs: options, a number, pairs to match."""

    id: str
    topic: str
    concepts: tuple[str, ...]
    level: Level
    stem: str
    task: Task
    keep: str
    evidence: Evidence
    hint: str = ""
    steps: tuple[str, ...] = ()
    """Worked arithmetic, line by line."""

    shape: Shape | None = None
    """The matrix to draw, if the question is about one."""

    @property
    def kind(self) -> QuestionKind:
        return self.task.kind

    @property
    def options(self) -> tuple[Option, ...]:
        options: tuple[Option, ...] = getattr(self.task, "options", ())
        return options
