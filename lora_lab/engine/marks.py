"""What a cell's `queued` event says of its place in a sweep, and of the cells it may be trained with."""

from collections.abc import Mapping, Sequence
from typing import Any

from lora_lab.runs.grouping import find_alone
from lora_lab.runs.state import RunState
from lora_lab.spec import RunSpec

Marks = Mapping[str, Any]
"""Fields of the event, without those that are false or empty."""


def read_marks(state: RunState) -> Marks:
    """Return the marks of a run; another run that takes its place has the same."""
    marks = {"sweep": state.sweep, "alone": state.alone, "first_seed": state.first_seed}
    return {name: value for name, value in marks.items() if value}


def mark_cells(specs: Sequence[RunSpec], sweep_id: str, *, first_seed: int | None) -> list[Marks]:
    """Mark a sweep's cells. With a first seed, the first cell of each base that others share is trained by
    itself, so that every bit width has a measured peak beside its computed ones, and those of that seed don't
    share a job with the others, so that settings can be compared early.
    """
    if first_seed is None:
        return [read_marks(RunState(sweep=sweep_id)) for _ in specs]
    alone = find_alone(specs)
    return [
        read_marks(RunState(sweep=sweep_id, alone=place in alone, first_seed=spec.seed == first_seed))
        for place, spec in enumerate(specs)
    ]
