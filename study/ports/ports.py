"""Functions that the parts of the app provide for each other, so that they don't import each other."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from study.figures.figure import FigureAbout, Figures, no_figure
from study.ports.activities import (
    AskForCards,
    CardActivity,
    CardsDue,
    ChallengeLink,
    ExplainActivity,
    FirstRuns,
    LabLink,
    ProjectLink,
    QuizActivity,
    Subjects,
)
from study.ports.classes import ClassGrader, ClassGrids, ClassRuns, FindClassQuestion, WriteClassCards
from study.ports.context import Visit


def no_row_problem(table: str, row: Mapping[str, Any]) -> str:
    """Accept every row of a backup: the default when no part checks rows."""
    return ""


@dataclass
class Ports:
    """What each part provides, set while it is built; pages are built last and read it."""

    subjects: Subjects = field(default_factory=Subjects)
    figures: Figures = field(default_factory=dict)
    figure_about: FigureAbout = no_figure
    row_problem: Callable[[str, Mapping[str, Any]], str] = no_row_problem

    ask_for_cards: AskForCards = field(init=False)
    cards_due: Callable[[Visit], CardsDue] = field(init=False)
    cards: CardActivity = field(init=False)
    quiz: QuizActivity = field(init=False)
    explain: ExplainActivity = field(init=False)
    lab_door: Callable[[Mapping[str, Any]], LabLink] = field(init=False)
    challenge_door: Callable[[Visit, str], ChallengeLink] = field(init=False)
    project_door: Callable[[Visit, str], ProjectLink] = field(init=False)
    first_run: FirstRuns = field(init=False)
    class_question: FindClassQuestion = field(init=False)
    class_runs: ClassRuns = field(init=False)
    class_grids: ClassGrids = field(init=False)
    class_grader: ClassGrader = field(init=False)
    class_cards: WriteClassCards = field(init=False)
    last_run: Callable[[], str | None] = str
