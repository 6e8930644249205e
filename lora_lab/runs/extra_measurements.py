"""Extra measurements on a finished run, made only for a project: forgetting, and the error of merging."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from lora_lab.data.datasets import Example
from lora_lab.data.lab_folder import read_json
from lora_lab.runs.folder import RunFolder
from study.content.declared import read_declared_list

PAIRS_FILE = Path(__file__).with_name("general_pairs.yaml")


@cache
def read_general_pairs() -> tuple[Example, ...]:
    """Read questions that the app's cards don't teach. Raises ContentError on a damaged file."""
    return read_declared_list(PAIRS_FILE, Example, kind="pair")


@dataclass(frozen=True)
class ExtraMeasurements:
    """The extra measurements next to a run's adapter: `afterwards.json`, written by a worker."""

    run: RunFolder

    @property
    def path(self) -> Path:
        return self.run.path / "afterwards.json"

    @property
    def can_be_measured(self) -> bool:
        """Whether the run has an adapter without measurements, also after an attempt that failed."""
        return self.run.has_adapter and not self.values

    @property
    def values(self) -> Mapping[str, float]:
        """Losses and errors by name; empty before they are measured, and where that failed."""
        found = read_json(self.path).get("values")
        return found if isinstance(found, dict) else {}

    @property
    def problem(self) -> str:
        """Why it could not be measured."""
        return str(read_json(self.path).get("problem", ""))
