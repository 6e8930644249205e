"""A run that keeps to a time, also on a busy machine: by fewer steps, and fewer examples measured."""

import time
from collections.abc import Callable

from lora_lab.runs.folder import RunFolder

LEAST_STEPS = 4
"""What is said of a run's training needs some: from one step to the next the loss jumps with the pairs."""

LEAST_EXAMPLES = 16
"""What is said of unseen pairs needs some; the page says how many there were."""

TRAINING_SHARE = 0.5
"""Of the time: the other half is for measuring both models."""


class TimeLimit:
    """Counts from when it is made, as a process begins with the run."""

    def __init__(self, seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds, self._clock, self._begun = seconds, clock, clock()

    @property
    def is_over(self) -> bool:
        return self._passed >= self.seconds

    def ends_training(self, step: int) -> bool:
        """Return whether the run has stepped enough, after `step` steps."""
        return step >= LEAST_STEPS and self._passed >= TRAINING_SHARE * self.seconds

    def ends_measuring(self, examples: int) -> bool:
        """Return whether enough was measured, after so many examples."""
        return examples >= LEAST_EXAMPLES and self.is_over

    @property
    def _passed(self) -> float:
        return self._clock() - self._begun


def read_limit(run: RunFolder) -> TimeLimit | None:
    """Start the time that a run has to keep to; None for one that takes as long as it takes."""
    seconds = run.within_seconds
    return TimeLimit(seconds) if seconds else None
