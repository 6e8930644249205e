"""The trained adapters' files and settings: known concepts, thresholds, temperature."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from quizzes.grader.grading import Limits

WEIGHTS = Path(__file__).parent / "adapter"
TENSORS = "adapter-{seed}.safetensors"
MADE_OF = "adapter-{seed}.json"
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


def read_weights(folder: Path = WEIGHTS) -> Weights:
    """Read the settings that training and calibration wrote."""
    stored = json.loads((folder / SETTINGS).read_text("utf-8"))
    return Weights(
        concepts=stored["concepts"],
        alpha_over_rank=stored["alpha_over_rank"],
        temperature=stored["temperature"],
        limits=Limits(**stored["limits"]),
    )


def list_adapters(folder: Path = WEIGHTS) -> list[Path]:
    """List the adapter files, one per seed; the grader averages their networks (an ensemble)."""
    return sorted(folder.glob(TENSORS.format(seed="*")))


def write_weights(weights: Weights, folder: Path) -> None:
    """Write the settings that all networks share."""
    _write_json(folder / SETTINGS, asdict(weights))


def write_made_of(folder: Path, *, seed: int, **made_of: Any) -> None:
    """Write how one network was trained: recipe, number of answers and versions."""
    _write_json(folder / MADE_OF.format(seed=seed), made_of)


def _write_json(path: Path, values: dict[str, Any]) -> None:
    path.write_text(f"{json.dumps(values, indent=1, ensure_ascii=False)}\n", "utf-8")
