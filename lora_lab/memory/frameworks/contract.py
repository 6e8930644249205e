"""Parsing of a memory contract record into a step setting, or into the reason why it has no answer."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lora_lab.memory.frameworks.adapted_matrices import (
    USUAL_ROLES,
    Adapters,
    find_adapters,
    refuse_unplaced,
)
from lora_lab.memory.frameworks.config_traits import (
    TASK_OF_KIND,
    complete_config,
    count_saved,
    find_kind,
    list_saved_names,
    read_traits,
)
from lora_lab.memory.frameworks.experts import with_single_experts
from lora_lab.memory.frameworks.forecast import find_optimizer
from lora_lab.memory.frameworks.setting import (
    Attention,
    Framework,
    Loss,
    Measure,
    NumberType,
    Phase,
    StepSetting,
)
from lora_lab.memory.frameworks.stored_matrices import as_stored, has_single_experts, without_unquantized
from lora_lab.memory.frameworks.towers import has_towers
from lora_lab.parameters.adapter_config import DEFAULT_RANKS, LORA_RANK, UnsupportedCase
from lora_lab.parameters.json_fields import (
    find_adapter_fields,
    list_narrowing_fields,
    parse_choice,
    read_rank,
    read_whole,
)
from lora_lab.parameters.shapes import ModelShape
from study.base.yaml_loader import load_yaml

Record = Mapping[str, Any]

_TABLES = load_yaml(Path(__file__).with_name("contract.yaml").read_text("utf-8"))
FRAMEWORKS: dict[str, Framework] = _TABLES["frameworks"]
ATTENTIONS: dict[str | None, Attention] = _TABLES["attention"]
LOSSES: dict[str | None, Loss] = _TABLES["loss"]
MEASURES: dict[str | None, Measure] = _TABLES["measure"]
METHODS: list[str] = _TABLES["methods"]

NEWER_TRL = "trl>=0.26"
"""As `frameworks` of contract.yaml writes it."""

NATIVE: tuple[Framework, ...] = ("litgpt", "torchtune")
"""Frameworks with models of their own, which store q, k, v and gate, up as separate matrices."""

PHASES: tuple[Phase, ...] = ("train", "load", "generate")
DEVICES = ("cuda", "cpu")
VARIANTS = ("lora", "rslora", "dora", "ia3", "adalora", "vera", "lora-fa")
NUMBER_TYPES: tuple[NumberType, ...] = ("fp32", "bf16", "fp16")
QUANTS = (None, "nf4", "fp4", "int8")
DEFAULT_TOKENS = 512
DEFAULT_LABELS = 2


def expand_bits(bits: str) -> dict[str, Any]:
    """Expand a bit width to the fields of a record."""
    plain = bits in ("fp32", "bf16")
    return {
        "base_dtype": bits if plain else "bf16",
        "quant": None if plain else bits.removesuffix("-dq"),
        "double_quant": bits.endswith("-dq"),
    }


def parse_setting(record: Record, shape: ModelShape) -> StepSetting:
    """Parse a record into a step setting.

    Raises UnsupportedCase with the reason, and LearnerError on an invalid value.
    """
    if record.get("gpus") not in (None, 1):
        raise UnsupportedCase(
            "what each of several GPUs holds depends on how they share the work, which no field says"
        )
    named = str(record.get("framework") or "").lower()
    framework = find_framework(named) or "loop"  # a plain loop with peft
    method = parse_choice(record, "method", METHODS, default="lora")
    adapter = find_adapter_fields(record)
    phase = parse_phase(record)
    config = complete_config(record, shape)
    kind = find_kind(record, shape)
    traits = read_traits(config)
    towers = has_towers(shape, traits)
    shape = _as_stored(shape, record, framework, phase, towers=towers)
    variant = _read_variant(method, adapter)
    full = method == "full" or (phase != "train" and not record.get("lora"))
    base_type: NumberType = parse_choice(record, "base_dtype", NUMBER_TYPES, default="bf16")
    optimizer = str(record.get("optimizer") or "adamw")
    find_optimizer(optimizer)
    bits = _read_bits(record, base_type, method, framework)
    in_base_type = framework in NATIVE or (bits != base_type and NEWER_TRL in named)
    rank = read_rank({**adapter, "variant": variant}, DEFAULT_RANKS.get(variant, LORA_RANK))
    adapters = Adapters()
    if not full and variant != "norms":
        adapters = _read_adapters(adapter, shape, framework, variant=variant, rank=rank, towers=towers)
    if phase == "train" and not towers:
        refuse_unplaced(shape, adapters.adapted)
    return StepSetting(
        shape=shape,
        **vars(adapters),
        rank=rank,
        variant=variant,
        dropout=framework == "litgpt" or bool(adapter.get("dropout")),
        base_type=base_type,
        bits=bits,
        adapter_type=parse_choice(
            record, "adapter_dtype", NUMBER_TYPES, default=base_type if in_base_type else "fp32"
        ),
        framework=framework,
        seq_len=read_whole(record, "seq_len", DEFAULT_TOKENS),
        target_len=read_whole(record, "target_len", None),
        task=TASK_OF_KIND.get(str(kind), "words"),
        labels=read_whole(config, "num_labels", DEFAULT_LABELS),
        saved_head=0 if full else count_saved(shape, list_saved_names(record, kind)),
        traits=traits,
        batch=read_whole(record, "micro_batch", 1),
        checkpointing=bool(record.get("gradient_checkpointing")),
        optimizer=optimizer,
        attention=parse_choice(record, "attention", ATTENTIONS),
        loss=parse_choice(record, "loss", LOSSES),
        phase=phase,
        measure=parse_choice(record, "measure", MEASURES),
        on_gpu=record.get("device") != "cpu",
        offloads="offload" in named,
        # torchtune's published rows with a chunked loss are compiled.
        compiled=framework == "torchtune"
        and ("compile" in named or LOSSES.get(record.get("loss")) == "chunked"),
    )


def _as_stored(
    shape: ModelShape, record: Record, framework: Framework, phase: Phase, *, towers: bool
) -> ModelShape:
    """Return the model with the matrices that a framework keeps. Raises UnsupportedCase when it has none."""
    native = framework in NATIVE
    if towers:
        if native or framework == "unsloth":
            raise UnsupportedCase(f"{framework} trains decoders, and {shape.model_type} is another model")
        return without_unquantized(shape)
    if phase != "load" or native:
        return as_stored(shape, separate=native, single_experts=has_single_experts(record))
    return with_single_experts(shape) if has_single_experts(record) else shape


def _read_adapters(
    adapter: Record, shape: ModelShape, framework: Framework, *, variant: Any, rank: int, towers: bool
) -> Adapters:
    """Read which matrices have an adapter. Raises UnsupportedCase where the framework has none like it."""
    narrowing = list_narrowing_fields(adapter)
    if framework in NATIVE and narrowing:
        raise UnsupportedCase(f"{framework} has no {' or '.join(narrowing)}")
    if framework == "unsloth" and "target_parameters" in narrowing:
        raise UnsupportedCase("what unsloth's own products with experts save is not modelled")
    targets = adapter.get("targets")
    if not targets and "target_parameters" not in narrowing:
        targets = USUAL_ROLES if framework in NATIVE else None
    adapters = find_adapters(shape, targets, narrowing, variant=variant, rank=rank)
    if (adapters.by_layer or adapters.fused) and towers and narrowing:
        raise UnsupportedCase("layers that differ in their adapters are modelled in decoders alone")
    return adapters


def parse_phase(record: Record) -> Phase:
    """Parse the phase; `lora-load` and the measures "at load" are about a model before its first step."""
    phase: Phase = parse_choice(record, "phase", PHASES, default="train")
    texts = (str(record.get("method") or ""), str(record.get("measure") or ""))
    return "load" if texts[0].endswith("-load") or texts[1].endswith("at load") else phase


def find_framework(written: Any) -> Framework | None:
    """Find the modelled framework that a free text names; None where it names none."""
    text = str(written or "").lower()
    return next((framework for part, framework in FRAMEWORKS.items() if part in text), None)


def _read_variant(method: str, adapter: Record) -> Any:
    if method == "layernorm-tuning":
        return "norms"
    variant = "dora" if "dora" in method else method if method in VARIANTS else "lora"
    named = adapter.get("variant")
    if named not in (None, *VARIANTS):
        raise UnsupportedCase(f"variant {named!r} saves other tensors than LoRA does and is not modelled")
    return named if named not in (None, "lora") else variant


def _read_bits(record: Record, base_type: NumberType, method: str, framework: Framework) -> Any:
    quant = parse_choice(record, "quant", QUANTS, default=None)
    if quant is None and method in ("qlora", "qdora", "qlora+dora", "qlora-load"):
        quant = "nf4"
    if quant in ("nf4", "fp4"):
        # torchao's NF4 always quantizes its constants a second time.
        return f"{quant}-dq" if record.get("double_quant") or framework == "torchtune" else quant
    return quant or base_type
