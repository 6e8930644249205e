"""Reading the fields of a JSON-lines record: a value of the kind that is meant, or an error that names it."""

from collections.abc import Collection, Mapping
from typing import Any

from study.errors import LearnerError

LARGEST_WHOLE = 10**9  # beyond any model, and far from where numbers become too long to print


class UnsupportedCase(Exception):
    """A case the lab does not compute, with the reason."""


def whole(record: Mapping[str, Any], field: str, default: int) -> int:
    """A whole number from 1."""
    value = record.get(field)
    if value is None:
        return default
    if not isinstance(value, int) or isinstance(value, bool) or not 0 < value <= LARGEST_WHOLE:
        raise LearnerError(
            f"{field} must be a whole number from 1 to {LARGEST_WHOLE:,}, got {value!r}.",
            do_next="Correct it.",
        )
    return value


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
    """The `lora` object of a record."""
    adapter = record.get("lora") or {}
    if not isinstance(adapter, dict):
        raise LearnerError(f"lora must be an object, got {adapter!r}.", do_next="Correct it.")
    targets = adapter.get("targets")
    if isinstance(targets, list) and not all(isinstance(name, str) for name in targets):
        raise LearnerError(f"targets must be a list of names, got {targets!r}.", do_next="Correct it.")
    if not isinstance(targets, list | str | None):
        raise LearnerError(f"targets must be a list of names, got {targets!r}.", do_next="Correct it.")
    return adapter
