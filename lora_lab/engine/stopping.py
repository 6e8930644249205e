"""After a stop: a worker that still reports may measure; one that has fallen silent is ended."""

import time
from collections.abc import Callable, Sequence

from lora_lab.runs.folder import RunFolder

STOP_GRACE_SECONDS = 60
LOOK_AGAIN_SECONDS = 1


def is_silent(job: Sequence[RunFolder], has_ended: Callable[[float], bool]) -> bool:
    """Wait until no run of a job has reported anything for the grace period; False if it ends before.

    `has_ended` waits up to so many seconds for the end.
    """
    reported, since = _measure_reported_bytes(job), time.monotonic()
    while not has_ended(LOOK_AGAIN_SECONDS):
        if (now := _measure_reported_bytes(job)) != reported:
            reported, since = now, time.monotonic()
        elif time.monotonic() - since >= STOP_GRACE_SECONDS:
            return True
    return False


def _measure_reported_bytes(job: Sequence[RunFolder]) -> int:
    return sum(run.events_path.stat().st_size for run in job)
