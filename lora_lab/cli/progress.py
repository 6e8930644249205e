"""Progress of runs as lines for the terminal."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

from lora_lab.runs.events import Event
from lora_lab.runs.folder import RunFolder
from lora_lab.runs.state import RunState
from lora_lab.runs.sweeps import Sweep
from study.base.units import as_bytes

WATCH_SECONDS = 0.2

Write = Callable[[str], None]


class Watcher:
    """A watcher that prints what is new in one run."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._shown = ""
        self._steps = 0

    def look(self, run: RunFolder) -> None:
        """Print what is new, then wait a moment."""
        state = run.state()
        self.say(state)
        if not state.ended:
            time.sleep(WATCH_SECONDS)

    def say(self, state: RunState) -> None:
        """Print the steps since the last call, and the current status."""
        for step in state.steps[self._steps :]:
            self._write(
                f"step {step['step']}  loss {step['loss']:.3f}  {step['seconds']:.2f} s{_format_peak(step)}"
            )
        self._steps = len(state.steps)
        doing = _describe_state(state)
        if doing != self._shown:
            self._write(doing)
            self._shown = doing


def _format_peak(step: Event) -> str:
    """Format the run's peak, or that of all runs side by side; empty for a step that says none."""
    if "shared_by" in step:
        whose, peak_bytes = f"peak of {step['shared_by']} runs together", step.get("group_peak_bytes")
    else:
        whose, peak_bytes = "peak", step.get("peak_bytes")
    return "" if peak_bytes is None else f"  {whose} {as_bytes(peak_bytes)}"


def _describe_state(state: RunState) -> str:
    if state.status == "stopped":
        done = len(state.steps)
        return f"Stopped after step {done}" if done else "Stopped before the first step: nothing was trained"
    if state.total_bytes:
        return f"{state.doing}: {as_bytes(state.done_bytes)} of {as_bytes(state.total_bytes)}"
    return state.doing


class _Cell:
    def __init__(self, run: RunFolder, name: str, write: Write) -> None:
        self.run = run
        self.state = RunState()
        self._name = name
        self._write = write
        self._watcher = Watcher(self._say)

    def look(self) -> None:
        state = self.run.state()
        if state is self.state:
            return
        self.state = state
        if state.status != "queued":
            self._watcher.say(state)
        if state.failure:
            self._say(state.failure["what"])

    def _say(self, line: str) -> None:
        self._write(f"{self._name}: {line}")


def watch_cells(sweep: Sweep, runs_dir: Path, write: Write) -> Iterator[RunFolder]:
    """Print progress of the cells, and yield each ended cell in the grid's order, up to the last one.

    A cell is yielded before anything is printed of the cells after it.
    """
    left = deque(
        _Cell(run, f"cell {number} of {sweep.grid.count}, {sweep.grid.label(spec)}", write)
        for number, (spec, run) in enumerate(sweep.cells(runs_dir), start=1)
        if run is not None
    )
    while left:
        left[0].look()
        if left[0].state.ended:
            yield left.popleft().run
            continue
        for later in islice(left, 1, None):
            later.look()
        time.sleep(WATCH_SECONDS)
