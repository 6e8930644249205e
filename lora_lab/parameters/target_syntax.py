"""The syntax of `--targets`: a set, names separated by commas, or a regular expression."""

from lora_lab.parameters.json_fields import UNKNOWN
from lora_lab.spec import TARGET_SETS

WORDS = (*TARGET_SETS, UNKNOWN)
"""Values that targets may have in addition to module names and regular expressions."""


def split_names(written: str | None) -> list[str] | None:
    return [name.strip() for name in written.split(",") if name.strip()] if written else None


def as_targets(written: str | None) -> str | list[str] | None:
    """Parse a set, a regular expression, or names; return None for PEFT's default."""
    if not written or written == "default":
        return None
    is_pattern = any(mark in written for mark in "*+?()[]{}|^$\\")
    return written if written in WORDS or is_pattern else split_names(written)
