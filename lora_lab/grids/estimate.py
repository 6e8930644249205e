"""Estimate of a grid before it starts: cells, predicted peaks, and time based on earlier runs."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from lora_lab.data.batches import Length, RowSize, compute_row_sizes
from lora_lab.data.lab_folder import LabHome
from lora_lab.data.machine import compute_usable_bytes, describe_free_memory, find_free_bytes, is_gpu
from lora_lab.memory import ledger as memory
from lora_lab.memory.group_memory import CellBytes, compute_cell_bytes
from lora_lab.memory.ledger import Ledger
from lora_lab.memory.written_out import is_written_out
from lora_lab.parameters.shapes import ModelShape
from lora_lab.runs.cost_preview import choose_heaviest_row, compute_of
from lora_lab.runs.durations import Pace, TimeEstimate, estimate_run_seconds, estimate_time
from lora_lab.runs.grouping import count_together, split_chunks
from lora_lab.settings.grid import Grid
from lora_lab.spec import Compute, RunSpec
from study.base.errors import LearnerError
from study.base.units import as_bytes, as_duration


@dataclass(frozen=True, kw_only=True)
class CellEstimate:
    spec: RunSpec
    ledger: Ledger
    """The predicted peak, by component."""

    seconds: float | None
    """From the most similar finished run; None if no similar run has finished."""


@dataclass(frozen=True, kw_only=True)
class GridEstimate:
    """The estimates of all cells, in the grid's order."""

    cells: tuple[CellEstimate, ...]
    exact: bool
    """Whether the data's token lengths are known; else peaks are upper bounds for the settings."""

    machine_bytes: int = 0
    """Bytes that a run can use on the device; 0 if not known yet."""

    free_memory: str = ""
    """The same in words: "this GPU has 7.10 GB free"."""

    @property
    def largest(self) -> CellEstimate:
        """The cell with the highest predicted peak, which decides whether the grid fits."""
        return max(self.cells, key=lambda cell: cell.ledger.total_bytes)

    @property
    def fits(self) -> bool:
        """Whether every cell is below the machine's memory."""
        return not self.machine_bytes or self.largest.ledger.total_bytes < self.machine_bytes

    @property
    def time(self) -> TimeEstimate:
        """The time of the whole grid."""
        return estimate_time((cell.spec, cell.seconds) for cell in self.cells)

    @property
    def seconds(self) -> float | None:
        """The same in seconds; None while any cell's time is unknown."""
        return self.time.seconds

    @property
    def without_pace(self) -> int:
        """The number of cells whose time is unknown."""
        return sum(cell.seconds is None for cell in self.cells)


def estimate_here(
    home: LabHome, grid: Grid, digest: str, paces: Sequence[Pace], *, together: Sequence[int] = ()
) -> GridEstimate:
    """Estimate for this machine and data set. Raises LearnerError when the model's shape is not known yet."""
    device = home.describe_device()
    found = estimate_grid(
        grid,
        home.find_shape(grid.base.model),
        home.read_lengths(grid.base.model, digest),
        compute=compute_of(grid.base, device)[0],
        on_gpu=is_gpu(device),
        paces=paces,
        together=together,
    )
    return replace(
        found, machine_bytes=compute_usable_bytes(device), free_memory=describe_free_memory(device)
    )


def estimate_grid(
    grid: Grid,
    shape: ModelShape,
    lengths: Sequence[Length],
    *,
    compute: Compute,
    on_gpu: bool = False,
    paces: Sequence[Pace] = (),
    together: Sequence[int] = (),
) -> GridEstimate:
    """Estimate all cells of a grid.

    `lengths` are those of the training examples, empty if unknown; `paces` are newest first, and `together`
    says with how many each cell is trained (both: runs/durations.py).
    """
    specs = grid.list_specs()
    sizes: Sequence[int | None] = together or [None] * len(specs)
    rows = _find_heaviest_rows(shape, grid, lengths, compute, on_gpu)
    cells = tuple(
        CellEstimate(
            spec=spec,
            ledger=memory.predict_ledger(shape, spec, rows[spec.seed], compute),
            seconds=estimate_run_seconds(spec, paces, together=size),
        )
        for spec, size in zip(specs, sizes, strict=True)
    )
    return GridEstimate(cells=cells, exact=bool(lengths))


def count_cells_together(
    home: LabHome, grid: Grid, digest: str, *, first_seed: int | None = None
) -> list[int]:
    """Count for each cell how many are trained side by side with it: those that the queue takes together
    (`runs.grouping.count_together`), as far as they fit into the memory that is free now. Where the model is
    unknown, or lacks the targets, memory doesn't count.
    """
    specs = grid.list_specs()
    try:
        return count_together(specs, first_seed=first_seed, split=_build_split(home, grid, digest, specs))
    except LearnerError:
        return count_together(specs, first_seed=first_seed)


def _build_split(
    home: LabHome, grid: Grid, digest: str, specs: Sequence[RunSpec]
) -> Callable[[Sequence[int]], list[list[int]]]:
    """Build the function that splits the places of a job as its worker does (worker/training/group_run.py).

    Raises LearnerError when the model's shape is not known; so does the function, for targets it lacks.
    """
    model = grid.base.model
    shape = home.find_shape(model)
    device, lengths = home.describe_device(), home.read_lengths(model, digest)
    compute, on_gpu = compute_of(grid.base, device)[0], is_gpu(device)
    free_bytes = find_free_bytes(device)
    rows = _find_heaviest_rows(shape, grid, lengths, compute, on_gpu)

    def split(job: Sequence[int]) -> list[list[int]]:
        alone = [[place] for place in job]
        first = specs[job[0]]
        written = is_written_out(shape.model_type, compute, variant=first.variant, optimizer=first.optimizer)
        if len(job) == 1 or not written:
            return alone
        by_seed = sorted(job, key=lambda place: specs[place].seed)  # as they are trained
        sizes = [_compute_bytes_once(shape, specs[at], rows[specs[at].seed], compute) for at in by_seed]
        chunks = split_chunks(sizes, free_bytes=free_bytes - sizes[0].base)
        return [[by_seed[place] for place in chunk] for chunk in chunks]

    return split


@lru_cache(maxsize=2048)  # the page opens with all presets, whose cells stay the same
def _compute_bytes_once(shape: ModelShape, spec: RunSpec, row: RowSize, compute: Compute) -> CellBytes:
    return compute_cell_bytes(shape, [(spec, row)], compute)


def _find_heaviest_rows(
    shape: ModelShape, grid: Grid, lengths: Sequence[Length], compute: Compute, on_gpu: bool
) -> dict[int, RowSize]:
    """Return each seed's heaviest row.

    The seed decides which examples share a row, so the seed's first cell shows which row is heaviest.
    """
    found: dict[int, RowSize] = {}
    for spec in grid.list_specs():
        if spec.seed not in found:
            rows = compute_row_sizes(lengths, spec, on_gpu=on_gpu)
            found[spec.seed] = choose_heaviest_row(shape, spec, rows, compute, on_gpu=on_gpu)
    return found


def describe_estimate(grid: Grid, found: GridEstimate) -> str:
    """Format the estimate in one line."""
    largest = found.largest
    bound = "" if found.exact else "at most "
    seconds = found.seconds
    time = (
        f"about {as_duration(seconds)}" if seconds is not None else "not known, no similar run finished here"
    )
    warning = "" if found.fits else f" {found.free_memory[:1].upper()}{found.free_memory[1:]}."
    return (
        f"{grid.count} cells. Largest predicted peak: {bound}{as_bytes(largest.ledger.total_bytes)} "
        f"({grid.label(largest.spec)}). Time: {time}.{warning}"
    )
