"""The syntax of `--targets`: a set, names separated by commas, or a regular expression."""

from collections.abc import Sequence

from lora_lab.parameters.json_fields import UNKNOWN
from lora_lab.spec import TARGET_SETS

Targets = str | Sequence[str] | None
"""Targets as they are written or parsed."""

WORDS = (*TARGET_SETS, UNKNOWN)
"""Values that targets may have in addition to module names and regular expressions."""


def split_names(written: str | None) -> list[str] | None:
    return [name.strip() for name in written.split(",") if name.strip()] if written else None


def as_targets(written: Targets) -> Targets:
    """Parse a set, a regular expression, or names; return None for PEFT's default, and listed names as they
    are.
    """
    if written is not None and not isinstance(written, str):
        return written
    if not written or written == "default":
        return None
    is_pattern = any(mark in written for mark in "*+?()[]{}|^$\\")
    return written if written in WORDS or is_pattern else split_names(written)
