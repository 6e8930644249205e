"""Runs for a live class: a prepared setting, started on request, and the quantity that was guessed."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from lora_lab.charts.run_view import list_setting_rows
from lora_lab.lab import Lab
from lora_lab.runs.state import RunState
from lora_lab.settings.run_form import build_address
from lora_lab.spec import parse_spec
from study.base.errors import LearnerError
from study.base.units import MB
from study.ports.classes import ClassRunState


@dataclass(frozen=True, kw_only=True)
class LabClassRuns:
    """Implements `study.ports.classes.ClassRuns` on the lab's engine."""

    lab: Lab

    def describe_problem(self, setting: Mapping[str, Any], quantity: str) -> str:
        """Say why the setting is not a valid run, or the quantity is unknown."""
        if quantity not in ("percent-trainable", "peak-memory", "final-loss"):
            return f"a run does not measure {quantity!r}"
        try:
            parse_spec(setting)
        except LearnerError as error:
            return str(error)
        return ""

    def describe(self, setting: Mapping[str, Any]) -> str:
        """List the settings as the lab names them."""
        return " · ".join(f"{name}: {value}" for name, value in list_setting_rows(parse_spec(setting)))

    def start(self, setting: Mapping[str, Any]) -> str:
        """Queue the run behind those that wait already."""
        spec = parse_spec(setting)
        dataset = self.lab.uploads.find(spec.data)
        return self.lab.engine.submit(spec, dataset, now=datetime.now(UTC)).run_id

    def state(self, run_id: str, quantity: str) -> ClassRunState:
        """Read the run's event log."""
        run = self.lab.run(run_id)
        state = run.state()
        return ClassRunState(
            run_id=run_id,
            address=build_address(run.spec, run_id=run_id),
            doing=state.doing,
            step=len(state.steps),
            steps=run.spec.steps,
            ended=state.ended,
            value=_read_measured(state, quantity),
            error=state.failure_text,
            so_far=_read_newest(state, quantity),
        )


def _read_measured(state: RunState, quantity: str) -> float | None:
    """Read the percentage once training has started; peak (MB, 10^6 bytes) and loss once it has ended."""
    if quantity == "percent-trainable":
        started = state.started
        return 100 * float(started["trainable"]) / float(started["total"]) if started else None
    return _read_newest(state, quantity) if state.status == "finished" else None


def _read_newest(state: RunState, quantity: str) -> float | None:
    """Read the peak or the loss after the newest step; None for what does not change."""
    if quantity == "percent-trainable" or not state.steps:
        return None
    return state.peak_bytes / MB if quantity == "peak-memory" else float(state.steps[-1]["loss"])
