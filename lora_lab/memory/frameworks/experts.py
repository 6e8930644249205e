"""Mixtures of experts: what one layer's experts hold, how they are stored, and which adapters they get.

transformers 5 keeps a layer's experts in two tensors, gate_up_proj (E, 2f, h) and down_proj (E, h, f). Two
things follow from that. bitsandbytes replaces linear layers only, so a 4-bit base keeps its experts in full.
And PEFT's adapter on such a tensor adds B·A to all of it before the product, so each adapted layer holds a
second copy of its experts. Earlier releases had three linear layers an expert.
"""

import re
from dataclasses import dataclass, replace

from lora_lab.parameters.adapter_config import Adaptation, UnsupportedCase
from lora_lab.parameters.module_tree import ModuleGroup
from lora_lab.parameters.shapes import Linear, ModelShape, Role

GATE_UP, DOWN = "gate_up_proj", "down_proj"
ROUTERS = ("router", "gate")

EARLIER = re.compile(r"transformers[^0-9<]{0,4}(v?4\b|<=?\s*[45])")
"""A framework's text that names a release of transformers before its fifth."""


@dataclass(frozen=True, kw_only=True)
class Experts:
    count: int
    width: int
    """The intermediate width of one expert."""

    fused: bool = True
    """Whether they are two tensors; otherwise three linear layers each."""


@dataclass(frozen=True, kw_only=True)
class FusedAdapter:
    """An adapter on a fused tensor, or on a router's weight: A and B over all experts."""

    name: str
    a: int
    """Numbers of A for all experts of a layer."""

    b: int


def read_experts(shape: ModelShape) -> Experts | None:
    """Read the experts of a layer, None where the model has none.

    Raises UnsupportedCase where they are built in another way than transformers' own.
    """
    single = next((one for one in shape.linears if ".experts.*" in one.name and one.role == "up"), None)
    if single is not None:
        return Experts(count=single.count // shape.layers, width=single.d_out, fused=False)
    if not shape.fused_experts:
        return None
    group = _find_fused_group(shape)
    tensors = dict(group.tensors)
    down = tensors.get(DOWN, ())
    if group.count != shape.layers or GATE_UP not in tensors or len(down) != 3:
        raise UnsupportedCase(
            f"what the experts of {shape.model_type} save can't be derived: {GATE_UP} and "
            f"{DOWN} aren't in every layer"
        )
    width = next((size for size in down[1:] if size != shape.hidden), shape.hidden)
    return Experts(count=down[0], width=width)


def list_expert_tensors(shape: ModelShape) -> tuple[tuple[int, ...], ...]:
    """List the sizes of the tensors that hold a layer's experts."""
    return tuple(sizes for _, sizes in _find_fused_group(shape).tensors) if shape.fused_experts else ()


def _find_fused_group(shape: ModelShape) -> ModuleGroup:
    return max(shape.modules.groups, key=lambda group: any(len(sizes) == 3 for _, sizes in group.tensors))


def refuse_other_parameters(shape: ModelShape, adaptation: Adaptation) -> None:
    """Raise UnsupportedCase on an adapted parameter other than the experts and their router, in all layers
    and of the setting's rank: what other ones save isn't modelled.
    """
    for match in adaptation.matches:
        if not match.parameter:
            continue
        local = match.names[0].rpartition(".")[2]
        is_known = (local in (GATE_UP, DOWN) and len(match.parameter) == 3) or (
            local == "weight" and match.group.suffix in ROUTERS and bool(match.group.tensors)
        )
        if not is_known or not shape.fused_experts:
            raise UnsupportedCase(
                f"no memory is predicted for an adapter on {match.group.path}.{local}; the count of "
                "trainable parameters knows it"
            )
        if len(match.names) != shape.layers or match.own_rank is not None:
            raise UnsupportedCase(
                "no memory is predicted for experts with adapters in some layers, or of another rank; the "
                "count of trainable parameters knows them"
            )


def find_fused_adapters(adaptation: Adaptation, rank: int) -> tuple[FusedAdapter, ...]:
    """List the adapters on other tensors than linear layers: experts, and the router beside them."""
    found = []
    for match in adaptation.matches:
        if match.group.is_linear:
            continue
        numbers = match.each.slope * rank
        name = match.names[0].rsplit(".", 1)[-1]
        sizes = dict(match.group.tensors)[name]
        a = numbers * sizes[-1] // (sizes[-1] + sizes[-2])
        found.append(FusedAdapter(name=name, a=a, b=numbers - a))
    return tuple(found)


def with_single_experts(shape: ModelShape) -> ModelShape:
    """Return the model with three linear layers an expert, as before transformers 5 and in litgpt."""
    experts = read_experts(shape)
    if experts is None:
        return shape
    count = experts.count * shape.layers
    matrices = tuple(
        _build_single(role, shape.hidden, experts.width, count) for role in ("gate", "up", "down")
    )
    moved = sum(linear.parameters for linear in matrices)
    return replace(
        shape,
        linears=shape.linears + matrices,
        other_parameters=shape.other_parameters - moved,
        fused_experts=False,
    )


def _build_single(role: Role, hidden: int, width: int, count: int) -> Linear:
    d_in, d_out = (width, hidden) if role == "down" else (hidden, width)
    name = f"model.layers.*.mlp.experts.*.{role}_proj"
    return Linear(name=name, role=role, d_in=d_in, d_out=d_out, count=count)
