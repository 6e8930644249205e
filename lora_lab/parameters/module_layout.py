"""A model described by its linear layers alone, for implementations that no configuration here builds.

Older or remote code and timm name and fuse their layers in their own way. A layout lists what one layer of
such a model holds: `{"layers": 12, "modules": {"attn.qkv": [768, 2304], "attn.proj": [768, 768]}}`.
"""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from lora_lab.parameters.json_fields import LARGEST_SIZE, LARGEST_WHOLE, read_whole
from lora_lab.parameters.module_tree import ModuleGroup, ModuleTree
from lora_lab.parameters.shapes import Linear, ModelShape
from study.base.errors import LearnerError


def is_layout(value: object) -> bool:
    """Return whether a record's `module_layout` lists modules; a text names a release instead."""
    return isinstance(value, Mapping)


def build_layout_shape(record: Mapping[str, Any], built: ModelShape | None) -> ModelShape:
    """Build the shape of a record's `module_layout` with `base_total` parameters.

    `built` is what the record's configuration builds, if it has one: it gives PEFT's defaults, and the total
    where none is stated. Raises LearnerError on a layout without layers, modules or total.
    """
    layout = record["module_layout"]
    layers = read_whole(layout, "layers", None)
    modules = layout.get("modules")
    if layers is None or not isinstance(modules, Mapping) or not modules:
        raise LearnerError(
            "module_layout needs the number of layers and the modules of one.",
            do_next='Write it as {"layers": 12, "modules": {"attn.qkv": [768, 2304]}}.',
        )
    linears = tuple(_build_linear(str(name), size, layers) for name, size in modules.items())
    in_linears = sum(linear.parameters for linear in linears)
    total = read_whole(record, "base_total", built.total_parameters if built else None, most=LARGEST_SIZE)
    if total is None:
        raise LearnerError(
            "A layout alone does not say how large the model is.", do_next="Add its parameters as base_total."
        )
    if total < in_linears:
        raise LearnerError(
            f"The layout's modules alone have {in_linears:,} weights, more than base_total.",
            do_next="Correct one of them.",
        )
    groups = tuple(linear.as_group() for linear in linears)
    rest = ModuleGroup(path="rest", own=total - in_linears)
    tree = ModuleTree(groups=(*groups, rest), defaults=built.modules.defaults if built else {})
    nothing = ModelShape(
        name=str(record.get("name") or "this model"), model_type="", hub_id="", licence="", linears=(),
        embedding_parameters=0, head_parameters=0, other_parameters=0, layers=layers, hidden=linears[0].d_in,
        intermediate=0, heads=0, kv_heads=0, head_dim=0, vocab=0,
    )  # fmt: skip
    return replace(
        built or nothing,
        linears=linears,
        embedding_parameters=0,
        head_parameters=0,
        other_parameters=total - in_linears,
        layers=layers,
        tree=tree,
    )


def _build_linear(name: str, size: object, layers: int) -> Linear:
    if not isinstance(size, list | tuple) or len(size) != 2:
        raise LearnerError(
            f"{name} must be [d_in, d_out], got {size!r}.",
            do_next="Write two whole numbers, such as [576, 576].",
        )
    sizes = {"d_in": size[0], "d_out": size[1]}
    d_in, d_out = (read_whole(sizes, field, None, most=LARGEST_WHOLE) for field in sizes)
    return Linear(name=f"layers.*.{name}", role="other", d_in=d_in, d_out=d_out, count=layers)
