"""The queue of waiting runs, next first. Its order and its pause persist after the app ends."""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from lora_lab.data.lab_folder import read_json, write_json
from lora_lab.runs import owner
from lora_lab.runs.folder import RunFolder
from study.base.errors import LearnerError
from study.base.settings import Settings

Gather = Callable[[Sequence[RunFolder]], Sequence[RunFolder]]
"""Selects, among the waiting runs, the first and those that are done together with it in one job."""


def take_first(waiting: Sequence[RunFolder]) -> Sequence[RunFolder]:
    """Take only the first run: each run is its own job."""
    return waiting[:1]


class RunQueue:
    """An ordered list of runs, written to `path` at every change; None stores nothing. Not thread-safe."""

    def __init__(self, path: Path | None) -> None:
        self._path = path
        self._runs: list[RunFolder] = []
        kept = read_json(path) if path else {}
        order = kept.get("order")
        self._order = [str(run_id) for run_id in order] if isinstance(order, list) else []
        self.is_paused = kept.get("paused") is True
        self._since = time.time()

    def __len__(self) -> int:
        return len(self._runs)

    def __contains__(self, run: RunFolder) -> bool:
        return run in self._runs

    def __iter__(self) -> Iterator[RunFolder]:
        return iter(tuple(self._runs))

    def take_up(self, runs: Iterable[RunFolder]) -> None:
        """Restore the runs that an earlier app left, in their order; runs without a position go last."""
        place = {run_id: number for number, run_id in enumerate(self._order)}
        self._runs += sorted(runs, key=lambda run: place.get(run.run_id, len(place)))
        self._save()

    def add(self, *runs: RunFolder, first: bool = False) -> None:
        """Add runs at the end, or at the front. A run that already waits keeps its position."""
        runs = tuple(run for run in runs if run not in self._runs)
        self._runs = [*runs, *self._runs] if first else [*self._runs, *runs]
        self._save()

    def take(self, gather: Gather) -> tuple[RunFolder, ...]:
        """Take the next job's runs out of the queue."""
        job = tuple(gather(tuple(self._runs)))
        self._runs = [run for run in self._runs if run not in job]
        self._save()
        return job

    def remove(self, run: RunFolder) -> None:
        """Remove a run from the queue."""
        self._runs.remove(run)
        self._save()

    def move(self, run_id: str, position: int) -> None:
        """Move a waiting run to a position, 0 being the next. Raises LearnerError when it isn't waiting."""
        run = next((run for run in self._runs if run.run_id == run_id), None)
        if run is None:
            raise LearnerError(
                "That run is no longer waiting.", do_next="Reload the page to see how far it is."
            )
        self._runs.remove(run)
        self._runs.insert(max(0, position), run)
        self._save()

    def pause(self, paused: bool) -> None:
        """Pause or resume the queue."""
        self.is_paused = paused
        self._save()

    def _save(self) -> None:
        if self._path is not None:
            order = [run.run_id for run in self._runs]
            kept = {"paused": self.is_paused, "order": order, "served_by": owner.this_process()}
            with suppress(OSError):  # a full disk: the queue is kept in memory and continues
                write_json(self._path, kept | {"since": self._since})


def queue_path(settings: Settings) -> Path:
    """Return the file in which the app stores its queue."""
    return settings.home / "lab" / "queue.json"


def served_by(settings: Settings) -> tuple[str, float]:
    """Read which app wrote the queue last, and since when (seconds since 1970); an empty name if none did."""
    kept = read_json(queue_path(settings))
    since = kept.get("since")
    return str(kept.get("served_by", "")), float(since) if isinstance(since, int | float) else 0.0
