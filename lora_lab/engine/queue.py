"""The queue of waiting runs, next first. Its order and its pause persist after the app ends.

Learners of one server take turns (round robin): everyone's first run comes before anyone's second. The
owner's runs take turns as one more learner's, whose name is empty; without learners they keep the order in
which they came. Who asked for a run is known here alone, while it waits or is trained: a run names nobody.
"""

import time
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from lora_lab.data.lab_folder import LabHome, read_json, write_json
from lora_lab.runs import owner
from lora_lab.runs.folder import RunFolder
from study.base.errors import LearnerError
from study.base.settings import Settings

Gather = Callable[[Sequence[RunFolder]], Sequence[RunFolder]]
"""Selects, among the waiting runs, the first and those that are done together with it in one job."""


RUNS_OF_A_LEARNER = 2
"""How many runs of one learner may wait or be trained at a time."""

RUNS_OF_LEARNERS = 40
"""The same of all learners together: a new browser is a new learner, so the limit of each bounds nothing."""


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
        learners = kept.get("learners")
        self._learners = (
            {str(key): str(name) for key, name in learners.items()} if isinstance(learners, dict) else {}
        )
        self._taken: tuple[RunFolder, ...] = ()
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
        waiting = {run.run_id for run in self._runs}
        self._learners = {run_id: name for run_id, name in self._learners.items() if run_id in waiting}
        self._save()

    def add(self, *runs: RunFolder, first: bool = False, learner: str = "") -> None:
        """Add runs at the learner's next turns, or at the front. A run that waits keeps its position."""
        runs = tuple(run for run in runs if run not in self._runs)
        if learner:
            self._learners |= {run.run_id: learner for run in runs}
        if first:
            self._runs = [*runs, *self._runs]
        else:
            for run in runs:
                self._runs.insert(self._find_next_turn(learner), run)
        self._save()

    def find_learner(self, run_id: str) -> str:
        """Return who asked for a run that waits or is trained; empty for the owner's and for all others."""
        return self._learners.get(run_id, "")

    def check_share(self, learner: str) -> None:
        """Raise LearnerError when a learner's share, or that of all learners, is used up."""
        mine = Counter(self._learners.values())[learner]
        if mine >= RUNS_OF_A_LEARNER:
            raise LearnerError(
                f"{mine} experiments of yours are waiting or being trained.",
                do_next="Wait until one has ended, or take one out of the queue.",
            )
        if len(self._learners) >= RUNS_OF_LEARNERS:
            raise LearnerError(
                f"{len(self._learners)} experiments of learners are waiting.",
                do_next="Try again when the queue is shorter; until then, look at the runs that have ended.",
            )

    def take(self, gather: Gather) -> tuple[RunFolder, ...]:
        """Take the next job's runs out of the queue: the first alone, if not all can be read."""
        try:
            job = self._taken = tuple(gather(tuple(self._runs)))
        except (LearnerError, OSError):  # a folder was removed or damaged
            job = self._taken = (self._runs[0],)
        self._runs = [run for run in self._runs if run not in job]
        self._save()
        return job

    def continues_sweep(self, job: Sequence[RunFolder]) -> bool:
        """Return whether the next job is of the same sweep: then its process and loaded model are reused."""
        if not job or not self._runs or self.is_paused:
            return False
        with suppress(OSError):  # the events of a run that was given up may be unreadable
            sweep = job[0].state().sweep
            return bool(sweep) and self._runs[0].state().sweep == sweep
        return False

    def end_job(self) -> None:
        """Note that the runs that were taken last are no longer being trained."""
        for run in self._taken:
            self._learners.pop(run.run_id, None)
        self._taken = ()
        self._save()

    def remove(self, *runs: RunFolder) -> None:
        self._runs = [run for run in self._runs if run not in runs]
        for run in runs:
            self._learners.pop(run.run_id, None)
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
        self.is_paused = paused
        self._save()

    def _find_next_turn(self, learner: str) -> int:
        """Find the position of a learner's next run: behind their own, before later turns of others."""
        mine = sum(self.find_learner(run.run_id) == learner for run in (*self._taken, *self._runs))
        turns = Counter(self.find_learner(run.run_id) for run in self._taken)
        position = None
        for place, run in enumerate(self._runs):
            name = self.find_learner(run.run_id)
            if name == learner:
                position = None
            elif position is None and turns[name] > mine:
                position = place
            turns[name] += 1
        return len(self._runs) if position is None else position

    def _save(self) -> None:
        if self._path is not None:
            order = [run.run_id for run in self._runs]
            kept = {"paused": self.is_paused, "order": order, "served_by": owner.name_this_process()}
            kept |= {"learners": self._learners} if self._learners else {}
            with suppress(OSError):  # a full disk: the queue is kept in memory and continues
                write_json(self._path, kept | {"since": self._since})


def count_ahead(run_ids: Collection[str], waiting: Sequence[str], current: str | None) -> int:
    """Count the other runs in progress or queued before the first of these; 0 once one of them runs."""
    queued = next((place for place, run_id in enumerate(waiting) if run_id in run_ids), None)
    return 0 if queued is None or current in run_ids else queued + (current is not None)


def locate_queue(settings: Settings) -> Path:
    """Return the file in which the app stores its queue."""
    return LabHome(settings.home).lab_path / "queue.json"


def read_owner(settings: Settings) -> tuple[str, float]:
    """Read which app wrote the queue last, and since when (seconds since 1970); an empty name if none did."""
    kept = read_json(locate_queue(settings))
    since = kept.get("since")
    return str(kept.get("served_by", "")), float(since) if isinstance(since, int | float) else 0.0
