"""One run that is done in the process of its test, and what it left."""

from collections.abc import Callable
from datetime import UTC, datetime

from lora_lab.runs.folder import RunFolder
from lora_lab.runs.state import RunState, fold_events

NOW = datetime(2026, 3, 4, 10, 0, tzinfo=UTC)
ADAPTER = "adapter_model.safetensors"

RunIt = Callable[..., RunFolder]


def state_of(run: RunFolder) -> RunState:
    return fold_events(run.events())


def kinds(run: RunFolder) -> list[str]:
    return [event["kind"] for event in run.events() if event["kind"] != "status"]


def losses(run: RunFolder) -> list[float]:
    return [step["loss"] for step in state_of(run).steps]
