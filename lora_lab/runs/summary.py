"""The summary of a run: the object of the command-line contract, and a line of a sweep's table."""

from typing import Any

from lora_lab.runs.folder import RunFolder
from lora_lab.runs.state import RunState

Summary = dict[str, Any]


def summarize(run: RunFolder, state: RunState | None = None) -> Summary:
    """Summarize an ended run; `error` is set when it failed. `seconds` counts from when a process began it.

    A run that was trained side by side with others has no peak of its own: `peak_bytes` and `predicted_bytes`
    are then those of all `shared_by` runs together, and `tokens_per_second` uses the run's share of a step.
    """
    state = state or run.state()
    started: dict[str, Any] = state.started or {}
    device = started.get("device", {})
    summary: Summary = {
        "run_dir": str(run.path),
        "trainable": started.get("trainable"),
        "total": started.get("total"),
        "loss_first": state.steps[0]["loss"] if state.steps else None,
        "loss_last": state.steps[-1]["loss"] if state.steps else None,
        "eval_loss_before": state.loss_before,
        "eval_loss_after": state.loss_after,
        "peak_bytes": state.peak_bytes or state.group_peak_bytes or None,
        "predicted_bytes": started.get("group_predicted_bytes", started.get("predicted_bytes")),
        "tokens_per_second": state.tokens_per_second or None,
        "seconds": _sum_seconds(state),
        "device": device.get("name"),
        "compute_dtype": device.get("compute_dtype"),
    }
    if state.shared_by > 1:
        summary["shared_by"] = state.shared_by
    if state.failure:
        summary["error"] = state.failure_text
    return summary


def _sum_seconds(state: RunState) -> float | None:
    began_at = state.began_at or (state.queued_at if state.started else None)
    return state.ended_at - began_at if state.ended_at and began_at else None
