"""Grouping of runs that can be trained side by side on one frozen base, and how many at once.

They share the base, so the base, its rows' size and the number of steps must be equal; rank, alpha, learning
rate, seed and rsLoRA's scaling may differ per run.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from math import ceil

from lora_lab.memory.group_memory import CellBytes, group_bytes
from lora_lab.memory.written_out import needs_graph
from lora_lab.runs.folder import RunFolder
from lora_lab.spec import RunSpec

MOST = 6
"""Above this, one more cell gains little: decoding the weights is then a fortieth of a step."""

KEPT_FREE = 0.2
"""The share of the free memory that is reserved for everything that is not counted."""


def may_share(a: RunSpec, b: RunSpec) -> bool:
    """Return whether two runs can go through one frozen forward pass."""
    return _drop_differences(a) == _drop_differences(b) and not any(
        needs_graph(variant=spec.variant, optimizer=spec.optimizer) for spec in (a, b)
    )


def _drop_differences(spec: RunSpec) -> RunSpec:
    """Return the settings with everything that may differ per run set to one value."""
    return replace(spec, rank=1, alpha=1.0, learning_rate=1.0, seed=0, variant="lora")


def group_by_base(specs: Sequence[RunSpec]) -> list[list[int]]:
    """Return the positions of the runs that can share a base, each set in the order of its first run."""
    found: list[list[int]] = []
    for place, spec in enumerate(specs):
        fitting = next((one for one in found if may_share(specs[one[0]], spec)), None)
        if fitting is None:
            found.append([place])
        else:
            fitting.append(place)
    return found


@dataclass(frozen=True, kw_only=True)
class _QueuedCell:
    """What decides with which others a run is trained."""

    spec: RunSpec
    sweep: str = "a grid"
    alone: bool = False
    first_seed: bool = False

    def takes(self, other: "_QueuedCell") -> bool:
        """Return whether the other one can be trained in the job that this one begins."""
        return (
            bool(self.sweep)
            and not (self.alone or other.alone)
            and (self.sweep, self.first_seed) == (other.sweep, other.first_seed)
            and may_share(self.spec, other.spec)
        )


def take_cells(waiting: Sequence[RunFolder]) -> Sequence[RunFolder]:
    """Gather a queue's next job: the first run and, if it is a cell, the cells that can share its base.

    A cell that is marked to be alone is a job of its own, and those of the first seed are one without others.
    """
    first, *others = waiting
    begun = _read_cell(first)
    job = [first]
    for run in others:
        if not begun.sweep or begun.alone or len(job) == MOST:
            break
        if begun.takes(_read_cell(run)):
            job.append(run)
    return job


def _read_cell(run: RunFolder) -> _QueuedCell:
    state = run.state()
    return _QueuedCell(spec=run.spec, sweep=state.sweep, alone=state.alone, first_seed=state.first_seed)


def find_alone(specs: Sequence[RunSpec]) -> set[int]:
    """Find the cells that a grid trains by themselves, each the first one on a base that others share."""
    return {places[0] for places in group_by_base(specs) if len(places) > 1}


def count_together(specs: Sequence[RunSpec], *, first_seed: int | None = None) -> list[int]:
    """Count for each cell of a grid how many are trained side by side with it, itself included.

    As `take_cells` takes them from the queue where memory lets it; `first_seed` as in engine/marks.py.
    """
    alone = set() if first_seed is None else find_alone(specs)
    cells = [
        _QueuedCell(spec=spec, alone=place in alone, first_seed=spec.seed == first_seed)
        for place, spec in enumerate(specs)
    ]
    found = [1] * len(cells)
    left = list(range(len(cells)))
    while left:
        job = [left[0], *(place for place in left[1:] if cells[left[0]].takes(cells[place]))][:MOST]
        for place in job:
            found[place] = len(job)
        left = [place for place in left if place not in job]
    return found


def split_chunks(cells: Sequence[CellBytes], *, free_bytes: int) -> list[list[int]]:
    """Split cells into chunks that run at once; return their positions, in order and as even as possible.

    A cell that is too large for the free memory runs alone: the ledger may overestimate, and if it doesn't,
    the run reports that it ran out of memory.
    """
    budget = (1 - KEPT_FREE) * free_bytes + cells[0].base  # which is loaded already
    most = ceil(len(cells) / ceil(len(cells) / MOST))
    found: list[list[int]] = []
    for place, cell in enumerate(cells):
        together = found[-1] if found else []
        joined = [*(cells[i] for i in together), cell]
        if together and len(together) < most and group_bytes(joined) <= budget:
            together.append(place)
        else:
            found.append([place])
    return found
