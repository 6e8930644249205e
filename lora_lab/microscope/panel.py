"""One panel of the microscope: a figure and its limits."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lora_lab.microscope.query import SIDES, MicroscopeQuestion
from study.base.units import as_percent
from study.figures.figure import FigureView, Origin

Found = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Panel:
    id: str
    title: str
    shown: FigureView
    limit: str
    """What the panel can't show here."""


def build_measured(question: MicroscopeQuestion, found: Found, about: str) -> Origin:
    where = found["where"]
    libraries = ", ".join(f"{name} {where['versions'][name]}" for name in ("torch", "bitsandbytes", "hqq"))
    return Origin(
        kind="measured",
        text=f"{about}: {found['matrix']['name']} of {question.model}. "
        f"{where['device']}, {where['compute_dtype']}, {libraries}.",
    )


def format_percent(share: float) -> str:
    return as_percent(100 * share)


def format_finely(share: float) -> str:
    """Format a share in percent with four digits, for two shares that differ by little."""
    return f"{100 * share:.4g} %"


def describe_both(question: MicroscopeQuestion, words: Mapping[str, str]) -> str:
    """Return `10.1 % with NF4, blocks of 64, and 14.1 % with FP4, blocks of 64`."""
    return " and ".join(f"{words[side]} with {question.side(side).name}" for side in SIDES)
