"""One small lesson as a file, whole or with something changed, for tests of the loader and of the page."""

from pathlib import Path
from typing import Any

import yaml

CONCEPT = "lora-rank"


def lesson() -> dict[str, Any]:
    """A lesson that is in order."""
    return {
        "concept": CONCEPT,
        "source": ["arXiv:2106.09685 section 4.1", "PEFT docs"],
        "learn": {
            "minutes": 4,
            "takeaway": "The rank is the width of the gap between `A` and $B$.",
            "paragraphs": [
                "A pair holds [[lora_parameters_matrix d_in=4096 d_out=4096 rank=8]] numbers.",
                "QLoRA and the LoRA update both have one, and so has NF4.",
                "Long enough to scroll.",
                "The last paragraph.",
            ],
            "picture": "A pipe with a narrow middle.",
            "breaks": "Numbers are no water.",
        },
        "why": {
            "minutes": 3,
            "problem": "Too many numbers.",
            "before": "All were trained.",
            "change": "Few are.",
            "not_when": "With very much data.",
            "compare": [
                {"title": "Before", "lines": ["W  # [[linear_parameters d_in=64 d_out=64]]"]},
                {"title": "After", "lines": ["B @ A"]},
            ],
        },
        "deep": {
            "minutes": 6,
            "steps": [{"text": "Two factors.", "formula": "$B A$", "shapes": "$B$: $d_{out} \\times r$"}],
            "references": ["arXiv:2106.09685 section 4.1"],
        },
        "visualize": {"minutes": 3, "figure": "lora-to-scale", "do": "Move it.", "notice": "It is small."},
        "metrics": {
            "minutes": 4,
            "measures": [
                {"what": what, "good": "Low.", "bad": "High.", "pitfall": "One seed."}
                for what in ("Held-out loss", "Trainable share")
            ],
            "run": "It was low.",
        },
        "try": {
            "minutes": 2,
            "preset": {"model": "tiny-random", "rank": 4, "steps": 5},
            "watch": "The trainable share.",
        },
        "project": {"minutes": 20, "project": "does-rank-matter", "question": "How much does r = 1 lose?"},
    }


def write_lesson(folder: Path, content: dict[str, Any] | None = None) -> Path:
    """The file of a lesson."""
    path = folder / f"{CONCEPT}.yaml"
    path.write_text(yaml.safe_dump(content or lesson(), sort_keys=False, allow_unicode=True), "utf-8")
    return path
