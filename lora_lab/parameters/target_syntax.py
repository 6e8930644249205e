"""Target modules as a person types them: a set, names separated by commas, or a regular expression."""

from lora_lab.parameters.json_fields import UNKNOWN
from lora_lab.spec import TARGET_SETS

WORDS = (*TARGET_SETS, UNKNOWN)
"""What typed targets may be besides module names and regular expressions."""


def listed(written: str | None) -> list[str] | None:
    """Names separated by commas."""
    return [name.strip() for name in written.split(",") if name.strip()] if written else None


def as_targets(written: str | None) -> str | list[str] | None:
    """A set, a regular expression, or names; nothing for PEFT's default."""
    if not written or written == "default":
        return None
    is_pattern = any(mark in written for mark in "*+?()[]{}|^$\\")
    return written if written in WORDS or is_pattern else listed(written)
