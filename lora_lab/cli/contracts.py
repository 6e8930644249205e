"""The `count` and `memory` contracts of the command line: one JSON object in, one out.

A case that can't be computed is answered with `{"unsupported": true, "why": ...}`, never with a guess.
"""

import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Literal, cast

from lora_lab.data.batches import RowSize
from lora_lab.engine.shape_reader import RemoteCode, ShapeReader
from lora_lab.memory import ledger as memory
from lora_lab.memory.frameworks import contract
from lora_lab.memory.frameworks.adapted_matrices import (
    find_experts,
    names_head,
    select_present,
    spell_targets,
)
from lora_lab.memory.frameworks.families import find_family, is_listed
from lora_lab.memory.frameworks.forecast import forecast_step
from lora_lab.memory.frameworks.towers import has_towers
from lora_lab.memory.ledger import Ledger
from lora_lab.parameters.adapter_config import KIND_OF_TASK, LORA_RANK, UnsupportedCase
from lora_lab.parameters.counts import count_adapter
from lora_lab.parameters.json_fields import (
    find_adapter_fields,
    list_narrowing_fields,
    parse_adapter_setting,
    parse_choice,
    read_flag,
    read_rank,
    read_whole,
)
from lora_lab.parameters.module_layout import build_layout_shape, is_layout
from lora_lab.parameters.shapes import Linear, ModelShape
from lora_lab.parameters.target_syntax import as_targets
from lora_lab.spec import HQQ_BITS, OPTIMIZERS, VARIANTS, Bits, Variant
from study.base.errors import LearnerError, first_line

Record = Mapping[str, Any]
Answer = dict[str, Any]

FUSED_EXPERTS = (
    "experts are two tensors a layer, as in transformers 5, which no quantization packs; before it they were "
    "linear layers: name the framework as transformers 4"
)
SINGLE_EXPERTS = "experts are linear layers, as before transformers 5, and quantized as such"
CONTRACT_NAMES = {"constants": "quantization"}

COUNT_FLAGS = {"rank": (("r",), '"r": 8')}
MEMORY_FLAGS = {
    "rank": (("r", "lora"), '"lora": {"r": 8}'),
    "batch": (("micro_batch",), '"micro_batch": 4'),
    "seq_len_tokens": (("seq_len",), '"seq_len": 128'),
    "bits": (("quant", "base_dtype"), '"quant": "nf4", or "base_dtype": "bf16"'),
    "checkpointing": (("gradient_checkpointing",), '"gradient_checkpointing": true'),
}
"""Flags of the command line that a line of JSON does not have, with its own fields and an example."""


def answer_record(
    record: Any, compute: Callable[[Record, ShapeReader], Answer], reader: ShapeReader
) -> Answer:
    """Answer one line, with its `id`; bad input and unsupported cases are answers too."""
    if not isinstance(record, dict):
        return {"error": "A line must hold one JSON object."}
    named = {"id": record["id"]} if "id" in record else {}
    try:
        return named | compute(record, reader)
    except (UnsupportedCase, RemoteCode) as case:
        return named | {"unsupported": True, "why": str(case)}
    except LearnerError as error:
        return named | {"error": str(error)}
    except Exception as error:
        # The outermost frame of a line: the lines after it are answered, whatever happened to this one.
        traceback.print_exc()
        said = f"{type(error).__name__}: {first_line(error)}"
        return named | {"error": f"The app failed at this line ({said}). Please report it."}


def count_answer(record: Record, reader: ShapeReader) -> Answer:
    """Answer with trainable, total and percent, as PEFT's print_trainable_parameters has them."""
    _refuse_flags(record, COUNT_FLAGS)
    setting = parse_adapter_setting(record, targets="targets")
    shape = find_record_shape(record, reader)
    rank = read_rank(record, setting.default_rank)
    found = count_adapter(shape, setting, rank=rank)
    return {"trainable": found.trainable, "total": found.total, "percent": found.percent}


def answer_memory(record: Record, reader: ShapeReader) -> Answer:
    """Answer with peak bytes and components, for the lab's own loop or the framework of the record."""
    _refuse_flags(record, MEMORY_FLAGS)
    if isinstance(adapter := record.get("lora"), dict):
        _refuse_flags(adapter, COUNT_FLAGS)
    for field in ("gradient_checkpointing", "double_quant"):
        read_flag(record, field)
    parse_choice(record, "device", contract.DEVICES, default="cpu")
    framework = str(record.get("framework") or "").lower()
    asks_for_the_lab = "lora_lab" in framework or "lora lab" in framework
    refusal = _find_refusal(record)
    if asks_for_the_lab and refusal:
        raise UnsupportedCase(refusal)
    shape = find_record_shape(record, reader)
    is_modelled = shape.model_type in memory.MODELLED_TYPES
    if asks_for_the_lab and find_family(shape) is None:
        raise UnsupportedCase(f"the lab's own loop trains decoders, and {shape.model_type} is another model")
    # Without a framework and a GPU, the lab's own loop is meant wherever it can run the setting.
    may_run = not framework and record.get("device") != "cuda" and refusal is None and is_modelled
    if asks_for_the_lab or may_run:
        basis = {} if is_modelled else {"basis": f"llama's terms with the sizes of {shape.model_type}"}
        # Without the lab's name, a record of where or how it was measured is of a run with PyTorch's graph.
        measured = not asks_for_the_lab and any(record.get(field) for field in ("device", "measure"))
        return _build_ledger_answer(_estimate_own_ledger(record, shape, graph=measured)) | basis
    setting = contract.parse_setting(record, shape)
    known = is_listed(shape) or has_towers(shape, setting.traits) or setting.phase != "train"
    how = "" if known else f"the layer of {shape.model_type} as its matrices and norms show it"
    if shape.fused_experts and setting.quantized:
        how = FUSED_EXPERTS if setting.shape.fused_experts else SINGLE_EXPERTS
    return _build_ledger_answer(forecast_step(setting)) | ({"basis": how} if how else {})


def choose_usual_framework(record: Record, reader: ShapeReader) -> str:
    """Return the framework that flags without one ask about, the same for every model: the lab's own loop
    where it trains such a model in such a setting, else the user's own loop with peft.

    A JSON line keeps its older default: the lab's own loop only for the types that it counts to the byte.
    """
    if record.get("device") == "cuda" or _find_refusal(record):
        return "peft"
    return "lora_lab" if find_family(find_record_shape(record, reader)) else "peft"


def _refuse_flags(record: Record, flags: Mapping[str, tuple[Sequence[str], str]]) -> None:
    """Refuse a flag's name where a field of the contract is meant: the answer would be for the default."""
    for flag, (fields, example) in flags.items():
        if record.get(flag) is not None and all(record.get(field) is None for field in fields):
            raise LearnerError(f"{flag} is a flag, not a field of a line.", do_next=f"Write {example}.")


def _build_ledger_answer(ledger: Ledger) -> Answer:
    components = {CONTRACT_NAMES.get(name, name): value for name, value in asdict(ledger).items()}
    return {"bytes": ledger.total_bytes, "components": components}


def _estimate_own_ledger(record: Record, shape: ModelShape, *, graph: bool) -> Ledger:
    """Estimate the ledger of the lab's own run, or with `graph` of its loop with PyTorch's graph."""
    adapter = find_adapter_fields(record)
    rank = read_rank(adapter, LORA_RANK)
    batch, seq_len = read_whole(record, "micro_batch", 1), read_whole(record, "seq_len", 128)
    base: StoredType = "fp32" if record.get("base_dtype") == "fp32" else "bf16"
    return memory.predict_adapted(
        shape,
        _select_own(shape, adapter.get("targets")),
        bits=_read_bits(record, base),
        rank=rank,
        row=RowSize(
            lengths=(seq_len,) * batch,
            answer_tokens=batch * seq_len,
            on_gpu=record.get("device") == "cuda",
        ),
        compute=base,
        variant=_read_variant(record),
        optimizer=record.get("optimizer") or "adamw",
        checkpointing=bool(record.get("gradient_checkpointing")),
        graph=graph,
    )


def _select_own(shape: ModelShape, targets: str | list[str] | None) -> tuple[Linear, ...]:
    """Select the matrices that the lab's own loop adapts."""
    if not targets:  # PEFT's default; an empty list is an error
        return shape.select(targets)
    parsed = as_targets(targets)
    if names_head(shape, parsed):
        raise UnsupportedCase("an adapter on the output head is not counted yet")
    names = spell_targets(shape, parsed)
    if find_experts(shape, names):
        raise UnsupportedCase("the lab's own loop has no adapters on experts that are one tensor; peft has")
    return select_present(shape, names)


def _read_variant(record: Record) -> Variant:
    named = find_adapter_fields(record).get("variant") or record.get("method")
    return named if named in VARIANTS else "lora"


StoredType = Literal["fp32", "bf16"]

MODELLED: dict[str, tuple[Any, ...]] = {
    "method": (None, "lora", "qlora", "rslora", "dora"),
    "base_dtype": (None, "fp32", "bf16"),
    "quant": (None, "nf4", "fp4", "int8", *HQQ_BITS),
    "adapter_dtype": (None, "fp32"),
    "gradient_checkpointing": (None, False, True),
    "optimizer": (None, *OPTIMIZERS),
    "attention": (None, "sdpa", "sdpa/flash", "flash"),
    "measure": (None, "max allocated", "live storage"),
    "loss": (None, "full logits", "answer positions"),
    "phase": (None, "train"),
    "gpus": (None, 1),
}
"""The values that the lab's own loop supports."""


def _find_refusal(record: Record) -> str | None:
    """Return why the lab's own loop does not support a record; None if it does."""
    if record.get("kind") not in (None, "causal"):
        return f"the lab's own loop trains causal models, and this is a {record['kind']} one"
    for field, allowed in MODELLED.items():
        if record.get(field) not in allowed:
            return f"the lab's own loop has no {field} {record[field]!r}"
    adapter = find_adapter_fields(record)
    if narrowing := list_narrowing_fields(adapter):
        return f"the lab's own loop has no {' or '.join(narrowing)}"
    variant = adapter.get("variant")
    if variant not in (None, *VARIANTS):
        return f"the lab's own loop has no variant {variant!r}"
    if record.get("quant") == "fp4" and record.get("double_quant"):
        return "the lab's own loop has no fp4 with double quantization"
    return None


def _read_bits(record: Record, base: StoredType) -> Bits:
    quant = record.get("quant")
    if quant is None and record.get("method") == "qlora":
        quant = "nf4"
    if quant == "nf4":
        return "nf4-dq" if record.get("double_quant") else "nf4"
    if quant == "fp4":
        return "fp4"
    return base if quant is None else cast(Bits, quant)


def find_record_shape(record: Record, reader: ShapeReader) -> ModelShape:
    """Find the shape that a record names: by its config if it has one, otherwise from the catalogue.

    A task that trains its own head needs a model with that head.
    """
    if is_layout(record.get("module_layout")):
        built = reader.read(record["config"]) if isinstance(record.get("config"), dict) else None
        return build_layout_shape(record, built)
    config, name = record.get("config"), record.get("model")
    kind = record.get("kind") or KIND_OF_TASK.get(str(record.get("task_type")))
    if isinstance(config, dict):
        return reader.read(config, kind=kind)
    if not isinstance(name, str):
        raise LearnerError("A record needs a model or a config.", do_next='Add "model": "smollm2-135m".')
    return reader.find(name, kind=kind)
