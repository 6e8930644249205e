"""Grouping of runs that can be trained side by side on one frozen base, and how many at once.

They share the base, so the base, its rows' size and the number of steps must be equal; rank, alpha, learning
rate, seed and rsLoRA's scaling may differ per run.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
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


def take_cells(waiting: Sequence[RunFolder]) -> Sequence[RunFolder]:
    """Gather a queue's next job: the first run and, if it is a cell, the cells that can share its base.

    A cell that is marked to be alone is a job of its own, and those of the first seed are one without others.
    """
    first, *others = waiting
    begun = first.state()
    sweep = "" if begun.alone else begun.sweep
    job = [first]
    for run in others:
        if not sweep or len(job) == MOST:
            break
        state = run.state()
        alike = (state.sweep, state.first_seed) == (sweep, begun.first_seed)
        if may_share(first.spec, run.spec) and alike and not state.alone:
            job.append(run)
    return job


def find_alone(specs: Sequence[RunSpec]) -> set[int]:
    """Find the cells that a grid trains by themselves, each the first one on a base that others share."""
    return {places[0] for places in group_by_base(specs) if len(places) > 1}


def count_together(
    specs: Sequence[RunSpec],
    *,
    first_seed: int | None = None,
    split: Callable[[Sequence[int]], Sequence[Sequence[int]]] = lambda job: [job],
) -> list[int]:
    """Count for each cell of a grid how many are trained side by side with it, itself included.

    As `take_cells` takes them from the queue; `first_seed` as in engine/marks.py. `split` splits the places
    of a job into those that fit into memory at once.
    """
    found = [1] * len(specs)
    for places in group_by_base(specs):
        rest = places if first_seed is None else places[1:]  # the first one is alone
        for of_first in (True, False):
            alike = [place for place in rest if (specs[place].seed == first_seed) == of_first]
            for start in range(0, len(alike), MOST):
                for chunk in split(alike[start : start + MOST]):
                    for place in chunk:
                        found[place] = len(chunk)
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
