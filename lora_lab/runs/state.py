"""A run as a page shows it: its events folded into one value."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Literal

from lora_lab.runs.events import Event

Status = Literal["queued", "starting", "training", "finishing", "finished", "stopped", "failed"]
ENDED: frozenset[Status] = frozenset({"finished", "stopped", "failed"})


@dataclass(frozen=True, kw_only=True)
class RunState:
    """Everything known of a run from its events alone."""

    status: Status = "queued"
    doing: str = "Waiting"
    done_bytes: int = 0
    total_bytes: int = 0
    started: Event | None = None
    steps: tuple[Event, ...] = ()
    saved_step: int = 0
    loss_before: float | None = None
    loss_after: float | None = None
    failure: Event | None = None
    queued_at: float = 0.0
    began_at: float | None = None
    """When somebody began to work on it; None while it waits."""

    sweep: str = ""
    """Id of the sweep it is a cell of."""

    held_by: str = ""
    """`host:process` that runs it, where that is not the app (runs/owner.py)."""

    cut_off: bool = False
    """It ended only because whoever ran it went away."""

    ended_at: float | None = None
    worker_pid: int = 0

    @property
    def ended(self) -> bool:
        """No more events will come."""
        return self.status in ENDED

    @property
    def peak_bytes(self) -> int:
        """Highest measured so far; 0 before the first step, and for a run that shared its steps."""
        return int(self.steps[-1].get("peak_bytes", 0)) if self.steps else 0

    @property
    def live_bytes(self) -> int:
        """Live at the end of the last measured step."""
        return int(self.steps[-1].get("live_bytes", 0)) if self.steps else 0

    @property
    def shared_by(self) -> int:
        """How many runs were trained side by side at most; 1 for a run that is alone."""
        return max((int(step.get("shared_by", 1)) for step in self.steps), default=1)

    @property
    def group_peak_bytes(self) -> int:
        """Highest measured of all runs side by side; 0 for a run that is alone."""
        return int(self.steps[-1].get("group_peak_bytes", 0)) if self.steps else 0

    @property
    def stepping_seconds(self) -> float:
        """Wall time of all steps, those of the others side by side included."""
        return sum(_wall_seconds(step) for step in self.steps)

    @property
    def tokens_per_second(self) -> float:
        """Over all steps but the first, which warms caches up; of a shared step, by the run's share."""
        timed = self.steps[1:] or self.steps
        seconds = sum(step["seconds"] for step in timed)
        return float(sum(step["tokens"] for step in timed) / seconds) if seconds else 0.0

    @property
    def seconds_per_step(self) -> float | None:
        """The median, without the first step where there are others; None before one is done."""
        timed = sorted(step["seconds"] for step in self.steps[1:] or self.steps)
        return float(timed[len(timed) // 2]) if timed else None

    def seconds_left(self, total_steps: int) -> float | None:
        """Remaining training time from the median step; None before the second step."""
        if len(self.steps) < 2:
            return None
        recent = sorted(_wall_seconds(step) for step in self.steps[1:][-15:])
        return recent[len(recent) // 2] * (total_steps - len(self.steps))


def _wall_seconds(step: Event) -> float:
    return float(step["shared_seconds"] if "shared_seconds" in step else step["seconds"])


def fold(events: Iterable[Event], state: RunState | None = None) -> RunState:
    """The state after `events`, starting from `state`."""
    current = state or RunState()
    for event in events:
        current = _after(current, event)
    return current


def _after(state: RunState, event: Event) -> RunState:
    match event["kind"]:
        case "queued":
            return replace(
                state,
                queued_at=event["at"],
                sweep=event.get("sweep", ""),
                held_by=event.get("held_by", ""),
            )
        case "status":
            return replace(state, **_doing(state, event))
        case "started":
            return replace(state, started=event, status="training", doing="Training")
        case "step":
            return replace(state, steps=(*state.steps, event), status="training", doing="Training")
        case "saved":
            return replace(state, saved_step=event["step"])
        case "evaluated":
            return replace(state, loss_before=event["loss_before"], loss_after=event["loss_after"])
        case "finished" | "stopped" | "failed":
            return _ended(state, event)
    return state


def _ended(state: RunState, event: Event) -> RunState:
    failed = event["kind"] == "failed"
    return replace(
        state,
        status=event["kind"],
        doing="Failed" if failed else "Done",
        failure=event if failed else None,
        ended_at=event["at"],
        cut_off=event.get("cut_off", False),
    )


def _doing(state: RunState, event: Event) -> dict[str, Any]:
    waiting: Status = "starting" if not state.steps else "finishing"
    return {
        "status": waiting,
        "began_at": state.began_at or event["at"],
        "doing": event["text"],
        "done_bytes": event.get("done_bytes", 0),
        "total_bytes": event.get("total_bytes", 0),
        "worker_pid": event.get("worker_pid", state.worker_pid),
    }
