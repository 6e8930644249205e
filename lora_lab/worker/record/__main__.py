"""What the live figures draw of the embedded model's real weights and of real runs, measured once and kept.

    python -m lora_lab.worker.record weights     singular values, histograms, errors by scheme, blocks
    python -m lora_lab.worker.record training    memory inside a step, and over steps with a long row
    python -m lora_lab.worker.record merging     one adapter merged three ways
    python -m lora_lab.worker.record first-steps what B and A of one matrix hold after each of ten steps
    python -m lora_lab.worker.record tokens      the example of "Which tokens are trained on"

Each writes one file of `lora_lab/figures/data/`, which names model, machine, library versions, date and seed.
"""

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lora_lab.data.datasets import Example
from lora_lab.figures.recorded import FOLDER
from lora_lab.figures.training.trained_tokens import ANSWER, PROMPT
from lora_lab.spec import EMBEDDED_MODEL
from lora_lab.worker.device.machine import Machine, find_machine
from lora_lab.worker.model.load import load_tokenizer, silence_libraries
from lora_lab.worker.record.first_steps import record_first_steps
from lora_lab.worker.record.merging import record_merging
from lora_lab.worker.record.provenance import describe_recording
from lora_lab.worker.record.training import record_training
from lora_lab.worker.record.weights import record_weights
from lora_lab.worker.training.packing import encode_example
from study.base.command_line import build_module_parser
from study.base.settings import load_settings


def record_tokens(models_dir: Path, machine: Machine) -> dict[str, Any]:
    """Tokenize the example as the lab shows data sets (worker/training/tokenize.py)."""
    del machine
    tokenizer = load_tokenizer(EMBEDDED_MODEL, models_dir)
    found = encode_example(tokenizer, Example(prompt=PROMPT, answer=ANSWER))
    pieces = [tokenizer.decode([token]) for token in found.ids]
    return {"model": EMBEDDED_MODEL, "pieces": pieces, "answer_tokens": found.answer_tokens}


MEASURES: dict[str, Callable[[Path, Machine], dict[str, Any]]] = {
    "weights": record_weights,
    "training": record_training,
    "merging": record_merging,
    "first-steps": record_first_steps,
    "tokens": record_tokens,
}


def main() -> int:
    parser = build_module_parser("lora_lab.worker.record", __doc__)
    parser.add_argument("what", choices=list(MEASURES))
    what = parser.parse_args().what
    silence_libraries()
    machine = find_machine("fp32")
    measured = MEASURES[what](load_settings().models_dir, machine)
    written = {"provenance": describe_recording(f"lora_lab.worker.record {what}", machine)} | measured
    (FOLDER / f"{what}.json").write_text(json.dumps(written, indent=None) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
