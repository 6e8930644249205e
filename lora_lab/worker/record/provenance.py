"""What every recorded file says of how it was made."""

from datetime import UTC, datetime
from typing import Any

from lora_lab.worker.device.machine import Machine
from lora_lab.worker.training.work import describe_setup


def describe_recording(command: str, machine: Machine) -> dict[str, Any]:
    """Describe a recording by its command, today's date, and what it was computed with."""
    date = datetime.now(UTC).date().isoformat()
    return {"command": f"python -m {command}", "date": date} | describe_setup(machine)
