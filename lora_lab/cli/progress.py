"""Progress of runs as lines for the terminal."""

import time
from collections import deque
from collections.abc import Callable, Iterator
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
    if state.total_bytes:
        return f"{state.doing}: {as_bytes(state.done_bytes)} of {as_bytes(state.total_bytes)}"
    return state.doing


class SweepWatcher:
    """A watcher of a sweep's cells: prints what is new and returns each ended cell in the grid's order."""

    def __init__(self, sweep: Sweep, runs_dir: Path, write: Write) -> None:
        self._left = deque(
            _Cell(run, f"cell {number} of {sweep.grid.count}, {sweep.grid.label(spec)}", write)
            for number, (spec, run) in enumerate(sweep.cells(runs_dir), start=1)
            if run is not None
        )

    @property
    def all_ended(self) -> bool:
        return not self._left

    def look(self) -> RunFolder | None:
        """Return the first cell if it has ended, before anything is printed of the cells after it."""
        for cell in self._left:
            cell.look()
            if cell is self._left[0] and cell.state.ended:
                return self._left.popleft().run
        return None


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


def cells_as_they_end(sweep: Sweep, runs_dir: Path, write: Write) -> Iterator[RunFolder]:
    """Print progress of the cells, and yield each ended cell in the grid's order, up to the last one."""
    watcher = SweepWatcher(sweep, runs_dir, write)
    while not watcher.all_ended:
        ended = watcher.look()
        if ended is None:
            time.sleep(WATCH_SECONDS)
        else:
            yield ended
