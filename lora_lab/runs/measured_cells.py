"""Memory cells: settings whose peak was measured, operator by operator, with the predicted peak for each.

The measured bytes are stored in `memory_cells.json`, written by `python -m benchmarks.memory_cells`.
Predictions are computed each time, so the errors shown are those of this version's formulas.
"""

import json
import statistics
from dataclasses import dataclass
from functools import cache, cached_property
from pathlib import Path
from typing import Any

from lora_lab.data.batches import RowSize, parse_row
from lora_lab.memory.ledger import Ledger, find_heaviest_row, predict_ledger
from lora_lab.parameters.shapes import ModelShape, parse_shape
from lora_lab.runs.predicted_vs_measured import percent_above
from lora_lab.spec import OPTIMIZER_LABELS, TARGET_LABELS, VARIANT_NAMES, Compute, RunSpec, parse_spec
from study.base.units import as_bytes, as_count

CELLS_FILE = Path(__file__).with_name("memory_cells.json")


@dataclass(frozen=True, kw_only=True)
class MeasuredCell:
    spec: RunSpec
    compute: Compute
    shape: ModelShape
    rows: tuple[RowSize, ...]
    """The packed row of each step."""

    peak_bytes: int
    graph: bool = False
    """Whether it was measured with PyTorch's graph although today it would take the written-out layer."""

    @cached_property
    def row(self) -> RowSize:
        """The row that decides the peak."""
        return find_heaviest_row(self.shape, self.spec, self.rows, self.compute, graph=self.graph)

    @cached_property
    def predicted(self) -> Ledger:
        """The memory ledger that the page predicts before a run."""
        return predict_ledger(self.shape, self.spec, self.row, self.compute, graph=self.graph)

    @property
    def error_percent(self) -> float:
        """How far the measured peak is above (+) or below (-) the predicted one, in percent."""
        return percent_above(self.peak_bytes, self.predicted.total_bytes)

    @property
    def columns(self) -> dict[str, str]:
        """Its row of the table, by column."""
        spec = self.spec
        return {
            "model": spec.model,
            "weights": spec.bits,
            "computing in": self.compute,
            "rank": str(spec.rank),
            "adapted": TARGET_LABELS[spec.targets],
            "variant": VARIANT_NAMES[spec.variant],
            "optimizer": OPTIMIZER_LABELS[spec.optimizer],
            "checkpointing": "on" if spec.checkpointing else "off",
            "examples": str(self.row.examples),
            "tokens": as_count(self.row.tokens),
            "predicted": as_bytes(self.predicted.total_bytes),
            "measured": as_bytes(self.peak_bytes),
            "error": f"{self.error_percent:+.2f} %",
        }


@dataclass(frozen=True, kw_only=True)
class Cells:
    cells: tuple[MeasuredCell, ...]
    versions: dict[str, str]
    machine: str

    @property
    def median_percent(self) -> float:
        """The median of the absolute errors, in percent."""
        return statistics.median(abs(cell.error_percent) for cell in self.cells)

    @property
    def worst(self) -> MeasuredCell:
        return max(self.cells, key=lambda cell: abs(cell.error_percent))


@cache
def read_measured_cells() -> Cells:
    """Read every cell of the file that comes with the app."""
    return parse_cells(json.loads(CELLS_FILE.read_text("utf-8")))


def parse_cells(values: dict[str, Any]) -> Cells:
    """Parse cells from the object that benchmarks/memory_cells.py writes."""
    shapes = {name: parse_shape(json.dumps(shape)) for name, shape in values["shapes"].items()}
    return Cells(
        cells=tuple(
            MeasuredCell(
                spec=parse_spec(cell["spec"]),
                compute=cell["compute"],
                shape=shapes[cell["spec"]["model"]],
                rows=tuple(parse_row(row) for row in cell["rows"]),
                peak_bytes=cell["peak_bytes"],
                graph=cell.get("graph", False),
            )
            for cell in values["cells"]
        ),
        versions=values["versions"],
        machine=values["machine"],
    )
