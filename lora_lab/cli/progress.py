"""What runs do, as lines for the terminal while they do it."""

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
    """Says what is new in one run."""

    def __init__(self, write: Write) -> None:
        self._write = write
        self._shown = ""
        self._steps = 0

    def look(self, run: RunFolder) -> None:
        """Say what is new, then wait a moment."""
        state = run.state()
        self.say(state)
        if not state.ended:
            time.sleep(WATCH_SECONDS)

    def say(self, state: RunState) -> None:
        """Steps that were done since the last time, and what is done now."""
        for step in state.steps[self._steps :]:
            self._write(
                f"step {step['step']}  loss {step['loss']:.3f}  {step['seconds']:.2f} s  {_peak(step)}"
            )
        self._steps = len(state.steps)
        doing = _doing(state)
        if doing != self._shown:
            self._write(doing)
            self._shown = doing


def _peak(step: Event) -> str:
    """Of the run; of all that were trained side by side, where it was not alone."""
    if "shared_by" in step:
        return f"peak of {step['shared_by']} runs together {as_bytes(step['group_peak_bytes'])}"
    return f"peak {as_bytes(step['peak_bytes'])}"


def _doing(state: RunState) -> str:
    if state.total_bytes:
        return f"{state.doing}: {as_bytes(state.done_bytes)} of {as_bytes(state.total_bytes)}"
    return state.doing


class SweepWatcher:
    """Says what is new in the cells of a sweep, and hands out each that has ended, in the grid's order."""

    def __init__(self, sweep: Sweep, runs_dir: Path, write: Write) -> None:
        self._left = deque(
            _Cell(run, f"cell {number} of {sweep.grid.count}, {sweep.grid.label(spec)}", write)
            for number, (spec, run) in enumerate(sweep.cells(runs_dir), start=1)
            if run is not None
        )

    @property
    def all_ended(self) -> bool:
        """Whether every cell was handed out."""
        return not self._left

    def look(self) -> list[RunFolder]:
        """The cells that ended since the last time, as far as all before them have ended."""
        for cell in self._left:
            cell.look()
        ended = []
        while self._left and self._left[0].state.ended:
            ended.append(self._left.popleft().run)
        return ended


class _Cell:
    """One cell, whose events are read again only when there are more."""

    def __init__(self, run: RunFolder, name: str, write: Write) -> None:
        self.run = run
        self.state = RunState()
        self._name = name
        self._write = write
        self._size_bytes = 0
        self._watcher = Watcher(self._say)

    def look(self) -> None:
        """Say what is new."""
        try:
            size_bytes = self.run.events_path.stat().st_size
        except OSError:
            return
        if size_bytes != self._size_bytes:
            self._size_bytes, self.state = size_bytes, self.run.state()
            if self.state.status != "queued":
                self._watcher.say(self.state)
            if self.state.failure:
                self._say(self.state.failure["what"])

    def _say(self, line: str) -> None:
        self._write(f"{self._name}: {line}")


def cells_as_they_end(sweep: Sweep, runs_dir: Path, write: Write) -> Iterator[RunFolder]:
    """Say what cells do, and hand out each that has ended, in the grid's order, until the last one has."""
    watcher = SweepWatcher(sweep, runs_dir, write)
    while not watcher.all_ended:
        ended = watcher.look()
        yield from ended
        if not ended:
            time.sleep(WATCH_SECONDS)
