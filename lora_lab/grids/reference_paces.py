"""What runs took where they were measured once, until this machine has finished a similar one.

`python -m lora_lab.worker.record.paces` writes the file.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from lora_lab.runs.durations import Pace, estimate_time_of_all
from lora_lab.spec import RunSpec, parse_spec

FILE = Path(__file__).with_name("reference_paces.json")


@dataclass(frozen=True, kw_only=True)
class ReferencePaces:
    """Durations in seconds of one processor core, and how and when they were measured."""

    paces: tuple[Pace, ...]
    compute_dtype: str
    date: str

    @property
    def place(self) -> str:
        """Where and when they were measured, in words."""
        return f"one core of another machine ({self.compute_dtype}, {self.date})"

    def estimate_seconds(self, specs: Sequence[RunSpec], *, together: Sequence[int] = ()) -> float | None:
        """Estimate what runs take on that core, with as many side by side as `together` says of each.

        None where nothing similar was measured, such as another model or data set.
        """
        return estimate_time_of_all(specs, self.paces, together=together).seconds


@cache
def read_reference() -> ReferencePaces:
    """Read the measured runs."""
    content = json.loads(FILE.read_text("utf-8"))
    made = content["provenance"]
    paces = tuple(
        Pace(
            spec=parse_spec(run["spec"]),
            seconds_per_step=run["cpu_seconds_per_step"],
            other_seconds=run["other_cpu_seconds"],
            shared_by=run.get("shared_by", 1),
        )
        for run in content["runs"]
    )
    return ReferencePaces(paces=paces, compute_dtype=made["compute_dtype"], date=made["date"])
