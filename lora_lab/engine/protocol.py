"""The engine protocol: what every engine does with a sweep, on one machine or on many."""

from datetime import datetime
from typing import Protocol

from lora_lab.data.datasets import Dataset
from lora_lab.runs.sweeps import Sweep
from lora_lab.settings.grid import Grid


class Engine(Protocol):
    """An engine that turns cells into run folders with events; progress is read from those events."""

    def start(self) -> None:
        """Start serving."""

    def submit_sweep(self, grid: Grid, dataset: Dataset, *, now: datetime) -> Sweep:
        """Queue every cell of a grid. All of it exists on disk when this returns."""

    def resume_sweep(self, sweep_id: str, *, now: datetime) -> Sweep:
        """Queue the rest of a sweep: cells without an owner, and another run for each that was cut off."""

    def stop(self, run_id: str) -> None:
        """Stop a run after its current step and keep its adapter; a waiting one is not started."""

    def close(self) -> None:
        """Let running cells save their adapters and end; waiting ones wait until the sweep is resumed."""
