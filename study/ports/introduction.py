"""The training run at the end of the introduction, which the Lab starts and shows."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from markupsafe import Markup

from study.ports.context import Visit


@dataclass(frozen=True, kw_only=True)
class FirstRunView:
    """A learner's first training run as it is now."""

    html: Markup
    ended: bool
    loss_before: float | None
    """The loss on examples that aren't trained on, before the run; None until it was measured."""

    loss_after: float | None
    outcome: str
    """`falls`, `stays` or `rises`; empty until both losses were measured."""

    steps: int
    """The number of steps done so far."""

    pairs: int
    """The number of examples that both losses are of; 0 until they were measured."""

    guessed: str
    """What the learner said of the loss, in the words of `outcome`; empty without a guess."""

    peak: str
    """The measured peak memory, once both losses were measured or the run has ended."""

    guessed_peak: str
    missed_peak: str
    """The computed peak of the heaviest batch, where the run ended before that batch came; else empty."""

    again: str
    """The URL of the same run at rank 1, filled in but not started."""


class FirstRuns(Protocol):
    """Starts and shows the training run at the end of the introduction."""

    def start(self, visit: Visit, *, anew: bool, guess: Mapping[str, str]) -> str:
        """Start the run with the learner's guess and return its id. Raises LearnerError on a bad guess."""

    def has(self, run_id: str) -> bool:
        """Return whether there is such a run; False once it was deleted."""

    def show(self, visit: Visit, run_id: str) -> FirstRunView:
        """Render the run as it is now. Raises LearnerError when there is no such run."""

    def stop(self, run_id: str) -> None:
        """Stop the run. Raises LearnerError where others look at it too."""

    @property
    def keeps_to(self) -> int:
        """The seconds within which a run ends, by fewer steps where it must; 0 for none."""

    def describe_duration(self) -> str:
        """Estimate how long the steps take here; empty when nothing is known."""
