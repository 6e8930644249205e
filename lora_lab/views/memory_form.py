"""The Memory page's form: its choices, and its fields as a record of the memory contract."""

import math
from collections.abc import Mapping
from typing import Any

from lora_lab.memory.frameworks.families import FAMILIES
from lora_lab.memory.frameworks.largest_batch import GPU_SIZES_GB
from lora_lab.parameters.shapes import ModelShape, load_catalogue
from lora_lab.spec import BITS_LABELS, TARGET_LABELS, VARIANT_NAMES
from study.base.errors import LearnerError

Choices = tuple[tuple[str, str], ...]

BITS: Choices = tuple((bits, BITS_LABELS[bits]) for bits in ("nf4-dq", "nf4", "fp4", "int8", "bf16", "fp32"))
METHODS: Choices = (*VARIANT_NAMES.items(), ("full", "full fine-tuning"))
TARGETS: Choices = tuple(TARGET_LABELS.items())
OPTIMIZERS: Choices = (
    ("adamw", "AdamW"),
    ("adamw8bit", "8-bit AdamW"),
    ("paged_adamw8bit", "paged 8-bit AdamW"),
    ("sgd", "SGD"),
)
ATTENTIONS: Choices = (("sdpa", "fused (sdpa, flash)"), ("eager", "written out (eager)"))
LOSSES: Choices = (("full logits", "all logits"), ("chunked cross-entropy", "in chunks"))
FRAMEWORKS: Choices = (
    ("transformers Trainer", "Trainer + peft + bitsandbytes"),
    ("trl SFTTrainer", "trl's SFTTrainer"),
    ("peft", "peft in a loop of one's own"),
    ("litgpt", "litgpt"),
    ("torchtune", "torchtune"),
    ("unsloth", "Unsloth"),
)
MEASURES: Choices = (
    ("max allocated", "allocated by tensors"),
    ("max reserved", "reserved by the allocator"),
)
CHECKPOINTING: Choices = (("yes", "kept: each layer's input"), ("no", "kept: everything saved"))

CHOICES: dict[str, Choices] = {
    "bits": BITS,
    "method": METHODS,
    "targets": TARGETS,
    "optimizer": OPTIMIZERS,
    "attention": ATTENTIONS,
    "loss": LOSSES,
    "framework": FRAMEWORKS,
    "measure": MEASURES,
    "checkpointing": CHECKPOINTING,
}
NUMBERS = {"rank": 16, "seq_len": 1024, "batch": 1}
LARGEST = {"rank": 1024, "seq_len": 131_072, "batch": 1024}
DEFAULTS = {
    "model": "llama-3.1-8b",
    **{name: choices[0][0] for name, choices in CHOICES.items()},
    "targets": "all-linear",
    **{name: str(number) for name, number in NUMBERS.items()},
    "gpu": "24",
}


SIZES: tuple[tuple[str, float, float], ...] = (
    ("1B to 73B", 0.98e9, 73e9),
    ("smaller", 0, 0.98e9),
    ("larger", 73e9, math.inf),
)
"""Groups of models by parameters, those that people ask for first."""

GPU_NAMES = {
    8: "RTX 4060", 12: "RTX 3060, 4070", 16: "T4, RTX 4080", 24: "RTX 3090, 4090", 32: "RTX 5090",
    48: "A6000, L40S", 80: "A100, H100", 141: "H200",
}  # fmt: skip
"""Cards with that memory, for people who know their card and not its size."""


def list_models() -> list[ModelShape]:
    """Return the models that the page offers, smallest first."""
    return [shape for shape in load_catalogue().values() if shape.model_type in FAMILIES]


def model_groups() -> list[tuple[str, list[ModelShape]]]:
    """Return the same models in groups of size, smallest first in each."""
    return [
        (name, [shape for shape in list_models() if low <= shape.total_parameters < high])
        for name, low, high in SIZES
    ]


def fields_of(given: Mapping[str, str]) -> dict[str, str]:
    """Return a complete form: each given value if it is one of the choices, else the default.

    Raises LearnerError when a number is not a whole number or is outside its limits.
    """
    fields = DEFAULTS | {name: value for name, value in given.items() if name in DEFAULTS and value}
    for name, choices in CHOICES.items():
        if fields[name] not in dict(choices):
            fields[name] = DEFAULTS[name]
    if fields["model"] not in load_catalogue():
        fields["model"] = DEFAULTS["model"]
    problems = [_raise_problem(name, fields[name]) for name in NUMBERS]
    if any(problems):
        raise LearnerError(" ".join(filter(None, problems)), do_next="Change it.")
    if fields["gpu"] not in {str(size) for size in GPU_SIZES_GB} | {"found"}:
        fields["gpu"] = DEFAULTS["gpu"]
    return fields


def _raise_problem(name: str, text: str) -> str:
    if text.isdecimal() and 1 <= int(text) <= LARGEST[name]:
        return ""
    return f"{name.replace('_', ' ')} must be a whole number from 1 to {LARGEST[name]:,}, got {text!r}."


def record_of(fields: Mapping[str, str]) -> dict[str, Any]:
    """Return the same question as a line of `python -m lora_lab memory --jsonl`.

    Raises LearnerError when full fine-tuning is combined with weights in 4 or 8 bits.
    """
    bits, full = fields["bits"], fields["method"] == "full"
    quant = bits.removesuffix("-dq") if bits not in ("bf16", "fp32") else None
    record: dict[str, Any] = {
        "model": fields["model"],
        "method": fields["method"],
        "base_dtype": bits if bits in ("bf16", "fp32") else "bf16",
        "quant": quant,
        "double_quant": bits.endswith("-dq"),
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
    if full and quant:
        raise LearnerError(
            "Weights stored in 4 or 8 bits can't be trained.", do_next="Choose LoRA, or 16 or 32 bits."
        )
    return record
