"""Options of `count`, `memory`, `claim`, `xray` and `microscope`, and text output of the first three.

The modules of the last two import matplotlib, which takes a second.
"""

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lora_lab.claims.claim import QUANTIZATIONS
from lora_lab.claims.printed_line import find_printed_line
from lora_lab.cli.contracts import CONTRACT_NAMES
from lora_lab.cli.runs import read_input
from lora_lab.engine.shape_reader import MODEL_KINDS, ShapeReader, parse_config
from lora_lab.memory.frameworks.contract import (
    ATTENTIONS,
    DEVICES,
    FRAMEWORKS,
    LOSSES,
    MEASURES,
    METHODS,
    NUMBER_TYPES,
    PHASES,
    bits_fields,
    find_framework,
)
from lora_lab.memory.ledger import COMPONENTS, bits_per_param
from lora_lab.microscope.query import SCHEMES, SIDES, MicroscopeQuestion
from lora_lab.parameters.adapter_config import ADAPTER_VARIANTS, BIASES, KIND_OF_TASK
from lora_lab.parameters.counts import Count, adaptation_of, count_adapter, format_formula
from lora_lab.parameters.json_fields import UNKNOWN, setting_of
from lora_lab.parameters.shapes import ModelShape
from lora_lab.parameters.target_syntax import as_targets, split_names
from lora_lab.parameters.worked_count import work_count
from lora_lab.spec import BITS, Bits
from study.base.errors import LearnerError
from study.base.units import as_bytes, as_count, as_percent


def add_adapter_options(command: argparse.ArgumentParser) -> None:
    """Add every field of the `count` contract as a flag."""
    command.add_argument("--config", type=Path, help="a config.json instead of a catalogue model")
    command.add_argument("--kind", choices=MODEL_KINDS, help="what the configuration is built as")
    command.add_argument(
        "--variant", choices=ADAPTER_VARIANTS, default="lora", help="kind of adapter (default: lora)"
    )
    command.add_argument("--task-type", help="SEQ_CLS trains its classifier too")
    command.add_argument("--modules-to-save", help="modules trained whole, separated by commas")
    command.add_argument("--bias", choices=BIASES, default="none", help="biases trained too (default: none)")
    command.add_argument("--feedforward-modules", help="IA3: targets scaled at their input")


def add_xray_options(xraying: argparse.ArgumentParser) -> None:
    """Add flags for the runs, and for their matrices."""
    xraying.add_argument("--run", type=Path, required=True, help="the run's folder")
    xraying.add_argument("--beside", type=Path, help="a second run's, to compare directions with")
    xraying.add_argument("--layer", default="", help="layer to describe (default: the first)")
    xraying.add_argument("--matrix", default="", help="matrix of that layer, such as self_attn.q_proj")
    xraying.add_argument("--data-folder", type=Path, help="where models and results are kept")
    xraying.add_argument("--json", action="store_true", help="print all that was found as one object")


def add_microscope_options(command: argparse.ArgumentParser) -> None:
    """Add flags for the matrix, and for the two schemes."""
    usual = MicroscopeQuestion()
    command.add_argument("--model", default=usual.model, help="a catalogue name, a folder, or a hub id")
    command.add_argument("--layer", type=int, default=0, help="from 0")
    command.add_argument("--matrix", default="", help="such as self_attn.q_proj; default: the layer's first")
    known = ", ".join(SCHEMES)
    for side in SIDES:
        default = usual.side(side).bits
        command.add_argument(f"--{side}", default=default, help=f"{known}; nf4:128 for blocks of 128")
    command.add_argument("--data-folder", type=Path, help="where models and results are kept")
    command.add_argument("--json", action="store_true", help="print all that was found as one object")


def add_claim_options(command: argparse.ArgumentParser) -> None:
    """Add every field of the `claim` contract as a flag, or a file to read all of it from."""
    command.add_argument(
        "file", nargs="?", type=Path, help="a text with code and printed line; - reads standard input"
    )
    command.add_argument("--line", help="the printed line, instead of a file")
    command.add_argument(
        "--quantization", "--quantisation", dest="quantization", choices=QUANTIZATIONS, default="none",
        help="how the base is stored (default: none)",
    )  # fmt: skip


def add_memory_options(command: argparse.ArgumentParser) -> None:
    """Add every field of the `memory` contract as a flag."""
    command.add_argument("--config", type=Path, help="a config.json instead of a catalogue model")
    command.add_argument("--kind", choices=MODEL_KINDS, help="what the model is built as, such as seqcls")
    command.add_argument("--bits", choices=BITS, default="nf4-dq", help="of the base (default: nf4-dq)")
    command.add_argument("--batch", type=int, default=4, help="examples per step (default: 4)")
    command.add_argument(
        "--seq-len-tokens", "--seq-len", dest="seq_len", type=int, default=128,
        help="tokens of each example (default: 128)",
    )  # fmt: skip
    command.add_argument("--target-len", type=int, help="tokens that an encoder-decoder writes")
    command.add_argument("--method", choices=METHODS, help="full, or how the adapter is trained")
    command.add_argument("--optimizer", help="adamw, adamw8bit, paged_adamw8bit, sgd and others")
    command.add_argument(
        "--checkpointing", nargs="?", choices=("true", "false"), const="true", default="false",
        help="keep each layer's input only, and compute the rest again",
    )  # fmt: skip
    command.add_argument("--adapter-dtype", choices=NUMBER_TYPES, help="number type of the adapter")
    command.add_argument(
        "--framework",
        help="such as litgpt, torchtune, peft, trl or transformers Trainer; default: the lab's own loop",
    )
    command.add_argument(
        "--device", choices=DEVICES, help="default: the lab's own loop on a CPU, frameworks on a GPU"
    )
    for flag, known, said in (
        ("attention", ATTENTIONS, "how attention is computed (default: sdpa)"),
        ("loss", LOSSES, "what the loss is computed from (default: full logits)"),
        ("measure", MEASURES, "which peak is predicted (default: max allocated)"),
    ):
        command.add_argument(f"--{flag}", choices=[name for name in known if name], help=said)
    command.add_argument("--phase", choices=PHASES, help="what the model does (default: train)")


def memory_record(options: argparse.Namespace) -> dict[str, Any]:
    """Build a record of the contract from the flags; fields that are left out get their defaults.

    Raises LearnerError on a framework that is not modelled.
    """
    if options.framework and find_framework(options.framework) is None:
        raise LearnerError(
            f"The framework {options.framework!r} is not modelled.",
            do_next=f"Known: {', '.join(FRAMEWORKS)}.",
        )
    adapter = {"r": options.rank, "targets": as_targets(options.targets)}
    record = {
        "model": options.model,
        "config": None if options.config is None else read_config(options.config),
        "method": options.method,
        **bits_fields(options.bits),
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


def _assumed_text(record: Mapping[str, Any]) -> str:
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


def memory_text(record: Mapping[str, Any], answer: Mapping[str, Any], bits: Bits) -> str:
    """Format what is assumed, the peak and its components for a person."""
    lines = [
        _assumed_text(record),
        f"{as_bytes(answer['bytes'])} at the peak of a step; weights at {bits_per_param(bits):.3f} bits each",
    ]
    for name, label in COMPONENTS:
        if size := answer["components"][CONTRACT_NAMES.get(name, name)]:
            lines.append(f"  {label:<24}{as_bytes(size):>10}")
    if "basis" in answer:
        lines.append(f"Estimated from {answer['basis']}.")
    return "\n".join(lines)


def adapter_fields(options: argparse.Namespace, *, targets: str) -> dict[str, Any]:
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


def shape_of_options(options: argparse.Namespace, reader: ShapeReader) -> ModelShape:
    kind = options.kind or KIND_OF_TASK.get(options.task_type)
    if options.config is None:
        return reader.find(options.model, kind=kind)
    return reader.read(read_config(options.config), kind=kind)


def read_config(path: Path) -> dict[str, Any]:
    """Read a config.json. Raises LearnerError when it is not a model's configuration."""
    return parse_config(read_input(path).decode("utf-8", "replace"))


def count_text(options: argparse.Namespace, reader: ShapeReader) -> str:
    shape = shape_of_options(options, reader)
    setting = setting_of(adapter_fields(options, targets="targets"), targets="targets")
    rank = setting.default_rank if options.rank is None else options.rank
    found: Count = count_adapter(shape, setting, rank=rank)
    first = f"{as_count(found.trainable)} trainable of {as_count(found.total)} ({as_percent(found.percent)})"
    if is_plain(options):
        try:
            return f"{first}\n{format_formula(shape, rank=rank, targets=as_targets(options.targets))}"
        except LearnerError:
            pass  # names that PEFT skips, or that mean more than linear layers
    return "\n".join((first, *work_count(adaptation_of(shape, setting), setting, rank=rank)))


def is_plain(options: argparse.Namespace) -> bool:
    """Return whether the page's formula covers everything: LoRA on linear layers."""
    extras = (options.task_type, options.modules_to_save, options.config)
    return options.variant in ("lora", "rslora") and options.bias == "none" and not any(extras)


def claim_record(options: argparse.Namespace) -> dict[str, Any]:
    """Build the claim from the flags. Raises LearnerError when the printed line can't be parsed."""
    line = find_printed_line(options.line)
    if line is None:
        raise LearnerError(f"{options.line!r} isn't a printed line.", do_next="Paste the whole line.")
    model: dict[str, Any] = {"name": options.model}
    if options.config is not None:
        model |= {"config": read_config(options.config), "kind": options.kind}
    lora = adapter_fields(options, targets="target_modules")
    lora["r"] = UNKNOWN if options.rank is None else options.rank
    return {
        "model": model,
        "lora": lora,
        "quantisation": options.quantization,
        "printed": line.printed.to_record(),
    }


def claim_text(answer: Mapping[str, Any]) -> str:
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
