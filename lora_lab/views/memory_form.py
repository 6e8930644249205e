"""The Memory page's form: its choices, and its fields as a record of the memory contract."""

import math
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from lora_lab.memory.frameworks.contract import expand_bits
from lora_lab.memory.frameworks.families import FAMILIES
from lora_lab.memory.gpus import GPUS
from lora_lab.parameters.json_fields import parse_digits
from lora_lab.parameters.shapes import ModelShape, load_catalogue
from lora_lab.settings.urls import MEMORY
from lora_lab.spec import BITS_LABELS, TARGET_LABELS, VARIANT_NAMES
from study.base.errors import LearnerError
from study.base.yaml_loader import load_yaml

Choices = tuple[tuple[str, str], ...]

_OWN_LABELS = load_yaml(Path(__file__).with_name("memory_form.yaml").read_text("utf-8"))
_LABELS: dict[str, Mapping[Any, str]] = {
    "bits": {bits: BITS_LABELS[bits] for bits in ("nf4-dq", "nf4", "fp4", "int8", "bf16", "fp32")},
    "method": {**VARIANT_NAMES, "full": "full fine-tuning"},
    "targets": TARGET_LABELS,
    **_OWN_LABELS,
}
CHOICES: dict[str, Choices] = {name: tuple(labels.items()) for name, labels in _LABELS.items()}
NUMBERS = {"rank": 16, "seq_len": 1024, "batch": 1}
LABELS = {"rank": "Rank r", "seq_len": "Context, tokens", "batch": "Batch, sequences"}
"""The numbers' names on the page, and in its messages."""

JUDGED = {"model": "Model", **LABELS}
"""The fields whose values can be wrong; the others are lists of choices."""

LARGEST = {"rank": 1024, "seq_len": 131_072, "batch": 1024}
"""A run of the lab stops at a lower rank (spec.py), because it trains; the command line, like PEFT, has no
limit.
"""

DEFAULTS = {
    "model": "llama-3.1-8b",
    **{name: choices[0][0] for name, choices in CHOICES.items()},
    "targets": "all-linear",
    **{name: str(number) for name, number in NUMBERS.items()},
    "gpu": "24",
}


SIZES: tuple[tuple[str, float, float], ...] = (
    ("About 1B to 73B", 0.98e9, 73e9),
    ("Over 73B", 73e9, math.inf),
    ("Under 1B", 0, 0.98e9),
)
"""Groups of models by parameters, those that people ask for first."""

MORE = ("targets", "checkpointing", "optimizer", "attention", "loss", "measure")
"""The fields that are folded away; one that was changed opens them."""


def list_models() -> list[ModelShape]:
    """Return the models that the page offers, smallest first."""
    return [shape for shape in load_catalogue().values() if shape.model_type in FAMILIES]


def group_models(own: Sequence[ModelShape] = ()) -> list[tuple[str, list[ModelShape]]]:
    """Return the learner's own models, then the same models in groups of size, smallest first in each."""
    groups = [
        (name, [shape for shape in list_models() if low <= shape.total_parameters < high])
        for name, low, high in SIZES
    ]
    return [("yours", list(own)), *groups] if own else groups


def read_fields(given: Mapping[str, str], own: Collection[str] = ()) -> tuple[dict[str, str], dict[str, str]]:
    """Return a complete form, and a sentence per field that was wrong in the given one.

    A given value is in the form if it is a choice, or a whole number within its limits; otherwise the field
    has its default. `own` names the learner's own models.
    """
    fields = DEFAULTS | {name: value for name, value in given.items() if name in DEFAULTS}
    for name, choices in CHOICES.items():
        if fields[name] not in dict(choices):
            fields[name] = DEFAULTS[name]
    if fields["gpu"] not in {str(size) for size in GPUS} | {"found"}:
        fields["gpu"] = DEFAULTS["gpu"]
    problems = {}
    if fields["model"] not in own and (said := _find_model_problem(fields["model"])):
        problems["model"] = said
    problems |= {name: said for name in NUMBERS if (said := _find_problem(name, fields[name]))}
    return fields | {name: DEFAULTS[name] for name in problems}, problems


def _find_model_problem(name: str) -> str:
    if name not in load_catalogue():
        return f"The model {name[:100]!r} is not known here; the page Models adds one."
    if all(shape.name != name for shape in list_models()):
        return f"This page does not compute the memory of the model {name!r}."
    return ""


def _find_problem(name: str, text: str) -> str:
    if 1 <= (parse_digits(text) or 0) <= LARGEST[name]:
        return ""
    got = f"got {text[:40]!r}" if text else "and it is empty"
    return f"“{LABELS[name]}” must be a whole number from 1 to {LARGEST[name]:,}, {got}."


def build_address(fields: Mapping[str, str]) -> str:
    """Build the address of "Will it fit?" with this form; fields at their default are omitted."""
    changed = {name: fields[name] for name in DEFAULTS if fields[name] != DEFAULTS[name]}
    return f"{MEMORY}?{urlencode(changed)}" if changed else MEMORY


def build_contract_record(fields: Mapping[str, str]) -> dict[str, Any]:
    """Build the same question as a line of `python -m lora_lab memory --jsonl`.

    Raises LearnerError when full fine-tuning is combined with weights in 4 or 8 bits.
    """
    bits, full = fields["bits"], fields["method"] == "full"
    record: dict[str, Any] = {
        "model": fields["model"],
        "method": fields["method"],
        **expand_bits(bits),
        "lora": None if full else {"r": int(fields["rank"]), "targets": fields["targets"]},
        "seq_len": int(fields["seq_len"]),
        "micro_batch": int(fields["batch"]),
        "gradient_checkpointing": fields["checkpointing"] == "yes",
        "optimizer": fields["optimizer"],
        "attention": fields["attention"],
        "loss": fields["loss"],
        "framework": fields["framework"],
        "measure": fields["measure"],
        "device": "cuda",
    }
    if full and record["quant"]:
        raise LearnerError(
            "Weights stored in 4 or 8 bits can't be trained.", do_next="Choose LoRA, or 16 or 32 bits."
        )
    return record
