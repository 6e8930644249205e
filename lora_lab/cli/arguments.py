"""`count`, `memory` and `claim`: records from their flags, and their answers as text."""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lora_lab.claims.printed_line import find_printed_line
from lora_lab.cli.contracts import CONTRACT_NAMES
from lora_lab.cli.runs import read_input
from lora_lab.engine.shape_reader import ShapeReader, parse_config
from lora_lab.memory.frameworks.contract import FRAMEWORKS, expand_bits, find_framework
from lora_lab.memory.ledger import COMPONENTS, bits_per_param
from lora_lab.parameters.adapter_config import KIND_OF_TASK
from lora_lab.parameters.counts import Count, build_adaptation, count_adapter, format_formula
from lora_lab.parameters.json_fields import UNKNOWN, parse_adapter_setting
from lora_lab.parameters.shapes import ModelShape
from lora_lab.parameters.target_syntax import as_targets, split_names
from lora_lab.parameters.worked_count import work_count
from lora_lab.spec import Bits
from study.base.errors import LearnerError
from study.base.units import as_bytes, as_count, as_percent


def build_memory_record(options: argparse.Namespace) -> dict[str, Any]:
    """Build a record of the contract from the flags; fields that are left out get their defaults.

    Raises LearnerError on a framework that is not modelled.
    """
    if options.framework and find_framework(options.framework) is None:
        raise LearnerError(
            f"The framework {options.framework!r} is not modelled.",
            do_next=f"Name one of: {', '.join(FRAMEWORKS)}.",
        )
    adapter = {"r": options.rank, "targets": as_targets(options.targets)}
    record = {
        "model": options.model,
        "config": None if options.config is None else read_config(options.config),
        "method": options.method,
        **expand_bits(options.bits),
        "adapter_dtype": options.adapter_dtype,
        "lora": None if options.method == "full" else adapter,
        "micro_batch": options.batch,
        "seq_len": options.seq_len,
        "gradient_checkpointing": options.checkpointing == "true",
    }
    rest = (
        "optimizer", "framework", "device", "attention", "loss", "measure", "phase", "kind", "target_len",
    )  # fmt: skip
    return record | {name: getattr(options, name) for name in rest}


def _describe_assumptions(record: Mapping[str, Any]) -> str:
    """Say everything that decides the answer, given or not."""
    own, adapter = record["framework"] == "lora_lab", record["lora"]
    on_gpu = record["device"] == "cuda" or (not own and record["device"] != "cpu")
    said = (
        "the lab's own loop" if own else record["framework"],
        "a GPU" if on_gpu else "a CPU",
        f"r = {adapter['r']} on {adapter['targets']}" if adapter else "every weight trained",
        f"a batch of {record['micro_batch']} times {record['seq_len']} tokens",
        "layers checkpointed" if record["gradient_checkpointing"] else "no checkpointing",
        record["optimizer"] or "adamw",
        f"attention {record['attention'] or 'sdpa'}",
        f"loss from {record['loss'] or 'full logits'}",
        record["measure"] or "max allocated",
    )
    return f"Assumed: {'; '.join(said)}."


def format_memory(record: Mapping[str, Any], answer: Mapping[str, Any], bits: Bits) -> str:
    """Format what is assumed, the peak and its components for a person."""
    lines = [
        _describe_assumptions(record),
        f"{as_bytes(answer['bytes'])} at the peak of a step; weights at {bits_per_param(bits):.3f} bits each",
    ]
    for name, label in COMPONENTS:
        if size := answer["components"][CONTRACT_NAMES.get(name, name)]:
            lines.append(f"  {label:<24}{as_bytes(size):>10}")
    if "basis" in answer:
        lines.append(f"Estimated from {answer['basis']}.")
    return "\n".join(lines)


def build_adapter_fields(options: argparse.Namespace, *, targets: str) -> dict[str, Any]:
    """Build the adapter's fields from the flags, under the contracts' names."""
    return {
        "r": options.rank,
        targets: as_targets(options.targets),
        "variant": options.variant,
        "task_type": options.task_type,
        "modules_to_save": split_names(options.modules_to_save),
        "bias": options.bias,
        "feedforward_modules": split_names(options.feedforward_modules),
    }


def read_shape_options(options: argparse.Namespace, reader: ShapeReader) -> ModelShape:
    kind = options.kind or KIND_OF_TASK.get(options.task_type)
    if options.config is None:
        return reader.find(options.model, kind=kind)
    return reader.read(read_config(options.config), kind=kind)


def read_config(path: Path) -> dict[str, Any]:
    """Read a config.json. Raises LearnerError when it is not a model's configuration."""
    return parse_config(read_input(path).decode("utf-8", "replace"))


def count_text(options: argparse.Namespace, reader: ShapeReader) -> str:
    shape = read_shape_options(options, reader)
    setting = parse_adapter_setting(build_adapter_fields(options, targets="targets"), targets="targets")
    rank = setting.default_rank if options.rank is None else options.rank
    found: Count = count_adapter(shape, setting, rank=rank)
    first = f"{as_count(found.trainable)} trainable of {as_count(found.total)} ({as_percent(found.percent)})"
    if is_plain(options):
        try:
            return f"{first}\n{format_formula(shape, rank=rank, targets=as_targets(options.targets))}"
        except LearnerError:
            pass  # names that PEFT skips, or that mean more than linear layers
    return "\n".join((first, *work_count(build_adaptation(shape, setting), setting, rank=rank)))


def is_plain(options: argparse.Namespace) -> bool:
    """Return whether the page's formula covers everything: LoRA on linear layers."""
    extras = (options.task_type, options.modules_to_save, options.config)
    return options.variant in ("lora", "rslora") and options.bias == "none" and not any(extras)


def build_claim_record(options: argparse.Namespace) -> dict[str, Any]:
    """Build the claim from the flags. Raises LearnerError when the printed line can't be parsed."""
    line = find_printed_line(options.line)
    if line is None:
        raise LearnerError(f"{options.line!r} isn't a printed line.", do_next="Paste the whole line.")
    model: dict[str, Any] = {"name": options.model}
    if options.config is not None:
        model |= {"config": read_config(options.config), "kind": options.kind}
    lora = build_adapter_fields(options, targets="target_modules")
    lora["r"] = UNKNOWN if options.rank is None else options.rank
    return {
        "model": model,
        "lora": lora,
        "quantisation": options.quantization,
        "printed": line.printed.to_record(),
    }


def format_claim(answer: Mapping[str, Any]) -> str:
    lines = [f"{answer['verdict']}: {answer['why']}"]
    lines += [f"  {line}" for line in answer["arithmetic"]]
    if answer["explanations"] and answer["verdict"] != "possible":
        lines.append("Settings of this model that print the trainable count:")
        lines += [
            f"  r={each['r']} {', '.join(each['target_modules'])}" for each in answer["explanations"][:8]
        ]
    if answer["other_models"]:
        lines.append("Usual settings of other models that print it:")
        lines += [f"  {each['model']} r={each['r']} {each['targets']}" for each in answer["other_models"]]
    return "\n".join(lines)
