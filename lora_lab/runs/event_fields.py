"""What a usable event of each kind holds. An event of other types was damaged, and is skipped."""

import math
from collections.abc import Callable, Mapping
from typing import Any

from lora_lab.memory.ledger import COMPONENTS
from lora_lab.runs.events import Event

Check = Callable[[Any], bool]


def is_usable(event: Event) -> bool:
    """Return whether the fields of an event have the types that everything reads them with."""
    needed, optional = FIELDS.get(event["kind"], ({}, {}))
    return (
        is_moment(event.get("at"))
        and all(name in event and check(event[name]) for name, check in needed.items())
        and all(check(event[name]) for name, check in optional.items() if name in event)
    )


def is_moment(value: Any) -> bool:
    """Return whether a value is a time in seconds since 1970 that a calendar can show."""
    return _is_number(value) and math.isfinite(value) and 0 <= value < 4e9


def _is_number(value: Any) -> bool:
    """A number of Python, NaN included; no integer that is too large for a floating-point number."""
    return isinstance(value, float) or _is_whole(value)


def _is_whole(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63


def _is_count(value: Any) -> bool:
    return _is_whole(value) and value > 0


def _is_duration(value: Any) -> bool:
    """Return whether a value is seconds that something took; speeds are divided by them."""
    return is_moment(value) and value > 0


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _is_flag(value: Any) -> bool:
    return isinstance(value, bool)


def _is_device(value: Any) -> bool:
    named = ("name", "compute_dtype")
    return isinstance(value, Mapping) and all(_is_text(value.get(name)) for name in named)


def _are_versions(value: Any) -> bool:
    return isinstance(value, Mapping) and all(map(_is_text, value.values()))


def _is_row(value: Any) -> bool:
    if not isinstance(value, Mapping) or not isinstance(value.get("lengths"), list):
        return False
    whole = [*value["lengths"], value.get("answer_tokens"), value.get("shared", 0)]
    known = {"lengths", "answer_tokens", "shared", "on_gpu"}
    return bool(value["lengths"]) and all(map(_is_whole, whole)) and known.issuperset(value)


def _are_components(value: Any) -> bool:
    return isinstance(value, Mapping) and all(_is_whole(value.get(name)) for name, _ in COMPONENTS)


_ENDED: tuple[dict[str, Check], dict[str, Check]] = (
    {},
    {"cut_off": _is_flag, "step": _is_whole, "what": _is_text},
)
_GPU_BYTES = ("requested", "allocated", "reserved", "device", "workspaces")
_STEP_BYTES = ("live_bytes", "peak_bytes", "group_live_bytes", "group_peak_bytes", "shared_by")

FIELDS: dict[str, tuple[dict[str, Check], dict[str, Check]]] = {
    "queued": ({}, {"sweep": _is_text, "held_by": _is_text, "alone": _is_flag, "first_seed": _is_flag}),
    "status": (
        {"text": _is_text},
        {
            "done_bytes": _is_number,
            "total_bytes": _is_number,
            "worker_pid": _is_whole,
            "waiting": _is_flag,
        },
    ),
    "started": (
        {
            "device": _is_device,
            "versions": _are_versions,
            "trainable": _is_whole,
            "total": _is_whole,
            "row": _is_row,
            "predicted": _are_components,
            "predicted_bytes": _is_number,
        },
        {
            "group_predicted_bytes": _is_number,
            "shared_by": _is_whole,
            "train_examples": _is_whole,
            "cut_examples": _is_whole,
        },
    ),
    "step": (
        {
            "step": _is_whole,
            "loss": _is_number,
            "grad_norm": _is_number,
            "tokens": _is_count,
            "seconds": _is_duration,
        },
        {"learning_rate": _is_number, "shared_seconds": _is_duration} | dict.fromkeys(_STEP_BYTES, _is_whole),
    ),
    "saved": ({"step": _is_whole}, {}),
    "gpu_memory": (dict.fromkeys(_GPU_BYTES, _is_whole), {"predicted_workspaces": _is_whole}),
    "evaluated": ({"loss_before": _is_number, "loss_after": _is_number}, {"examples": _is_whole}),
    "finished": _ENDED,
    "stopped": _ENDED,
    "failed": ({"what": _is_text, "do_next": _is_text}, _ENDED[1]),
}
"""Needed and optional fields by kind. Kinds that nothing here reads need no fields."""
