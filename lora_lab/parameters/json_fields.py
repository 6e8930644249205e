"""Fields of a JSON record, checked: what is wrong is named, with what it should be."""

from collections.abc import Collection, Mapping
from typing import Any

from lora_lab.parameters.adapter_config import AdapterSetting
from study.base.errors import LearnerError

LARGEST_WHOLE = 10**9  # beyond any model, and far from where numbers become too long to print
LARGEST_SIZE = 10**15
UNKNOWN = "unknown"


def names(record: Mapping[str, Any], field: str) -> str | tuple[str, ...] | None:
    """A regular expression or a list of module names, as PEFT takes them."""
    value = record.get(field)
    if isinstance(value, str) or value is None:
        return value
    if not isinstance(value, list | tuple) or not all(isinstance(name, str) and name for name in value):
        raise LearnerError(
            f"{field} must be a list of module names, got {value!r}.", do_next='Write it as ["q_proj"].'
        )
    return tuple(value)


def listed_names(record: Mapping[str, Any], field: str) -> tuple[str, ...]:
    """A list of names, empty when absent."""
    value = names(record, field)
    if isinstance(value, str):
        raise LearnerError(
            f"{field} must be a list of names, got {value!r}.", do_next='Write it as ["score"].'
        )
    return value or ()


def whole(
    record: Mapping[str, Any], field: str, default: Any, *, least: int = 1, most: int = LARGEST_WHOLE
) -> Any:
    """A whole number in its limits, or the default when absent."""
    value = record.get(field)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise LearnerError(
            f"{field} must be a whole number from {least} to {most:,}, got {value!r}.", do_next="Correct it."
        )
    return value


def flag(record: Mapping[str, Any], field: str) -> bool:
    """True or false; false when absent."""
    value = record.get(field)
    if not isinstance(value, bool | None):
        raise LearnerError(f"{field} must be true or false, got {value!r}.", do_next="Correct it.")
    return bool(value)


def setting_of(lora: Mapping[str, Any], *, targets: str) -> AdapterSetting:
    """The adapter that a record's fields describe. `targets` is how the record calls its target modules."""
    wanted = None if lora.get(targets) == UNKNOWN else names(lora, targets)
    return AdapterSetting(
        targets=wanted,
        variant=lora.get("variant") or "lora",
        task_type=lora.get("task_type"),
        modules_to_save=listed_names(lora, "modules_to_save"),
        bias=lora.get("bias") or "none",
        feedforward=names(lora, "feedforward_modules"),
    )


def one_of(
    record: Mapping[str, Any],
    field: str,
    allowed: Collection[Any] | Mapping[Any, Any],
    *,
    default: Any = None,
) -> Any:
    """One of the allowed values; with a mapping, what it stands for."""
    value = record.get(field)
    if value is None and default is not None:
        return default
    if not isinstance(value, str | None) or value not in allowed:
        known = ", ".join(str(one) for one in allowed if one is not None)
        raise LearnerError(f"{field} must be one of {known}, got {value!r}.", do_next="Correct it.")
    return allowed[value] if isinstance(allowed, Mapping) else value


def adapter_of(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """The `lora` object of a record; without one, the same fields as `count` has them, beside the others."""
    adapter = record.get("lora")
    if adapter is None:
        adapter = {name: record[name] for name in ("r", "targets", "variant") if name in record}
    if not isinstance(adapter, dict):
        raise LearnerError(f"lora must be an object, got {adapter!r}.", do_next="Correct it.")
    targets = adapter.get("targets")
    if isinstance(targets, list) and not all(isinstance(name, str) for name in targets):
        raise LearnerError(f"targets must be a list of names, got {targets!r}.", do_next="Correct it.")
    if not isinstance(targets, list | str | None):
        raise LearnerError(f"targets must be a list of names, got {targets!r}.", do_next="Correct it.")
    return adapter
