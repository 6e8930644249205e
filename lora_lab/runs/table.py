"""The results table of a sweep: one CSV line per cell, written again whenever a cell ends."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

from lora_lab.data.lab_folder import replace_text
from lora_lab.runs.folder import RunFolder
from lora_lab.runs.summary import summarize
from lora_lab.runs.sweeps import Sweep, find_sweep
from lora_lab.spec import RunSpec
from study.base.spreadsheets import neutralize

MEASURED = (
    "trainable", "total", "loss_first", "loss_last", "eval_loss_before", "eval_loss_after", "peak_bytes",
    "predicted_bytes", "shared_by", "seconds_per_step", "tokens_per_second", "seconds", "device", "error",
)  # fmt: skip
COLUMNS = ("cell", "status", *(field.name for field in fields(RunSpec)), *MEASURED, "run_id")
"""Sizes are bytes, times seconds; empty where a cell has not got so far."""

Row = dict[str, Any]


class ResultsTable:
    """A writer of results tables that caches the rows of ended cells."""

    def __init__(self, runs_dir: Path, sweeps_dir: Path) -> None:
        self._runs_dir = runs_dir
        self._sweeps_dir = sweeps_dir
        self._ended: dict[str, Row] = {}

    def write(self, sweep: Sweep) -> None:
        """Replace the sweep's table by the current results."""
        replace_text(sweep.table_path, self.text(sweep))

    def write_for(self, run: RunFolder) -> None:
        """Replace the table of the sweep that a run is a cell of; do nothing for a run of no sweep."""
        sweep = find_sweep(self._sweeps_dir, run.state())
        if sweep is not None:
            # A full disk: the queue continues, and the next cell's end writes the table again.
            with suppress(OSError):
                self.write(sweep)

    def text(self, sweep: Sweep) -> str:
        """Format the current results as CSV."""
        rows = [
            asdict(spec) | (self._build_row(run) if run else {"status": "deleted"}) | {"cell": number}
            for number, (spec, run) in enumerate(sweep.cells(self._runs_dir), start=1)
        ]
        return format_csv(rows, COLUMNS)

    def _build_row(self, run: RunFolder) -> Row:
        known = self._ended.get(run.run_id)
        if known is not None:
            return known
        state = run.state()
        if not state.ended:
            return {"status": state.status, "run_id": run.run_id}
        row = summarize(run, state) | {
            "status": state.status,
            "run_id": run.run_id,
            "seconds_per_step": state.seconds_per_step,
        }
        self._ended[run.run_id] = row
        return row


def format_csv(rows: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> str:
    """Format a table; fields of a row that are not in the columns are omitted.

    Texts that a spreadsheet would evaluate get an apostrophe in front.
    """
    file = io.StringIO()
    writer = csv.DictWriter(file, columns, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: neutralize(value) for name, value in row.items()} for row in rows)
    return file.getvalue()
