"""Published GPU memory measurements, next to the peak that the lab computes for the same setting."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

from lora_lab.memory.frameworks.contract import parse_setting
from lora_lab.memory.frameworks.forecast import forecast_step
from lora_lab.parameters.shapes import find_shape
from lora_lab.runs.predicted_vs_measured import percent_above
from study.base.units import GB
from study.base.yaml_loader import load_yaml

FILE = Path(__file__).with_name("published_memory.yaml")


@dataclass(frozen=True, kw_only=True)
class PublishedMemory:
    id: str
    source: str
    use: Literal["calibration", "check"]
    gb: float
    """What was measured."""

    predicted_bytes: int
    record: Mapping[str, Any]
    """The setting, in the fields of the memory contract."""

    known_off: str = ""
    """Why the computed peak is more than a tenth off, if that is known."""

    @property
    def measured_bytes(self) -> int:
        return round(self.gb * GB)

    @property
    def error_percent(self) -> float:
        """How far the computed peak is above (+) or below (-) the measurement, in percent."""
        return percent_above(self.predicted_bytes, self.measured_bytes)


@cache
def read_published_memory() -> tuple[PublishedMemory, ...]:
    """Read every row of the file, in its order, and predict its peak."""
    rows = load_yaml(FILE.read_text("utf-8"))
    return tuple(_predict_row(row) for row in rows)


def _predict_row(row: Mapping[str, Any]) -> PublishedMemory:
    setting = parse_setting(row["record"], find_shape(row["record"]["model"]))
    return PublishedMemory(**row, predicted_bytes=forecast_step(setting).total_bytes)
