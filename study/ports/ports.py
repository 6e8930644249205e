"""Functions that the parts of the app provide for each other, so that they don't import each other."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from study.figures.figure import FigureAbout, Figures, render_no_figure
from study.ports.classes import (
    ClassGrader,
    ClassGrids,
    ClassKinds,
    ClassRuns,
    FindClassQuestion,
    FindClassTwins,
    SearchClassQuestions,
    WriteClassCards,
)
from study.ports.context import Visit
from study.ports.introduction import FirstRuns
from study.ports.learn import (
    ChallengeLink,
    LabLink,
    MisconceptionLink,
    ProjectLink,
    RecurringMiss,
    TaskLink,
    TasksDone,
)
from study.ports.review import AskForCards, CardActivity, ExplainActivity, QuizActivity
from study.ports.subjects import Subjects
from study.ports.today import CardsDue, LastRun, OpenQuiz
from study.store.logs.tasks import TaskAttempt


def accept_row(table: str, row: Mapping[str, Any]) -> str:
    """Accept every row of a backup: the default when no part checks rows."""
    return ""


@dataclass
class Ports:
    """What each part provides, set while it is built; pages are built last and read it."""

    subjects: Subjects = field(default_factory=Subjects)
    figures: Figures = field(default_factory=dict)
    figure_about: FigureAbout = render_no_figure
    row_problem: Callable[[str, Mapping[str, Any]], str] = accept_row

    ask_for_cards: AskForCards = field(init=False)
    cards_due: Callable[[Visit], CardsDue] = field(init=False)
    cards: CardActivity = field(init=False)
    quiz: QuizActivity = field(init=False)
    explain: ExplainActivity = field(init=False)
    lab_link: Callable[[Mapping[str, Any]], LabLink] = field(init=False)
    challenge_link: Callable[[Visit, str], ChallengeLink] = field(init=False)
    project_link: Callable[[Visit, str], ProjectLink] = field(init=False)
    first_run: FirstRuns = field(init=False)
    class_kinds: ClassKinds = field(init=False)
    class_question: FindClassQuestion = field(init=False)
    class_twins: FindClassTwins = field(init=False)
    search_class_questions: SearchClassQuestions = field(init=False)
    class_runs: ClassRuns = field(init=False)
    class_grids: ClassGrids = field(init=False)
    class_grader: ClassGrader = field(init=False)
    class_cards: WriteClassCards = field(init=False)
    open_quiz: Callable[[Visit], OpenQuiz | None] = lambda _: None
    last_run: Callable[[Visit], LastRun | None] = lambda _: None
    """The learner's last training run, or the lab's; None without one."""

    tasks_about: Callable[[Visit, str], Sequence[TaskLink]] = lambda *_: ()
    """By concept."""

    tasks_done: Callable[[Visit], TasksDone] = lambda _: TasksDone()
    task_misses: Callable[[Visit], Sequence[tuple[TaskAttempt, str]]] = lambda _: ()
    """Wrong attempts at tasks, each with the id of its misconception, oldest first."""

    misconception: Callable[[str], MisconceptionLink | None] = lambda _: None
    misconceptions_about: Callable[[str], Sequence[MisconceptionLink]] = lambda _: ()
    """The misconceptions that a concept's page refutes, by its id."""

    recurring_misses: Callable[[Visit], Sequence[RecurringMiss]] = lambda _: ()
