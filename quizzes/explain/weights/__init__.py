"""The trained adapter and what belongs to it: the concepts it knows, limits of verdicts, temperature."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from quizzes.explain.grading import Limits

WEIGHTS = Path(__file__).parent
TENSORS = "adapter.safetensors"
SETTINGS = "grader.json"

UNCALIBRATED = Limits(relevant=0.1, covered=0.5, contradicted=0.5, missing=0.5, partial=0.4)


@dataclass(frozen=True, kw_only=True)
class Weights:
    """What the network's numbers mean."""

    concepts: Mapping[str, str]
    """Full text of each concept it was trained on, and the words of it that it reads; numbered from 1 on."""

    alpha_over_rank: float
    temperature: float = 1.0
    limits: Limits = UNCALIBRATED


def read_weights(folder: Path = WEIGHTS) -> Weights:
    """As training and calibration left it."""
    stored = json.loads((folder / SETTINGS).read_text("utf-8"))
    return Weights(
        concepts=stored["concepts"],
        alpha_over_rank=stored["alpha_over_rank"],
        temperature=stored["temperature"],
        limits=Limits(**stored["limits"]),
    )


def write_weights(weights: Weights, folder: Path, **made_of: Any) -> None:
    """With the recipe and versions it was `made_of`."""
    text = json.dumps(asdict(weights) | made_of, indent=1, ensure_ascii=False)
    (folder / SETTINGS).write_text(f"{text}\n", "utf-8")
