"""What was measured once for the figures and is kept as data, with where it was measured."""

import json
from functools import cache
from pathlib import Path
from typing import Any, Literal, get_args

from study.figures.figure import Origin

FOLDER = Path(__file__).with_name("data")
Recording = Literal["weights", "training", "merging", "tokens"]
RECORDINGS: tuple[Recording, ...] = get_args(Recording)

ROUNDED_BEFORE = "The embedded model's file holds 4-bit weights (Q4_1), so these were rounded once before."


@cache
def recorded(what: Recording) -> dict[str, Any]:
    """One file, read once."""
    values: dict[str, Any] = json.loads((FOLDER / f"{what}.json").read_text("utf-8"))
    return values


def measured_here(what: Recording, about: str) -> Origin:
    """Who measured it, with what, and how to do it again."""
    found = recorded(what)["provenance"]
    libraries = ", ".join(f"{name} {found['versions'][name]}" for name in ("torch", "bitsandbytes", "peft"))
    return Origin(
        kind="measured",
        text=f"{about} {found['device']}, {found['compute_dtype']}, {libraries}, {found['date']}.",
        formula=found["command"],
    )
