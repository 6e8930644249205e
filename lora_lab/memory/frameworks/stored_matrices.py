"""A model's matrices as a framework stores them: experts one by one, and q, k, v as one matrix or three."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lora_lab.memory.frameworks.experts import EARLIER, read_experts, with_single_experts
from lora_lab.memory.frameworks.families import find_family, find_unknown_part
from lora_lab.parameters.adapter_config import UnsupportedCase
from lora_lab.parameters.shapes import Linear, ModelShape, Role


def has_single_experts(record: Mapping[str, Any]) -> bool:
    """Return whether a record's experts are linear layers: before transformers 5, and with Unsloth."""
    text = str(record.get("framework") or "").lower()
    return "unsloth" in text or EARLIER.search(text) is not None


def as_stored(shape: ModelShape, *, separate: bool, single_experts: bool = False) -> ModelShape:
    """Return the model with as many key heads as its matrices show; `single_experts` gives each expert three
    matrices, and `separate` q, k, v and gate, up one each, as litgpt and torchtune store them.

    Raises UnsupportedCase on an unknown family.
    """
    if find_family(shape) is None:
        unknown = find_unknown_part(shape)
        has = f": they hold {unknown}" if unknown and shape.model_type else ""
        raise UnsupportedCase(
            f"what the layers of {shape.model_type or 'this layout'} save can't be derived from its "
            f"matrices{has}"
        )
    shape = replace(shape, kv_heads=_count_key_heads(shape))
    if single_experts or separate:
        shape = with_single_experts(shape)
    read_experts(shape)  # raises where they are built in another way
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


def _count_key_heads(shape: ModelShape) -> int:
    for linear in shape.linears:
        if linear.role == "k":
            return max(1, linear.d_out // shape.head_dim)
        if linear.role == "qkv":
            return max(1, (linear.d_out // shape.head_dim - shape.heads) // 2)
    return shape.kv_heads


def _separate_fused(linear: Linear, shape: ModelShape) -> list[Linear]:
    if linear.role == "qkv":
        query, key = shape.attention_width, shape.key_width
        return [_build_part(linear, "q", query), _build_part(linear, "k", key), _build_part(linear, "v", key)]
    if linear.role == "gate_up":
        half = linear.d_out // 2
        return [_build_part(linear, "gate", half), _build_part(linear, "up", half)]
    return [linear]


def _build_part(linear: Linear, role: Role, d_out: int) -> Linear:
    name = f"{linear.name.rpartition('.')[0]}.{role}_proj"
    return replace(linear, role=role, name=name, d_out=d_out)
