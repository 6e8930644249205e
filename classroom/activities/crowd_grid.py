"""Grids of runs that the lab trains for a class, and the crowd's grid, whose cells students claim."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from classroom.activities.number import NATS, read_number
from study.base.errors import LearnerError
from study.ports.classes import ClassGridPlan, Html, Place


@dataclass(frozen=True, kw_only=True)
class RunGrid(ClassGridPlan):
    """What the lab trains: every cell once for each seed."""

    setting: Mapping[str, Any] = field(default_factory=dict)
    axes: Mapping[str, Any] = field(default_factory=dict)
    """What the lab makes the cells of."""

    @property
    def cells(self) -> list[str]:
        """Every setting as `row/column`, row by row."""
        return [f"{row}/{column}" for row in range(len(self.rows)) for column in range(len(self.columns))]

    def list_runs(self, cell: str) -> list[str]:
        """List the runs of a cell, `row/column/seed`."""
        return [f"{cell}/{seed}" for seed in range(self.seeds)]

    @property
    def uniform_loss(self) -> float | None:
        """The loss, in nats, of a model that gives every token the same probability."""
        return math.log(self.vocab) if self.vocab else None

    def label(self, run: str) -> str:
        """A run in words: `nf4, r=8, seed 1`, its seeds counted from 1."""
        row, column, seed = parse_place(run)
        named = f"{self.rows[row]}, {self.columns[column]}"
        return f"{named}, seed {seed + 1}" if self.seeds > 1 else named


@dataclass(frozen=True, kw_only=True)
class CrowdGrid(RunGrid):
    """A student claims one run with a guess of its loss."""

    html: Html
    text: str

    def read(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Parse a claim, `{"cell": "row/column", "number": guess}`. Raises LearnerError for anything else."""
        if given.get("cell") not in self.cells:
            raise LearnerError("No cell is chosen.", do_next="Choose one that is free, then send it.")
        guess = read_number(given.get("number"), unit=NATS, quantity="final-loss")
        return {"cell": given["cell"], "number": guess}

    def list_claims(self, value: Mapping[str, Any]) -> list[str]:
        """List the runs of the cell that was chosen; a student gets the first one that is free."""
        return self.list_runs(value["cell"])


def parse_place(run: str) -> Place:
    """Parse the row, column and seed of a run of a grid."""
    row, column, seed = (int(part) for part in run.split("/"))
    return row, column, seed


def select_losses(losses: Mapping[str, float], cell: str) -> list[float]:
    """The losses of a cell's seeds, out of those of all runs."""
    return [loss for claim, loss in losses.items() if claim.startswith(f"{cell}/")]
