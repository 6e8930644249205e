"""Recordings: measurements made once for the figures and stored as data, with their provenance."""

import json
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, Literal

from study.base.days import format_day
from study.figures.figure import Origin

FOLDER = Path(__file__).with_name("data")
Recording = Literal["weights", "training", "merging", "tokens", "first-steps"]

ROUNDED_BEFORE = "The embedded model's file holds 4-bit weights (Q4_1), so these were rounded once before."


@cache
def read_recording(what: Recording) -> dict[str, Any]:
    """Read one recording file and cache it."""
    values: dict[str, Any] = json.loads((FOLDER / f"{what}.json").read_text("utf-8"))
    return values


def describe_recording(what: Recording, about: str, *, settings: str = "") -> Origin:
    """Return the origin: device and date; behind a press settings, versions and the command to repeat it."""
    found = read_recording(what)["provenance"]
    day = format_day(date.fromisoformat(found["date"]))
    libraries = ", ".join(f"{name} {found['versions'][name]}" for name in ("torch", "bitsandbytes", "peft"))
    return Origin(
        kind="measured",
        text=f"{about} {found['device']}, {found['compute_dtype']}, {day}.",
        formula=found["command"],
        conditions=f"{settings} With {libraries}.".lstrip(),
    )
