"""What every engine does with a sweep, on this machine or on many."""

from datetime import datetime
from typing import Protocol

from lora_lab.data.datasets import Dataset
from lora_lab.runs.sweeps import Sweep
from lora_lab.settings.grid import Grid


class Engine(Protocol):
    """Cells become run folders with events, whoever works on them; watch those to see how far they are."""

    def start(self) -> None:
        """Begin to serve."""

    def submit_sweep(self, grid: Grid, dataset: Dataset, *, now: datetime) -> Sweep:
        """Queue every cell of a grid. All of it exists on disk when this returns."""

    def go_on(self, sweep_id: str, *, now: datetime) -> Sweep:
        """Queue what is left of a sweep: cells that nobody works on, and another run for those cut off."""

    def stop(self, run_id: str) -> None:
        """Stop a run after its current step, keeping its adapter; a waiting one is not begun."""

    def close(self) -> None:
        """Let running cells keep what they have and end; waiting ones wait for `go_on`."""
