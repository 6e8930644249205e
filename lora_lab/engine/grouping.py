"""Which runs may be trained side by side through one frozen base, and how many at once.

They share the base, so what decides the base, its rows' size and the number of steps must be equal; rank,
alpha, learning rate, seed and rsLoRA's scaling are each run's own.
"""

from collections.abc import Sequence
from dataclasses import replace
from math import ceil

from lora_lab.memory.group_memory import CellBytes
from lora_lab.runs.folder import RunFolder
from lora_lab.spec import RunSpec

GROUPED_TYPES = frozenset({"llama", "mistral", "qwen2"})
"""Model types whose decoder layer worker/training/group_layer.py is written for."""

MOST = 6
"""Beyond, one more cell gains next to nothing: decoding the weights is then a fortieth of a step."""

KEPT_FREE = 0.2
"""Of the free memory, for everything that is not counted."""


def stands_alone(spec: RunSpec) -> bool:
    """Whether the side-by-side loop has no form of it: DoRA, and moments that are not in 32 bits."""
    return spec.variant == "dora" or spec.optimizer != "adamw"


def may_share(a: RunSpec, b: RunSpec) -> bool:
    """Whether two runs can go through one frozen pass."""
    return not stands_alone(a) and not stands_alone(b) and _common(a) == _common(b)


def _common(spec: RunSpec) -> RunSpec:
    """With everything that each run has for itself set to one value."""
    return replace(spec, rank=1, alpha=1.0, learning_rate=1.0, seed=0, variant="lora")


def sets(specs: Sequence[RunSpec]) -> list[list[int]]:
    """Places of the runs that may share, each set in the order of its first run."""
    found: list[list[int]] = []
    for place, spec in enumerate(specs):
        fitting = next((one for one in found if may_share(specs[one[0]], spec)), None)
        if fitting is None:
            found.append([place])
        else:
            fitting.append(place)
    return found


def neighbours(waiting: Sequence[RunFolder]) -> Sequence[RunFolder]:
    """The next job of a queue: the first run and, if it is a cell of a sweep, the cells that may share."""
    first, *others = waiting
    sweep = first.state().sweep
    job = [first]
    for run in others:
        if not sweep or len(job) == MOST:
            break
        if may_share(first.spec, run.spec) and run.state().sweep == sweep:
            job.append(run)
    return job


def chunks(cells: Sequence[CellBytes], *, free_bytes: int) -> list[list[int]]:
    """Places of the cells that go at once, in order and as even as they can be.

    A cell that is too large for the free memory goes alone: the ledger may be too careful, and if it is not,
    the run says so.
    """
    budget = (1 - KEPT_FREE) * free_bytes - max(cell.working for cell in cells)
    most = ceil(len(cells) / ceil(len(cells) / MOST))
    found: list[list[int]] = []
    for place, cell in enumerate(cells):
        together = found[-1] if found else []
        if together and len(together) < most and sum(cells[i].kept for i in together) + cell.kept <= budget:
            together.append(place)
        else:
            found.append([place])
    return found
