"""The crowd's grid: a student claims a cell with a guess of its loss; equal cells differ by their seed."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from markupsafe import Markup

from classroom.activities.number import NATS, read_number
from study.base.errors import LearnerError
from study.ports.classes import ClassGridPlan, Place


@dataclass(frozen=True, kw_only=True)
class CrowdGrid(ClassGridPlan):
    """What can be claimed."""

    html: Markup
    text: str
    setting: Mapping[str, Any] = field(default_factory=dict)
    axes: Mapping[str, Any] = field(default_factory=dict)
    """What the lab makes the cells of."""

    @property
    def cells(self) -> list[str]:
        """Every setting as `row/column`, row by row."""
        return [f"{row}/{column}" for row in range(len(self.rows)) for column in range(len(self.columns))]

    def read(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Parse a claim, `{"cell": "row/column", "number": guess}`. Raises LearnerError for anything else."""
        if given.get("cell") not in self.cells:
            raise LearnerError("No cell is chosen.", do_next="Choose one that is free, then send it.")
        guess = read_number(given.get("number"), unit=NATS, quantity="final-loss")
        return {"cell": given["cell"], "number": guess}

    def claims(self, value: Mapping[str, Any]) -> list[str]:
        """The runs of a chosen cell, `row/column/seed`; a student gets the first one that is free."""
        return [f"{value['cell']}/{seed}" for seed in range(self.seeds)]

    def label(self, claim: str) -> str:
        """A run in words: `nf4, r=8, seed 1`, its seeds counted from 1."""
        row, column, seed = place_of(claim)
        named = f"{self.rows[row]}, {self.columns[column]}"
        return f"{named}, seed {seed + 1}" if self.seeds > 1 else named


def place_of(claim: str) -> Place:
    """The row, column and seed of a claim."""
    row, column, seed = (int(part) for part in claim.split("/"))
    return row, column, seed


def select_losses(losses: Mapping[str, float], cell: str) -> list[float]:
    """The losses of a cell's seeds, out of those of all runs."""
    return [loss for claim, loss in losses.items() if claim.startswith(f"{cell}/")]


def initials(name: str, number: int) -> str:
    """At most two letters of a name; the student's number once names are deleted."""
    return "".join(word[0] for word in name.split()[:2]).upper() or str(number)
