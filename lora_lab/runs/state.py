"""The state of a run: its events folded into one value (event sourcing)."""

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from lora_lab.runs.event_fields import is_usable
from lora_lab.runs.events import Event

Status = Literal["queued", "starting", "training", "finishing", "finished", "stopped", "failed"]
Word = Literal[Status, "cancelled"]
ENDED: frozenset[Status] = frozenset({"finished", "stopped", "failed"})


@dataclass(frozen=True, kw_only=True)
class RunState:
    """Everything known about a run from its events alone."""

    status: Status = "queued"
    doing: str = "Waiting"
    done_bytes: int = 0
    total_bytes: int = 0
    started: Event | None = None
    steps: tuple[Event, ...] = ()
    saved_step: int = 0
    loss_before: float | None = None
    loss_after: float | None = None
    held_out_examples: int | None = None
    """The number of examples that both losses are of; None before they are measured."""

    failure: Event | None = None
    queued_at: float = 0.0
    began_at: float | None = None
    """When a process started to work on it; None while it waits, also behind others of its job."""

    sweep: str = ""
    """Id of the sweep that it is a cell of."""

    alone: bool = False
    """Whether it is a cell that is not trained side by side with others, so that its own peak is measured."""

    first_seed: bool = False
    """Whether it is a cell of its sweep's first seed; these are trained before the others."""

    held_by: str = ""
    """`host:process` that runs it, unless that is the app (runs/owner.py)."""

    cut_off: bool = False
    """Whether it ended only because the process that ran it went away."""

    ended_at: float | None = None
    note: str = ""
    """What a stopped run lacks, and why; empty for one that was measured to its end."""

    gpu_memory: Event | None = None
    """A GPU's figures at the peak: requested, allocated, reserved, in use on the device; None on a CPU."""

    worker_pid: int = 0

    @property
    def begun(self) -> bool:
        """Whether a worker has it, where it may still wait behind others of its job."""
        return self.status != "queued" or bool(self.worker_pid)

    @property
    def ended(self) -> bool:
        return self.status in ENDED

    @property
    def word(self) -> Word:
        """The status as pages name it: what was stopped before its first step is `cancelled`."""
        return "cancelled" if self.status == "stopped" and not self.steps else self.status

    @property
    def failure_text(self) -> str:
        """What went wrong and what to do next; empty unless it failed."""
        return f"{self.failure['what']} {self.failure['do_next']}" if self.failure else ""

    @property
    def train_examples(self) -> int | None:
        """The number of examples that it trains on; None before it has started."""
        return self.started.get("train_examples") if self.started else None

    @property
    def peak_bytes(self) -> int:
        """The highest peak measured so far; 0 before the first step, and for a run that shared its steps."""
        return int(self.steps[-1].get("peak_bytes", 0)) if self.steps else 0

    @property
    def live_bytes(self) -> int:
        """Live bytes at the end of the last measured step."""
        return int(self.steps[-1].get("live_bytes", 0)) if self.steps else 0

    @property
    def shared_by(self) -> int:
        """The largest number of runs trained side by side; 1 for a run that is alone."""
        return max((int(step.get("shared_by", 1)) for step in self.steps), default=1)

    @property
    def group_peak_bytes(self) -> int:
        """The highest peak measured for all runs side by side; 0 for a run that is alone."""
        return int(self.steps[-1].get("group_peak_bytes", 0)) if self.steps else 0

    @property
    def stepping_seconds(self) -> float:
        """Wall time of all steps, including those of other runs side by side."""
        return sum(_wall_seconds(step) for step in self.steps)

    @property
    def timed_steps(self) -> Sequence[Mapping[str, Any]]:
        """The steps that tell the speed: without the first, which warms up caches, if there are others."""
        return self.steps[1:] or self.steps

    @property
    def tokens_per_second(self) -> float:
        """Tokens per second over the timed steps; in a shared step, its share."""
        seconds = sum(step["seconds"] for step in self.timed_steps)
        return float(sum(step["tokens"] for step in self.timed_steps) / seconds) if seconds else 0.0

    @property
    def seconds_per_step(self) -> float | None:
        """The median of the timed steps; None before one is done."""
        timed = [step["seconds"] for step in self.timed_steps]
        return float(statistics.median(timed)) if timed else None

    def estimate_seconds_left(self, total_steps: int) -> float | None:
        """Estimate the remaining training seconds from the median step; None before the second step."""
        if len(self.steps) < 2:
            return None
        recent = [_wall_seconds(step) for step in self.steps[1:][-15:]]
        return statistics.median(recent) * (total_steps - len(self.steps))


def _wall_seconds(step: Event) -> float:
    return float(step["shared_seconds"] if "shared_seconds" in step else step["seconds"])


def fold_events(events: Iterable[Event], state: RunState | None = None) -> RunState:
    """Fold `events` into a state, starting from `state`; damaged events are skipped, and so is what a
    worker says that did not notice the end.
    """
    current = state or RunState()
    for event in events:
        if is_usable(event) and not current.ended:
            current = _apply_event(current, event)
    return current


def _apply_event(state: RunState, event: Event) -> RunState:
    match event["kind"]:
        case "queued":
            return replace(
                state,
                queued_at=event["at"],
                sweep=event.get("sweep", ""),
                alone=event.get("alone", False),
                first_seed=event.get("first_seed", False),
                held_by=event.get("held_by", ""),
            )
        case "status":
            return replace(state, **_describe_event(state, event))
        case "started":
            return replace(state, started=event, status="training", doing="Training")
        case "step":
            return replace(state, steps=(*state.steps, event), status="training", doing="Training")
        case "gpu_memory":
            return replace(state, gpu_memory=event)
        case "saved":
            return replace(state, saved_step=event["step"])
        case "evaluated":
            return replace(
                state,
                loss_before=event["loss_before"],
                loss_after=event["loss_after"],
                held_out_examples=event.get("examples"),
            )
        case "finished" | "stopped" | "failed":
            return _apply_end(state, event)
    return state


def _apply_end(state: RunState, event: Event) -> RunState:
    failed = event["kind"] == "failed"
    return replace(
        state,
        status=event["kind"],
        doing="Failed" if failed else "Done",
        failure=event if failed else None,
        ended_at=event["at"],
        cut_off=event.get("cut_off", False),
        note="" if failed else event.get("what", ""),
    )


def _describe_event(state: RunState, event: Event) -> dict[str, Any]:
    waits = event.get("waiting", False)
    at_work: Status = "finishing" if state.steps else "starting"
    return {
        "status": "queued" if waits else at_work,
        "began_at": None if waits else state.began_at or event["at"],
        "doing": event["text"],
        "done_bytes": event.get("done_bytes", 0),
        "total_bytes": event.get("total_bytes", 0),
        "worker_pid": event.get("worker_pid", state.worker_pid),
    }
