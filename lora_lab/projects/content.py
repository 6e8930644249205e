"""Guided experiments as content: a question, what to predict, ready-made grids, how results are checked."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from lora_lab.grids.findings import COMPARED_AXES, Axis
from lora_lab.settings.grid import AXES, Grid
from lora_lab.settings.grid_form import read_grid
from study.content.declared import read_declared_list
from study.content.yaml_reader import Fields
from study.lessons.lesson import ProjectId

PROJECTS_FILE = Path(__file__).with_name("projects.yaml")

CheckName = Literal[
    "differences", "counts", "peaks", "predicted", "parts", "rate-or-rank", "broken", "forgotten", "merged"
]
MEASURED_AFTERWARDS: frozenset[CheckName] = frozenset({"forgotten", "merged"})
"""Checks on measurements made only on request: lora_lab/runs/extra_measurements.py."""


def _read_axis(fields: Fields, name: str) -> Axis | None:
    return fields.choice(name, COMPARED_AXES) if fields.has(name) else None


@dataclass(frozen=True, kw_only=True)
class ProjectGrid:
    """A grid that answers the question, with a name and a note on its size."""

    name: str
    about: str
    grid: Annotated[Grid, read_grid]


@dataclass(frozen=True, kw_only=True)
class ProjectCheck:
    """One computation on the finished runs."""

    check: CheckName
    axis: Annotated[Axis | None, _read_axis] = None

    def note_problems(self, fields: Fields) -> None:
        """Note an axis that is missing or makes no difference."""
        if (self.axis is None) == (self.check in ("differences", "peaks")):
            fields.note("`axis` belongs to `differences` and `peaks`, and they need it")


@dataclass(frozen=True, kw_only=True)
class Project:
    id: ProjectId
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

    def note_problems(self, fields: Fields) -> None:
        """Note axes that grids lack, and grids that don't answer the question."""
        for axis in self.varies:
            if axis not in AXES:
                fields.note(f"`varies`: a grid has no axis {axis!r}")
        for each in self.grids:
            if not self.is_answered_by(each.grid):
                fields.note(f"the grid {each.name!r} does not vary {', '.join(self.varies)}")

    @property
    def needs_measuring(self) -> bool:
        """Whether its runs need an extra measurement after they end."""
        return any(check.check in MEASURED_AFTERWARDS for check in self.checks)

    def is_answered_by(self, grid: Grid) -> bool:
        """Return whether a grid, predefined or the learner's own, varies what the question is about."""
        return set(self.varies) <= set(grid.varied)


@cache
def read_projects(path: Path = PROJECTS_FILE) -> Mapping[str, Project]:
    """Read all projects by id, in order. Raises ContentError with every problem."""
    return {project.id: project for project in read_declared_list(path, Project, kind="project")}
