"""RunSpec: everything that determines the numbers of one fine-tuning run, and nothing else."""

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, get_args

from study.base.errors import LearnerError

Bits = Literal["fp32", "bf16", "int8", "nf4", "nf4-dq", "fp4", "hqq8", "hqq4", "hqq3", "hqq2", "hqq1"]
TargetSet = Literal["q+v", "attention", "all-linear"]
Compute = Literal["fp32", "bf16", "fp16"]
"""The number types of matrix products. fp16 scales its loss, and is for GPUs older than bf16."""

ComputeType = Literal["auto", "fp32", "bf16", "fp16"]
Variant = Literal["lora", "rslora", "dora"]
Optimizer = Literal["adamw", "adamw8bit", "paged_adamw8bit"]

BITS: tuple[Bits, ...] = get_args(Bits)
VARIANTS: tuple[Variant, ...] = get_args(Variant)
OPTIMIZERS: tuple[Optimizer, ...] = get_args(Optimizer)
TARGET_SETS: tuple[TargetSet, ...] = get_args(TargetSet)
EMBEDDED_MODEL = "smollm2-135m"
TINY_MODEL = "tiny-random"
OWN_DATA = "app-cards"

RANK_LIMITS = (1, 256)
STEPS_LIMITS = (1, 2000)
BATCH_LIMITS = (1, 64)
SEQ_LEN_LIMITS = (16, 4096)
SEED_LIMITS = (0, 2**32 - 1)
LONGEST_TARGETS = 300

BITS_LABELS: dict[Bits, str] = {
    "bf16": "16-bit (bf16)",
    "int8": "8-bit (int8)",
    "nf4": "4-bit NF4",
    "nf4-dq": "4-bit NF4 + double quantization",
    "fp4": "4-bit FP4",
    "fp32": "32-bit (fp32)",
    "hqq8": "8-bit HQQ",
    "hqq4": "4-bit HQQ",
    "hqq3": "3-bit HQQ",
    "hqq2": "2-bit HQQ",
    "hqq1": "1-bit HQQ",
}
HQQ_BITS: dict[Bits, int] = {"hqq8": 8, "hqq4": 4, "hqq3": 3, "hqq2": 2, "hqq1": 1}
"""Bits per code in the half-quadratic schemes."""

VARIANT_NAMES: dict[Variant, str] = {"lora": "LoRA", "rslora": "rsLoRA", "dora": "DoRA"}
VARIANT_LABELS: dict[Variant, str] = {
    "lora": "LoRA: scale alpha / r",
    "rslora": "rsLoRA: scale alpha / √r",
    "dora": "DoRA: direction, and a magnitude",
}
OPTIMIZER_LABELS: dict[Optimizer, str] = {
    "adamw": "AdamW, 32-bit moments",
    "adamw8bit": "AdamW, 8-bit moments",
    "paged_adamw8bit": "AdamW, 8-bit moments, paged",
}


class _TargetLabels(dict[str, str]):
    """Labels of target sets; a text typed by a learner is its own label."""

    def __missing__(self, typed: str) -> str:
        return typed if len(typed) <= LONGEST_LABEL else f"{typed[: LONGEST_LABEL - 1]}…"


LONGEST_LABEL = 40
TARGET_LABELS = _TargetLabels(
    {
        "q+v": "query + value",
        "attention": "all attention projections",
        "all-linear": "all linear layers",
    }
)


@dataclass(frozen=True, kw_only=True)
class RunSpec:
    """One fine-tuning run. Equal specs on one machine give equal losses.

    Raises LearnerError, naming every field that is out of its limits, on construction.
    """

    model: str = EMBEDDED_MODEL
    """A catalogue name, `tiny-random`, a local folder, or a hub id."""

    bits: Bits = "nf4-dq"
    rank: int = 8
    alpha: float = 16.0
    """LoRA scales its update by alpha / rank (arXiv:2106.09685 section 4.1)."""

    targets: str = "all-linear"
    """A target set, module names separated by commas, or a regular expression for whole module names."""

    steps: int = 40
    batch: int = 4
    """Examples per optimizer step."""

    seq_len_tokens: int = 128
    """Longer examples are truncated; shorter ones are packed into rows, never padded."""

    learning_rate: float = 2e-3
    seed: int = 0
    data: str = OWN_DATA
    """`app-cards`, or the digest of a file the learner uploaded. The run's folder contains the text."""

    compute_dtype: ComputeType = "auto"
    """`auto` is the machine's type, decided by its instructions (docs/traps.md 9)."""

    variant: Variant = "lora"
    optimizer: Optimizer = "adamw"
    checkpointing: bool = False
    """Keep only each layer's input and recompute the rest in the backward pass."""

    def __post_init__(self) -> None:
        refuse(_list_problems(self))

    @property
    def scaling(self) -> float:
        """The factor on B·A·x."""
        return compute_scaling(self.alpha, self.rank, rslora=self.variant == "rslora")

    def to_json(self) -> str:
        """Return one line of JSON that `from_json` parses to an equal spec."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> "RunSpec":
        """Parse a spec from JSON. Raises LearnerError on anything that is not a spec."""
        return parse_spec(parse_object(text, "A run", do_next="Export a run to see its form."))


def compute_scaling(alpha: float, rank: int, *, rslora: bool) -> float:
    """Compute the factor on B·A·x: alpha / rank (arXiv:2106.09685 section 4.1), or alpha / sqrt(rank) for
    rsLoRA (arXiv:2312.03732).
    """
    return alpha / (math.sqrt(rank) if rslora else rank)


def refuse(problems: Iterable[tuple[str, str]]) -> None:
    """Raise LearnerError that names all problems and what to do about each, if there are any."""
    named = list(problems)
    if named:
        what, do_next = (" ".join(dict.fromkeys(sentences)) for sentences in zip(*named, strict=True))
        raise LearnerError(what, do_next=do_next)


def parse_object(text: str, what: str, *, do_next: str) -> dict[str, Any]:
    """Parse a JSON object. Raises LearnerError on anything else; `what` names what it should be."""
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise LearnerError(f"That is not JSON ({error}).", do_next=do_next) from error
    if not isinstance(values, dict):
        raise LearnerError(f"{what} is a JSON object.", do_next=do_next)
    return values


def parse_spec(values: Mapping[str, Any]) -> RunSpec:
    """Parse a spec from loosely typed values (a form, a file, a URL).

    Raises LearnerError on an unknown name or a value of the wrong type or outside its limits.
    """
    known = {field.name: field.type for field in fields(RunSpec)}
    unknown = sorted(set(values) - set(known))
    if unknown:
        raise LearnerError(
            f"Unknown setting: {', '.join(unknown)}.", do_next=f"Use only: {', '.join(known)}."
        )
    converted = {name: _convert_value(value, known[name]) for name, value in values.items()}
    problems = [
        f"{name} must be {TYPE_WORDS[known[name]]}, got {values[name]!r}."
        for name, value in converted.items()
        if value is None
    ]
    if problems:
        raise LearnerError(" ".join(problems), do_next="Change that, then try again.")
    return RunSpec(**converted)


TYPE_WORDS: dict[Any, str] = {int: "a whole number", float: "a number", bool: "true or false"}


def _convert_value(value: Any, kind: Any) -> Any:
    """Convert the value to a field of that type; None if that fails."""
    if kind is bool:
        return {"true": True, "on": True, "false": False}.get(str(value).lower())
    if kind not in (int, float):
        return str(value)
    try:
        number = float(value)
        if kind is float:
            return number
        return int(number) if number == int(number) else None
    except (TypeError, ValueError, OverflowError):
        return None


def _list_problems(spec: RunSpec) -> list[tuple[str, str]]:
    """List each field that is out of its limits: what is wrong, and what the field allows."""
    limits = (
        ("rank", spec.rank, RANK_LIMITS),
        ("steps", spec.steps, STEPS_LIMITS),
        ("batch", spec.batch, BATCH_LIMITS),
        ("seq_len_tokens", spec.seq_len_tokens, SEQ_LEN_LIMITS),
        ("seed", spec.seed, SEED_LIMITS),
    )
    problems = [
        (
            f"{name} must be {low:,} to {high:,}, got {value:,}.",
            _advise(name, f"a whole number from {low:,} to {high:,}"),
        )
        for name, value, (low, high) in limits
        if not low <= value <= high
    ]
    choices = (
        ("bits", spec.bits, BITS),
        ("compute_dtype", spec.compute_dtype, get_args(ComputeType)),
        ("variant", spec.variant, VARIANTS),
        ("optimizer", spec.optimizer, OPTIMIZERS),
    )
    problems += [
        (f"{name} must be one of {', '.join(allowed)}, got {value!r}.", _advise(name, "one of these"))
        for name, value, allowed in choices
        if value not in allowed
    ]
    for name, number in (("alpha", spec.alpha), ("learning_rate", spec.learning_rate)):
        if not (math.isfinite(number) and number > 0):
            problems.append(
                (f"{name} must be a number above 0, got {number}.", _advise(name, "a number above 0"))
            )
    if not 0 < len(spec.targets.strip()) <= LONGEST_TARGETS:
        what = f"targets must be 1 to {LONGEST_TARGETS} characters."
        problems.append((what, _advise("targets", "a target set, module names or a regular expression")))
    if not spec.model.strip():
        what = "model must be named."
        problems.append((what, _advise("model", "a catalogue name, a local folder or a hub id")))
    return problems


def _advise(name: str, allowed: str) -> str:
    """Say what a field allows, with the default as the example."""
    default = str(getattr(RunSpec, name)).removesuffix(".0")
    return f"Set {name} to {allowed}, for example {default}."
