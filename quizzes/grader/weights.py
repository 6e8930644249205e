"""The trained adapters' files and settings: known concepts, thresholds, temperatures.

One adapter reads the app's prompts, whose concepts it knows; the other reads learners' own prompts.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from quizzes.grader.grading import Limits
from quizzes.grader.prompts import Prompt

WEIGHTS = Path(__file__).parent / "adapter"
TENSORS = "adapter-{seed}.safetensors"
OWN_TENSORS = "own-prompts.safetensors"
SETTINGS = "grader.json"

UNCALIBRATED = Limits(relevant=0.5, covered=0.5, doubt=0.4, contradicted=0.5, missing=0.5, partial=0.4)


@dataclass(frozen=True, kw_only=True)
class Weights:
    """The settings stored with the adapters: known concepts, LoRA scale, temperature and thresholds."""

    concepts: Mapping[str, str]
    """Full text of each trained concept, mapped to the label that the network reads; numbered from 1."""

    alpha_over_rank: float
    temperature: float = 1.0
    limits: Limits = UNCALIBRATED
    own_temperature: float = 1.0
    own_limits: Limits = UNCALIBRATED
    """The thresholds for learners' own prompts, which are read by another network."""

    def choose_limits(self, prompt: Prompt) -> Limits:
        """Return the thresholds that a prompt is graded with."""
        return self.own_limits if prompt.own else self.limits


def read_weights(folder: Path = WEIGHTS) -> Weights:
    """Read the settings that training and calibration wrote."""
    stored = json.loads((folder / SETTINGS).read_text("utf-8"))
    limits = {name: Limits(**stored[name]) for name in ("limits", "own_limits")}
    return Weights(**{**stored, **limits})


def list_adapters(folder: Path = WEIGHTS) -> list[Path]:
    """List the adapter files for the app's prompts, one per seed; the grader averages them (an ensemble)."""
    return sorted(folder.glob(TENSORS.format(seed="*")))


def write_weights(weights: Weights, folder: Path) -> None:
    """Write the settings that all networks share."""
    write_json(folder / SETTINGS, asdict(weights))


def write_json(path: Path, values: dict[str, Any]) -> None:
    """Write settings, or how a network was trained, as a person can read it."""
    path.write_text(f"{json.dumps(values, indent=1, ensure_ascii=False)}\n", "utf-8")
