"""Rows of a backup that concern cards: whether the Cards page can go on from them."""

from collections.abc import Mapping
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any, get_args

from flashcards.scheduling.metrics import Measures
from flashcards.scheduling.scheduler import RATINGS, Memory, MemoryPhase, Scheduling, preview_outcomes
from study.base.numbers import is_finite_number
from study.store.logs.card_operations import NAMES

PHASES = get_args(MemoryPhase)
MEASURES = {field.name for field in fields(Measures)}


def check_row(table: str, row: Mapping[str, Any]) -> str:
    """Check a backup's rating or operation; return its problem, empty if the Cards page can go on from it."""
    match table:
        case "card_reviews":
            return _check_rating(row)
        case "parameter_fits":
            usable = _are_parameters(row.get("parameters")) and all(
                _are_measures(row.get(name)) for name in ("before", "after")
            )
            return "" if usable else "a fit of the schedule can't be used"
        case "card_verbs":
            return "" if _is_operation_whole(row) else "what was done with a card can't be read"
    return ""


def _check_rating(row: Mapping[str, Any]) -> str:
    try:
        memory = Memory.from_json(row["after"])
        whole = memory.phase in PHASES and memory.due.tzinfo and memory.last_review.tzinfo
        known = all(is_finite_number(each) and each > 0 for each in (memory.stability, memory.difficulty))
    except (KeyError, TypeError, ValueError):
        whole = known = None
    if not (whole and known):
        return "the state after a rating can't be read"
    return "" if row.get("rating") in RATINGS else "a rating must be 1, 2, 3 or 4"


def _are_measures(value: object) -> bool:
    return (
        isinstance(value, Mapping)
        and value.keys() >= MEASURES
        and all(number is None or is_finite_number(number) for number in value.values())
    )


def _are_parameters(value: object) -> bool:
    if not isinstance(value, list) or not all(map(is_finite_number, value)):
        return False
    try:
        preview_outcomes(
            None,
            now=datetime(2026, 1, 1, tzinfo=UTC),
            scheduling=Scheduling(parameters=tuple(map(float, value))),
        )
    except ValueError:
        return False
    return True


def _is_operation_whole(row: Mapping[str, Any]) -> bool:
    value = row.get("value")
    try:
        match row.get("verb"):
            case "bury":
                return datetime.fromisoformat(value).tzinfo is not None if isinstance(value, str) else False
            case "spread":
                return all(datetime.fromisoformat(day).tzinfo for day in dict(value or {}).values())
            case "edit":
                return value is None or all(isinstance(text, str) for text in dict(value).values())
            case "cram":
                return {"run", "known"} <= dict(value or {}).keys()
    except (TypeError, ValueError):
        return False
    return row.get("verb") in NAMES
