"""Checked fields of a JSON record: an error names what is wrong and what it should be."""

import re
from collections.abc import Collection, Mapping
from typing import Any

from lora_lab.parameters.adapter_config import AdapterSetting
from study.base.errors import LearnerError

LARGEST_WHOLE = 10**9  # larger than any model, and short enough to print
LARGEST_SIZE = 10**15
UNKNOWN = "unknown"


def read_names(record: Mapping[str, Any], field: str) -> str | tuple[str, ...] | None:
    """Parse a regular expression or a list of module names, like PEFT. Raises LearnerError otherwise."""
    value = record.get(field)
    if isinstance(value, str) or value is None:
        return value
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) and name for name in value):
        raise LearnerError(
            f"{field} must be a list of module names, got {value!r}.", do_next='Write it as ["q_proj"].'
        )
    return tuple(value)


def listed_names(record: Mapping[str, Any], field: str) -> tuple[str, ...]:
    """Parse a list of names, empty when absent. Raises LearnerError on a string."""
    value = read_names(record, field)
    if isinstance(value, str):
        raise LearnerError(
            f"{field} must be a list of names, got {value!r}.", do_next='Write it as ["score"].'
        )
    return value or ()


def read_whole(
    record: Mapping[str, Any], field: str, default: Any, *, least: int = 1, most: int = LARGEST_WHOLE
) -> Any:
    """Parse a whole number within its limits; the default when absent. Raises LearnerError otherwise."""
    value = record.get(field)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise LearnerError(
            f"{field} must be a whole number from {least} to {most:,}, got {value!r}.",
            do_next=f"Write {field} as digits in that range.",
        )
    return value


def parse_digits(text: str) -> int | None:
    """Parse a whole number of decimal digits, 50 at most; None otherwise (int refuses 4,300 and `²`)."""
    return int(text) if re.fullmatch(r"\d{1,50}", text) else None


def read_flag(record: Mapping[str, Any], field: str) -> bool:
    """Parse true or false; false when absent. Raises LearnerError otherwise."""
    value = record.get(field)
    if not isinstance(value, bool | None):
        raise LearnerError(
            f"{field} must be true or false, got {value!r}.", do_next=f"Write {field} as true or false."
        )
    return bool(value)


def setting_of(lora: Mapping[str, Any], *, targets: str) -> AdapterSetting:
    """Parse the adapter in a record's fields. `targets` is the field name of its target modules."""
    wanted = None if lora.get(targets) == UNKNOWN else read_names(lora, targets)
    return AdapterSetting(
        targets=wanted,
        variant=lora.get("variant") or "lora",
        task_type=lora.get("task_type"),
        modules_to_save=listed_names(lora, "modules_to_save"),
        bias=lora.get("bias") or "none",
        feedforward=read_names(lora, "feedforward_modules"),
    )


def one_of(
    record: Mapping[str, Any],
    field: str,
    allowed: Collection[Any] | Mapping[Any, Any],
    *,
    default: Any = None,
) -> Any:
    """Parse one of the allowed values; map it with a mapping. Raises LearnerError otherwise."""
    value = record.get(field)
    if value is None and default is not None:
        return default
    if not isinstance(value, str | None) or value not in allowed:
        known = ", ".join(str(one) for one in allowed if one is not None)
        raise LearnerError(
            f"{field} must be one of {known}, got {value!r}.",
            do_next=f"Write one of them, or leave {field} out.",
        )
    return allowed[value] if isinstance(allowed, Mapping) else value


def adapter_of(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a record's `lora` object; without one, the same fields at the top level, as in `count`.

    Raises LearnerError when it is not an object or its targets are not names.
    """
    adapter = record.get("lora")
    if adapter is None:
        adapter = {name: record[name] for name in ("r", "targets", "variant") if name in record}
    if not isinstance(adapter, dict):
        raise LearnerError(
            f"lora must be an object, got {adapter!r}.",
            do_next='Write it as {"r": 8, "target_modules": ["q_proj"]}.',
        )
    targets = adapter.get("targets")
    names = targets if isinstance(targets, list) else []
    if not isinstance(targets, list | str | None) or not all(isinstance(name, str) for name in names):
        raise LearnerError(
            f"targets must be a list of names, got {targets!r}.",
            do_next='Write them as ["q_proj", "v_proj"].',
        )
    return adapter
