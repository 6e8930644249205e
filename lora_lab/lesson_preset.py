"""The lab's side of a lesson's Try: a preset as an address, as settings in words, and as a command."""

from collections.abc import Mapping
from typing import Any

from lora_lab.form import address_of, command_of, typed
from lora_lab.spec import BITS_LABELS, TARGET_LABELS, spec_from
from study.doors import LabDoor


def lab_door(preset: Mapping[str, Any]) -> LabDoor:
    """The Lab page with this preset filled in. Raises LearnerError on one that is no run."""
    spec = spec_from(preset)
    labels = {"bits": BITS_LABELS[spec.bits], "targets": TARGET_LABELS[spec.targets]}
    return LabDoor(
        address=address_of(spec),
        settings=tuple(
            (name.replace("_", " "), labels.get(name, typed(getattr(spec, name)))) for name in preset
        ),
        command=command_of(spec),
    )
