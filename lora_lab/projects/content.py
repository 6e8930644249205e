"""Guided experiments as content: a question, what to predict, ready-made grids, how results are checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

from lora_lab.grids.findings import AXES as FOUND_AXES
from lora_lab.grids.findings import Axis
from lora_lab.settings.grid import AXES, Grid, grid_from
from lora_lab.settings.grid_form import normalize_grid
from lora_lab.spec import spec_from
from study.base.errors import LearnerError
from study.content.yaml_reader import ContentError, Fields, Problem, note_repeated_ids, read_list
from study.lessons.lesson import PROJECT_IDS

PROJECTS_FILE = Path(__file__).with_name("projects.yaml")

CheckName = Literal[
    "differences", "counts", "peaks", "predicted", "parts", "rate-or-rank", "broken", "forgotten", "merged"
]
MEASURED_AFTERWARDS: frozenset[CheckName] = frozenset({"forgotten", "merged"})
"""Checks on measurements made only on request: lora_lab/runs/extra_measurements.py."""

CHECK_NAMES: tuple[CheckName, ...] = get_args(CheckName)


@dataclass(frozen=True, kw_only=True)
class ProjectGrid:
    """A grid that answers the question, with a name and a note on its size."""

    name: str
    about: str
    grid: Grid


@dataclass(frozen=True, kw_only=True)
class ProjectCheck:
    """One computation on the finished runs."""

    check: CheckName
    axis: Axis | None = None


@dataclass(frozen=True, kw_only=True)
class Project:
    """One guided experiment."""

    id: str
    name: str
    question: str
    background: str
    ask: str
    """What a hypothesis should say."""

    concepts: tuple[str, ...]
    source: str
    varies: tuple[str, ...]
    """Axes that a grid must vary to answer the question."""

    grids: tuple[ProjectGrid, ...]
    checks: tuple[ProjectCheck, ...]

    @property
    def needs_measuring(self) -> bool:
        """Whether its runs need an extra measurement after they end."""
        return any(check.check in MEASURED_AFTERWARDS for check in self.checks)

    def answered_by(self, grid: Grid) -> bool:
        """Return whether a grid, predefined or the learner's own, varies what the question is about."""
        return set(self.varies) <= set(grid.varied)


@cache
def read_projects() -> Mapping[str, Project]:
    """Read all projects by id, in order. Raises ContentError with every problem."""
    return load_projects(PROJECTS_FILE)


def load_projects(path: Path) -> Mapping[str, Project]:
    """Read and check a file of projects. Raises ContentError with every problem."""
    problems: list[Problem] = []
    entries = [
        (_read_project(fields), fields) for fields in read_list(path, kind="project", problems=problems)
    ]
    note_repeated_ids((project.id, fields) for project, fields in entries)
    if problems:
        raise ContentError(problems)
    return {project.id: project for project, _ in entries}


def _read_project(fields: Fields) -> Project:
    made = Project(
        id=fields.choice("id", PROJECT_IDS),
        name=fields.text("name"),
        question=fields.text("question"),
        background=fields.text("background"),
        ask=fields.text("ask"),
        concepts=fields.texts("concepts"),
        source=fields.text("source"),
        varies=fields.texts("varies"),
        grids=tuple(_read_grid(each) for each in fields.children("grids", kind="grid")),
        checks=tuple(_read_check(each) for each in fields.children("checks", kind="check")),
    )
    for axis in made.varies:
        if axis not in AXES:
            fields.note(f"`varies`: a grid has no axis {axis!r}")
    for each in made.grids:
        if not made.answered_by(each.grid):
            fields.note(f"the grid {each.name!r} does not vary {', '.join(made.varies)}")
    fields.close()
    return made


def _read_grid(fields: Fields) -> ProjectGrid:
    base: dict[str, Any] = fields.raw("base") or {}
    axes: dict[str, Any] = fields.raw("axes") or {}
    try:
        grid = normalize_grid(grid_from(spec_from(base), axes))
    except LearnerError as error:
        fields.note(f"isn't a grid: {error.what}")
        grid = grid_from(spec_from({}), {})
    made = ProjectGrid(name=fields.text("name"), about=fields.text("about"), grid=grid)
    fields.close()
    return made


def _read_check(fields: Fields) -> ProjectCheck:
    name = fields.choice("check", CHECK_NAMES)
    axis = fields.choice("axis", FOUND_AXES) if fields.has("axis") else None
    if (axis is None) == (name in ("differences", "peaks")):
        fields.note("`axis` belongs to `differences` and `peaks`, and they need it")
    fields.close()
    return ProjectCheck(check=name, axis=axis)
