"""The trained adapter and what belongs to it: concepts in their order, limits of the verdicts, temperature."""

import json
from dataclasses import dataclass
from pathlib import Path

from quizzes.explain.grading import Limits

WEIGHTS = Path(__file__).parent
TENSORS = "adapter.safetensors"
SETTINGS = "grader.json"


@dataclass(frozen=True, kw_only=True)
class Weights:
    """What the network's numbers mean."""

    concepts: tuple[str, ...]
    """Texts of the concepts it was trained on; their place is their number, from 1 on."""

    temperature: float
    limits: Limits
    alpha_over_rank: float


def read_weights(folder: Path = WEIGHTS) -> Weights:
    """As training and calibration left it."""
    stored = json.loads((folder / SETTINGS).read_text("utf-8"))
    return Weights(
        concepts=tuple(stored["concepts"]),
        temperature=stored["temperature"],
        limits=Limits(**stored["limits"]),
        alpha_over_rank=stored["alpha_over_rank"],
    )
