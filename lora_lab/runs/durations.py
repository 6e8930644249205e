"""Durations of past runs on this machine, and the estimated duration of a similar run."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from pathlib import Path

from lora_lab.runs.folder import RunFolder, list_runs
from lora_lab.runs.state import RunState
from lora_lab.spec import RunSpec

similarity_key = attrgetter("model", "bits", "compute_dtype", "seq_len_tokens", "data", "checkpointing")
"""What similar runs have in common."""


@dataclass(frozen=True, kw_only=True)
class Pace:
    """The durations of one finished run."""

    spec: RunSpec
    seconds_per_step: float
    other_seconds: float
    """Seconds of loading, evaluating and answering, without steps. Each run's share if side by side."""

    shared_by: int = 1
    """The number of runs trained side by side; the seconds are each run's share."""


def compute_pace(spec: RunSpec, state: RunState) -> Pace | None:
    """Compute a run's durations; None unless it finished."""
    if state.status != "finished" or state.ended_at is None or state.began_at is None or not state.steps:
        return None
    return Pace(
        spec=spec,
        seconds_per_step=state.seconds_per_step or 0.0,
        other_seconds=max(0.0, state.ended_at - state.began_at - state.stepping_seconds) / state.shared_by,
        shared_by=state.shared_by,
    )


def estimate_run_seconds(
    spec: RunSpec, paces: Sequence[Pace], *, together: int | None = None
) -> float | None:
    """Estimate seconds of a run of `spec` from the most similar run in `paces`, newest first; None without
    one.

    Similar runs have the same model, bits, number type, length, data and checkpointing. Among those, variant,
    targets, how many runs are trained side by side (where `together` says so) and rank decide which is
    nearest; a step's time is assumed proportional to the batch.
    """
    similar = [pace for pace in paces if similarity_key(pace.spec) == similarity_key(spec)]
    if not similar:
        return None
    nearest = min(similar, key=lambda pace: _measure_distance(pace, spec, together or pace.shared_by))
    return nearest.other_seconds + spec.steps * nearest.seconds_per_step * spec.batch / nearest.spec.batch


@dataclass(frozen=True, kw_only=True)
class TimeEstimate:
    """The estimated time of several runs, as far as similar runs tell it."""

    known_seconds: float
    """Of the runs whose time is known."""

    unknown: tuple[RunSpec, ...]
    """The runs whose time is unknown."""

    @property
    def seconds(self) -> float | None:
        """The time of all runs; None while that of any of them is unknown."""
        return None if self.unknown else self.known_seconds

    @property
    def unknown_formats(self) -> list[str]:
        """The weight formats in which no similar run has finished, in the order of the runs."""
        return list(dict.fromkeys(spec.bits for spec in self.unknown))


def estimate_time(timed: Iterable[tuple[RunSpec, float | None]]) -> TimeEstimate:
    """Sum the seconds of runs, each given with its spec; None where a run's seconds are unknown."""
    found = list(timed)
    return TimeEstimate(
        known_seconds=sum(seconds for _, seconds in found if seconds is not None),
        unknown=tuple(spec for spec, seconds in found if seconds is None),
    )


def estimate_time_of_all(
    specs: Sequence[RunSpec], paces: Sequence[Pace], *, together: Sequence[int] = ()
) -> TimeEstimate:
    """Estimate the time of runs. `together` says of each how many are trained side by side with it, itself
    included; empty if that is not known.
    """
    sizes: Sequence[int | None] = together or [None] * len(specs)
    return estimate_time(
        (spec, estimate_run_seconds(spec, paces, together=size))
        for spec, size in zip(specs, sizes, strict=True)
    )


def estimate_seconds_left(runs: Sequence[RunFolder], paces: Sequence[Pace], *, now: float) -> float | None:
    """Estimate seconds until all of these runs have ended; None while the time of any of them is unknown.

    Runs side by side go through the same time together.
    """
    left = [(run.spec, state.began_at) for run in runs if not (state := run.state()).ended]
    at_work = sum(began_at is not None for _, began_at in left)

    def seconds_left(spec: RunSpec, began_at: float | None) -> float | None:
        seconds = estimate_run_seconds(spec, paces)
        passed = 0.0 if began_at is None else (now - began_at) / at_work
        return None if seconds is None else max(0.0, seconds - passed)

    return estimate_time((spec, seconds_left(spec, began_at)) for spec, began_at in left).seconds


def _measure_distance(pace: Pace, spec: RunSpec, together: int) -> tuple[object, ...]:
    return (
        pace.spec.variant != spec.variant,
        pace.spec.targets != spec.targets,
        abs(math.log2(pace.shared_by / together)),
        abs(math.log2(pace.spec.rank / spec.rank)),
    )


class Paces:
    """The durations of all finished runs in a folder; a run is read again until it has ended."""

    def __init__(self, runs_dir: Path) -> None:
        self._runs_dir = runs_dir
        self._known: dict[str, Pace | None] = {}

    def list_newest_first(self) -> list[Pace]:
        """List the durations of the runs that exist now, newest first."""
        found = (self._read_pace(run) for run in list_runs(self._runs_dir))
        return [pace for pace in found if pace is not None]

    def _read_pace(self, run: RunFolder) -> Pace | None:
        if run.run_id not in self._known:
            state = run.state()
            if not state.ended:
                return None
            self._known[run.run_id] = compute_pace(run.spec, state)
        return self._known[run.run_id]
