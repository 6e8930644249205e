"""Parsing of a memory contract record into a step setting, or into the reason why it has no answer."""

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lora_lab.memory.frameworks.config_traits import (
    TASK_OF_KIND,
    config_in,
    count_saved,
    kind_of,
    read_traits,
    saved_names,
)
from lora_lab.memory.frameworks.experts import (
    EARLIER,
    FusedAdapter,
    experts_in,
    find_fused_adapters,
    with_single_experts,
)
from lora_lab.memory.frameworks.families import find_family, find_stranger
from lora_lab.memory.frameworks.forecast import optimizer_named
from lora_lab.memory.frameworks.setting import (
    Attention,
    Framework,
    LayerAdapter,
    Loss,
    Measure,
    NumberType,
    Phase,
    StepSetting,
)
from lora_lab.memory.frameworks.towers import has_towers
from lora_lab.parameters.adapter_config import (
    ADAPTER_VARIANTS,
    ALL_LINEAR,
    DEFAULT_RANKS,
    LORA_RANK,
    Adaptation,
    AdapterSetting,
    UnsupportedCase,
)
from lora_lab.parameters.counts import adaptation_of
from lora_lab.parameters.json_fields import NARROWING, adapter_of, is_set, one_of, read_rank, read_whole
from lora_lab.parameters.json_fields import setting_of as read_setting
from lora_lab.parameters.shapes import Linear, ModelShape, Role
from lora_lab.parameters.target_matching import LAYER_NUMBER

Record = Mapping[str, Any]

NEWER_TRL = "trl>=0.26"
"""Since 0.26 trl's SFTTrainer neither calls prepare_model_for_kbit_training nor keeps adapters in fp32: it
casts those of a quantized base to bf16 (trl pull request 4577).
"""

FRAMEWORKS: tuple[tuple[str, Framework], ...] = (
    ("lora_lab", "loop"),
    ("litgpt", "litgpt"),
    ("lit-gpt", "litgpt"),
    ("torchtune", "torchtune"),
    ("unsloth", "unsloth"),
    ("artidoro", "trl"),
    (NEWER_TRL, "unprepared"),
    ("trl", "trl"),
    ("sfttrainer", "trl"),
    ("axolotl", "unprepared"),
    ("llama-factory", "unprepared"),
    ("llamafactory", "unprepared"),
    ("llama factory", "unprepared"),
    ("fms", "unprepared"),
    ("trainer", "trainer"),
    ("peft", "loop"),
    ("transformers", "loop"),
)
"""Substrings of a framework's name, and the modelled framework each one means; the first match counts."""

NATIVE: tuple[Framework, ...] = ("litgpt", "torchtune")
"""Frameworks with models of their own, which store q, k, v and gate, up as separate matrices."""

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
    "max reserved at load": "reserved",
    "allocated at load": "allocated",
    "device": "device",
    "live storage": "live",
}
PHASES: tuple[Phase, ...] = ("train", "load", "generate")
DEVICES = ("cuda", "cpu")
METHODS = (
    "full", "lora", "qlora", "dora", "qdora", "rslora", "qlora+dora", "ia3", "layernorm-tuning", "lora-load",
    "qlora-load", "adalora", "vera", "lora-fa",
)  # fmt: skip
VARIANTS = ("lora", "rslora", "dora", "ia3", "adalora", "vera", "lora-fa")
NUMBER_TYPES: tuple[NumberType, ...] = ("fp32", "bf16", "fp16")
QUANTS = (None, "nf4", "fp4", "int8")
IA3_ROLES: tuple[Role, ...] = ("k", "v", "qkv", "down")
"""PEFT's default for IA3: keys, values and the last product of the MLP."""

USUAL_ROLES: tuple[Role, ...] = ("q", "v")

DEFAULT_TOKENS = 512
DEFAULT_LABELS = 2
MLP_ROLES: tuple[Role, ...] = ("gate", "up", "gate_up", "down")
FUSED: dict[Role, Role] = {"q": "qkv", "k": "qkv", "v": "qkv", "gate": "gate_up", "up": "gate_up"}


def bits_fields(bits: str) -> dict[str, Any]:
    """Return the fields of a record that a bit width stands for."""
    plain = bits in ("fp32", "bf16")
    return {
        "base_dtype": bits if plain else "bf16",
        "quant": None if plain else bits.removesuffix("-dq"),
        "double_quant": bits.endswith("-dq"),
    }


def setting_of(record: Record, shape: ModelShape) -> StepSetting:
    """Parse a record into a step setting.

    Raises UnsupportedCase with the reason, and LearnerError on an invalid value.
    """
    if record.get("gpus") not in (None, 1):
        raise UnsupportedCase(
            "what each of several GPUs holds depends on how they share the work, which no field says"
        )
    framework = framework_named(record.get("framework"))
    method = one_of(record, "method", METHODS, default="lora")
    adapter, narrowing = read_adapter(record)
    native = framework in NATIVE
    phase = phase_of(record)
    config = config_in(record, shape)
    kind = kind_of(record, shape)
    traits = read_traits(config)
    if has_towers(shape, traits):
        if framework in NATIVE or framework == "unsloth":
            raise UnsupportedCase(f"{framework} trains decoders, and {shape.model_type} is another model")
        shape = without_unquantized(shape)
    elif phase != "load" or native:
        shape = as_stored(shape, separate=native, single_experts=has_single_experts(record))
    elif has_single_experts(record):
        shape = with_single_experts(shape)
    variant = _read_variant(method, adapter)
    full = method == "full" or (phase != "train" and not record.get("lora"))
    targets = adapter.get("targets") or (["q", "v"] if native else None)
    if variant == "ia3" and targets is None:
        targets = [role for role in IA3_ROLES if shape.has(role)]
    if targets is None and not shape.default_targets:
        targets = USUAL_ROLES  # what PEFT takes for most types, where it has no default for this one
    base_type: NumberType = one_of(record, "base_dtype", NUMBER_TYPES, default="bf16")
    optimizer = str(record.get("optimizer") or "adamw")
    optimizer_named(optimizer)
    bits = _read_bits(record, base_type, method, framework)
    in_base_type = native or (bits != base_type and _names(record, NEWER_TRL))
    trains_adapters = not full and variant != "norms"
    rank = read_rank(adapter, DEFAULT_RANKS.get(variant, LORA_RANK))
    adapted: tuple[Linear, ...] = ()
    fused: tuple[FusedAdapter, ...] = ()
    by_layer: tuple[LayerAdapter, ...] = ()
    if trains_adapters and narrowing:
        if native:
            raise UnsupportedCase(f"{framework} has no {' or '.join(narrowing)}")
        adaptation = adaptation_of(shape, _read_narrowed(shape, adapter, narrowing, targets, variant))
        adapted, by_layer = find_linears(shape, adaptation), find_by_layer(shape, adaptation, rank)
        if by_layer and has_towers(shape, traits):
            raise UnsupportedCase("layers that differ in their adapters are modelled in decoders alone")
    elif trains_adapters and shape.fused_experts:
        adapted, fused = _adapt_with_experts(shape, targets, variant, rank)
    elif trains_adapters:
        adapted = _select_adapted(shape, targets)
    if phase == "train" and not has_towers(shape, traits):
        _refuse_unplaced(shape, adapted)
    return StepSetting(
        shape=shape,
        adapted=adapted,
        by_layer=by_layer,
        fused=fused,
        adapts_head=trains_adapters and _names_head(targets),
        rank=rank,
        variant=variant,
        dropout=framework == "litgpt" or bool(adapter.get("dropout")),
        base_type=base_type,
        bits=bits,
        adapter_type=one_of(
            record, "adapter_dtype", NUMBER_TYPES, default=base_type if in_base_type else "fp32"
        ),
        framework=framework,
        seq_len=read_whole(record, "seq_len", DEFAULT_TOKENS),
        target_len=read_whole(record, "target_len", None),
        task=TASK_OF_KIND.get(str(kind), "words"),
        labels=read_whole(config, "num_labels", DEFAULT_LABELS),
        saved_head=0 if full else count_saved(shape, saved_names(record, kind)),
        traits=traits,
        batch=read_whole(record, "micro_batch", 1),
        checkpointing=bool(record.get("gradient_checkpointing")),
        optimizer=optimizer,
        attention=one_of(record, "attention", ATTENTIONS),
        loss=one_of(record, "loss", LOSSES),
        phase=phase,
        measure=one_of(record, "measure", MEASURES),
        on_gpu=record.get("device") != "cpu",
        offloads="offload" in str(record.get("framework") or "").lower(),
        compiled=_is_compiled(record, framework),
    )


def phase_of(record: Record) -> Phase:
    """Parse the phase; `lora-load` and the measures "at load" are about a model before its first step."""
    phase: Phase = one_of(record, "phase", PHASES, default="train")
    texts = (str(record.get("method") or ""), str(record.get("measure") or ""))
    return "load" if texts[0].endswith("-load") or texts[1].endswith("at load") else phase


def framework_named(written: Any) -> Framework:
    """Find the modelled framework that a free text names; a plain loop with peft where it names none."""
    return find_framework(written) or "loop"


def find_framework(written: Any) -> Framework | None:
    """Find the modelled framework that a free text names; None where it names none."""
    text = str(written or "").lower()
    return next((framework for part, framework in FRAMEWORKS if part in text), None)


def _names(record: Record, part: str) -> bool:
    return part in str(record.get("framework") or "").lower()


def _is_compiled(record: Record, framework: Framework) -> bool:
    """Return whether the step is compiled; torchtune's published rows with a chunked loss are."""
    if framework != "torchtune":
        return False
    return "compile" in str(record.get("framework")).lower() or LOSSES.get(record.get("loss")) == "chunked"


def _read_variant(method: str, adapter: Record) -> Any:
    if method == "layernorm-tuning":
        return "norms"
    variant = "dora" if "dora" in method else method if method in VARIANTS else "lora"
    named = adapter.get("variant")
    if named not in (None, *VARIANTS):
        raise UnsupportedCase(f"variant {named!r} saves other tensors than LoRA does and is not modelled")
    return named if named not in (None, "lora") else variant


def _read_bits(record: Record, base_type: NumberType, method: str, framework: Framework) -> Any:
    quant = one_of(record, "quant", QUANTS, default=None)
    if quant is None and method in ("qlora", "qdora", "qlora+dora", "qlora-load"):
        quant = "nf4"
    if quant in ("nf4", "fp4"):
        # torchao's NF4 always quantizes its constants a second time.
        return f"{quant}-dq" if record.get("double_quant") or framework == "torchtune" else quant
    return quant or base_type


# ---- which matrices


def _select_adapted(shape: ModelShape, written: Any) -> tuple[Linear, ...]:
    """Select the adapted matrices. A role of a fused matrix adapts the whole matrix, as in peft."""
    if written is None or isinstance(written, str):
        return () if written == "head" else shape.select(written)
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


def _adapt_with_experts(
    shape: ModelShape, written: Any, variant: str, rank: int
) -> tuple[tuple[Linear, ...], tuple[FusedAdapter, ...]]:
    """Find what PEFT adapts where experts are fused: linear layers, and tensors by experts' names."""
    names = [written] if isinstance(written, str) else list(written or shape.default_targets)
    if names != [ALL_LINEAR] and not isinstance(written, str):
        experts = [name for name in shape.modules.renamed if name != "gate"]
        parts = [experts if name == "mlp" else [name] for name in names if name not in ("head", "lm_head")]
        names = [name for part in parts for name in part]
        if not names:
            return (), ()
    counted: Any = variant if variant in ADAPTER_VARIANTS else "lora"
    targets = names[0] if isinstance(written, str) else tuple(names)
    adaptation = adaptation_of(shape, AdapterSetting(targets=targets, variant=counted))
    return find_linears(shape, adaptation), find_fused_adapters(adaptation, rank)


def find_linears(shape: ModelShape, adaptation: Adaptation) -> tuple[Linear, ...]:
    """Return the linear layers that PEFT adapts, with how many of each."""
    counts: Counter[tuple[str, int, int]] = Counter()
    for match in adaptation.matches:
        counts[match.group.path, match.group.d_in, match.group.d_out] += len(match.names)
    found = ((linear, counts[linear.name, linear.d_in, linear.d_out]) for linear in shape.linears)
    return tuple(replace(linear, count=count) for linear, count in found if count)


def read_adapter(record: Record) -> tuple[Record, dict[str, Any]]:
    """Return a record's adapter, and apart from it PEFT's fields that leave modules out or change ranks."""
    given = record if record.get("lora") is None else record["lora"]
    if not isinstance(given, Mapping):
        return adapter_of(record), {}
    narrowing = {name: given[name] for name in NARROWING if is_set(given.get(name))}
    rest = {name: value for name, value in given.items() if name not in narrowing}
    return adapter_of(rest if given is record else {**record, "lora": rest}), narrowing


def _read_narrowed(
    shape: ModelShape, adapter: Record, narrowing: Record, targets: Any, variant: str
) -> AdapterSetting:
    if isinstance(targets, list | tuple):
        parts = [[r for r in MLP_ROLES if shape.has(r)] if name == "mlp" else [name] for name in targets]
        targets = [name for part in parts for name in part]
    fields = {"targets": targets or list(shape.default_targets), **narrowing}
    return read_setting({**fields, "variant": "lora" if variant == "lora-fa" else variant}, targets="targets")


def _refuse_unplaced(shape: ModelShape, adapted: tuple[Linear, ...]) -> None:
    """Raise UnsupportedCase on an adapted matrix of which it isn't known where in its layer it stands."""
    for linear in adapted:
        if linear.role == "other" and "*" in linear.name and linear.suffix != "shared_expert_gate":
            raise UnsupportedCase(
                f"where {linear.path_in_layer} stands in a layer of {shape.model_type} isn't known"
            )


def find_by_layer(shape: ModelShape, adaptation: Adaptation, rank: int) -> tuple[LayerAdapter, ...]:
    """List each adapted matrix with its layers and rank; nothing where all layers have the same ones."""
    linears = {(linear.name, linear.d_in, linear.d_out): linear for linear in shape.linears}
    found = []
    for match in adaptation.matches:
        linear = linears.get((match.group.path, match.group.d_in, match.group.d_out))
        numbers = [LAYER_NUMBER.match(name) for name in match.names]
        if linear is None or not all(numbers):
            raise UnsupportedCase(f"an adapter on {match.group.path} in some places and not in others")
        layers = tuple(int(number[1]) for number in numbers if number)
        found.append(LayerAdapter(linear=linear, layers=layers, rank=match.own_rank or rank))
    alike = all(len(one.layers) == one.linear.count and one.rank == rank for one in found)
    return () if alike else tuple(found)


def has_single_experts(record: Record) -> bool:
    """Return whether a record's experts are linear layers: before transformers 5, and with Unsloth."""
    text = str(record.get("framework") or "").lower()
    return "unsloth" in text or EARLIER.search(text) is not None


def _names_head(written: Any) -> bool:
    names = [written] if isinstance(written, str) else written or []
    return any(name in ("head", "lm_head") for name in names)


def as_stored(shape: ModelShape, *, separate: bool, single_experts: bool = False) -> ModelShape:
    """Return the model with as many key heads as its matrices show; `single_experts` gives each expert three
    matrices, and `separate` q, k, v and gate, up one each, as litgpt and torchtune store them.

    Raises UnsupportedCase on an unknown family.
    """
    if find_family(shape) is None:
        stranger = find_stranger(shape)
        has = f": they hold {stranger}" if stranger and shape.model_type else ""
        raise UnsupportedCase(
            f"what the layers of {shape.model_type or 'this layout'} save can't be derived from its "
            f"matrices{has}"
        )
    shape = replace(shape, kv_heads=_key_heads(shape))
    if single_experts or separate:
        shape = with_single_experts(shape)
    experts_in(shape)  # raises where they are built in another way
    if not separate:
        return shape
    apart = [part for linear in shape.linears for part in _separate_fused(linear, shape)]
    return replace(shape, linears=tuple(apart))


def without_unquantized(shape: ModelShape) -> ModelShape:
    """Count poolers and classifiers, which no quantization touches, among the other parameters."""
    whole = {group.path for group in shape.modules.linears if group.stays_16_bit}
    kept = tuple(linear for linear in shape.linears if linear.name not in whole)
    moved = shape.linear_parameters - sum(linear.parameters for linear in kept)
    return replace(shape, linears=kept, other_parameters=shape.other_parameters + moved)


def _key_heads(shape: ModelShape) -> int:
    for linear in shape.linears:
        if linear.role == "k":
            return max(1, linear.d_out // shape.head_dim)
        if linear.role == "qkv":
            return max(1, (linear.d_out // shape.head_dim - shape.heads) // 2)
    return shape.kv_heads


def _separate_fused(linear: Linear, shape: ModelShape) -> list[Linear]:
    if linear.role == "qkv":
        a, kv = shape.heads * shape.head_dim, shape.kv_heads * shape.head_dim
        return [_build_part(linear, "q", a), _build_part(linear, "k", kv), _build_part(linear, "v", kv)]
    if linear.role == "gate_up":
        half = linear.d_out // 2
        return [_build_part(linear, "gate", half), _build_part(linear, "up", half)]
    return [linear]


def _build_part(linear: Linear, role: Role, d_out: int) -> Linear:
    name = f"{linear.name.rpartition('.')[0]}.{role}_proj"
    return replace(linear, role=role, name=name, d_out=d_out)
