"""Estimate of a grid before it starts: cells, predicted peaks, and time based on earlier runs."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from lora_lab.data.batches import Length, RowSize, compute_row_sizes
from lora_lab.data.lab_folder import LabHome
from lora_lab.data.machine import compute_usable_bytes, describe_free_memory, is_gpu
from lora_lab.memory import ledger as memory
from lora_lab.memory.ledger import Ledger
from lora_lab.parameters.shapes import ModelShape
from lora_lab.runs.cost_preview import choose_heaviest_row, compute_of
from lora_lab.runs.durations import Pace, TimeEstimate, estimate_run_seconds, estimate_time
from lora_lab.settings.grid import Grid
from lora_lab.spec import Compute, RunSpec
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
    rows = {seed: _find_heaviest(shape, grid, seed, lengths, compute, on_gpu) for seed in grid.seeds}
    cells = tuple(
        CellEstimate(
            spec=spec,
            ledger=memory.predict_ledger(shape, spec, rows[spec.seed], compute),
            seconds=estimate_run_seconds(spec, paces, together=size),
        )
        for spec, size in zip(specs, sizes, strict=True)
    )
    return GridEstimate(cells=cells, exact=bool(lengths))


def _find_heaviest(
    shape: ModelShape, grid: Grid, seed: int, lengths: Sequence[Length], compute: Compute, on_gpu: bool
) -> RowSize:
    """Return the heaviest row of a seed.

    The seed decides which examples share a row, so the seed's first cell shows which row is heaviest.
    """
    spec = next(spec for spec in grid.list_specs() if spec.seed == seed)
    rows = compute_row_sizes(lengths, spec, on_gpu=on_gpu)
    return choose_heaviest_row(shape, spec, rows, compute, on_gpu=on_gpu)


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
