"""A line of the memory contract, read into a setting; or the reason why it has no answer."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lora_lab.fields import UnsupportedCase, adapter_of, one_of, whole
from lora_lab.forecast import optimizer_named
from lora_lab.setting import Attention, Framework, Loss, Measure, NumberType, Phase, Setting
from lora_lab.shapes import Linear, ModelShape, Role

Record = Mapping[str, Any]

FRAMEWORKS: tuple[tuple[str, Framework], ...] = (
    ("lora_lab", "loop"),
    ("litgpt", "litgpt"),
    ("lit-gpt", "litgpt"),
    ("torchtune", "torchtune"),
    ("unsloth", "unsloth"),
    ("artidoro", "trl"),
    ("trl", "trl"),
    ("sfttrainer", "trl"),
    ("axolotl", "unprepared"),
    ("llama-factory", "unprepared"),
    ("llamafactory", "unprepared"),
    ("llama factory", "unprepared"),
    ("fms", "unprepared"),
    ("trainer", "trainer"),
)
"""What a framework's name may contain, and which of the modelled ones that is; the first that fits counts."""

ATTENTIONS: dict[str | None, Attention] = {
    None: "sdpa",
    "eager": "eager",
    "sdpa": "sdpa",
    "sdpa/flash": "flash",
    "flash": "flash",
    "flash_attention_2": "flash",
}
LOSSES: dict[str | None, Loss] = {
    None: "full",
    "full logits": "full",
    "chunked cross-entropy": "chunked",
    "answer positions": "answers",
}
MEASURES: dict[str | None, Measure] = {
    None: "allocated",
    "max allocated": "allocated",
    "max reserved": "reserved",
    "live storage": "live",
}
PHASES: tuple[Phase, ...] = ("train", "load", "generate")
METHODS = ("full", "lora", "qlora", "dora", "qdora", "rslora", "qlora+dora")
VARIANTS = ("lora", "rslora", "dora")
NUMBER_TYPES: tuple[NumberType, ...] = ("fp32", "bf16", "fp16")
QUANTS = (None, "nf4", "fp4", "int8")
DEFAULT_RANK = 8
DEFAULT_TOKENS = 512
MLP_ROLES: tuple[Role, ...] = ("gate", "up", "gate_up", "down")
FUSED: dict[Role, Role] = {"q": "qkv", "k": "qkv", "v": "qkv", "gate": "gate_up", "up": "gate_up"}


def setting_of(record: Record, shape: ModelShape) -> Setting:
    """Raises UnsupportedCase with the reason, or LearnerError on a value that means nothing."""
    if record.get("gpus") not in (None, 1):
        raise UnsupportedCase(
            "what each of several GPUs holds depends on how they share the work, which the record does not say"
        )
    if record.get("kind") not in (None, "causal"):
        raise UnsupportedCase(f"a {record['kind']} model's step is not modelled; causal ones are")
    framework = framework_named(record.get("framework"))
    method = one_of(record, "method", METHODS, default="lora")
    adapter = adapter_of(record)
    if framework in ("litgpt", "torchtune"):
        shape = with_separate_matrices(shape)
    full = method == "full"
    roles = () if full else _chosen(shape, adapter.get("targets"))
    base_type: NumberType = one_of(record, "base_dtype", NUMBER_TYPES, default="bf16")
    native = framework in ("litgpt", "torchtune")
    optimizer = str(record.get("optimizer") or "adamw")
    optimizer_named(optimizer)
    setting = Setting(
        shape=shape,
        adapted=roles,
        adapts_head=not full and _names_head(adapter.get("targets")),
        rank=whole(adapter, "r", DEFAULT_RANK),
        variant=_variant(method, adapter),
        dropout=framework == "litgpt" or bool(adapter.get("dropout")),
        base_type=base_type,
        bits=_bits(record, base_type, method, framework),
        adapter_type=one_of(record, "adapter_dtype", NUMBER_TYPES, default=base_type if native else "fp32"),
        framework=framework,
        seq_len=whole(record, "seq_len", DEFAULT_TOKENS),
        batch=whole(record, "micro_batch", 1),
        checkpointing=bool(record.get("gradient_checkpointing")),
        optimizer=optimizer,
        attention=one_of(record, "attention", ATTENTIONS),
        loss=one_of(record, "loss", LOSSES),
        phase=one_of(record, "phase", PHASES, default="train"),
        measure=one_of(record, "measure", MEASURES),
        on_gpu=record.get("device") != "cpu",
    )
    return setting


def framework_named(written: Any) -> Framework:
    """The modelled framework that a free text names; a loop with peft where it names none."""
    text = str(written or "").lower()
    return next((framework for part, framework in FRAMEWORKS if part in text), "loop")


def _variant(method: str, adapter: Record) -> Any:
    variant = "dora" if "dora" in method else "rslora" if method == "rslora" else "lora"
    named = adapter.get("variant")
    if named not in (None, *VARIANTS):
        raise UnsupportedCase(f"variant {named!r} saves other tensors than LoRA does and is not modelled")
    return named if named not in (None, "lora") else variant


def _bits(record: Record, base_type: NumberType, method: str, framework: Framework) -> Any:
    quant = one_of(record, "quant", QUANTS, default=None)
    if quant is None and method in ("qlora", "qdora", "qlora+dora"):
        quant = "nf4"
    if quant in ("nf4", "fp4"):
        # torchao's NF4 always quantizes its constants a second time.
        return f"{quant}-dq" if record.get("double_quant") or framework == "torchtune" else quant
    return quant or base_type


# ---- which matrices


def _chosen(shape: ModelShape, written: Any) -> tuple[Linear, ...]:
    """The adapted matrices. A role of a fused matrix adapts the whole of it, as peft would."""
    if written is None or isinstance(written, str):
        return shape.select(written if written != "head" else []) if written != "head" else ()
    names: list[str] = []
    for name in written:
        if name in ("head", "lm_head"):
            continue
        if name == "mlp":
            names += [role for role in MLP_ROLES if shape.has(role)]
        elif not shape.has(name) and name in FUSED and shape.has(FUSED[name]):
            names.append(FUSED[name])
        else:
            names.append(name)
    present = [name for name in dict.fromkeys(names) if shape.has(name)]
    return shape.select(present or names) if names else ()


def _names_head(written: Any) -> bool:
    names = [written] if isinstance(written, str) else written or []
    return any(name in ("head", "lm_head") for name in names)


def with_separate_matrices(shape: ModelShape) -> ModelShape:
    """The same model with q, k, v and gate, up apart, as litgpt and torchtune adapt them."""
    linears: list[Linear] = []
    for linear in shape.linears:
        if linear.role == "qkv":
            a, kv = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
            linears += [_part(linear, "q", a), _part(linear, "k", kv), _part(linear, "v", kv)]
        elif linear.role == "gate_up":
            half = linear.d_out // 2
            linears += [_part(linear, "gate", half), _part(linear, "up", half)]
        else:
            linears.append(linear)
    return replace(shape, linears=tuple(linears))


def _part(linear: Linear, role: Role, d_out: int) -> Linear:
    name = f"{linear.name.rpartition('.')[0]}.{role}_proj"
    return replace(linear, role=role, name=name, d_out=d_out)
