"""Reads a built model's modules into a `ModuleTree`: once, on the meta device, for any architecture."""

import itertools
import math
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from peft.utils import constants
from peft.utils.transformers_weight_conversion import (
    _MODEL_TO_CONVERSION_PATTERN,
    _MOE_TARGET_MODULE_MAPPING,
)
from torch import nn
from transformers import PreTrainedModel
from transformers.conversion_mapping import get_checkpoint_conversion_mapping
from transformers.pytorch_utils import Conv1D

from lora_lab.parameters.module_tree import ModuleGroup, ModuleKind, ModuleTree, Names

NUMBER = re.compile(r"(?<=\.)\d+(?=\.|$)")
CONTAINERS = (nn.ModuleList, nn.ModuleDict, nn.ParameterList, nn.ParameterDict)
CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
PEFT_DEFAULTS = {
    "lora": constants.TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING,
    "vera": constants.TRANSFORMERS_MODELS_TO_VERA_TARGET_MODULES_MAPPING,
    "adalora": constants.TRANSFORMERS_MODELS_TO_ADALORA_TARGET_MODULES_MAPPING,
    "ia3": constants.TRANSFORMERS_MODELS_TO_IA3_TARGET_MODULES_MAPPING,
    "ia3-feedforward": constants.TRANSFORMERS_MODELS_TO_IA3_FEEDFORWARD_MODULES_MAPPING,
}

MAMBA_TYPES = frozenset({"falcon_h1", "mamba", "mamba2", "falcon_mamba", "nemotron_h"})
"""Source: peft/tuners/tuners_utils.py, _check_lora_target_modules_mamba."""


def read_model_tree(model: PreTrainedModel, *, own_head: bool) -> ModuleTree:
    """Read the modules of a model that is built on any device and not quantized.

    `own_head` counts an output head that transformers ties although the released weights have an untied one.
    """
    model_type = model.config.model_type
    return ModuleTree(
        groups=tuple(_group_modules(_list_modules(model, own_head=own_head))),
        defaults=_read_defaults(model_type),
        renamed=_find_renamed(model_type),
        has_output_head=model.get_output_embeddings() is not None,
        refused=("conv1d", "out_proj") if model_type in MAMBA_TYPES else (),
    )


def _read_defaults(model_type: str) -> dict[str, Names]:
    found = {variant: table.get(model_type) for variant, table in PEFT_DEFAULTS.items()}
    return {
        variant: names if isinstance(names, str) else tuple(names)
        for variant, names in found.items()
        if names is not None
    }


def _find_renamed(model_type: str) -> dict[str, str]:
    """Find renamed layers as PEFT's own conversion of older target names does."""
    if get_checkpoint_conversion_mapping(model_type) is None:
        return {}
    base = _MODEL_TO_CONVERSION_PATTERN.get(model_type)
    return dict(_MOE_TARGET_MODULE_MAPPING.get(base, {})) if base else {}


def _list_modules(model: PreTrainedModel, *, own_head: bool) -> Iterator[tuple[tuple[int, ...], ModuleGroup]]:
    """Yield the numbers in each module's name, and a group of this one module."""
    head = model.get_output_embeddings()
    unquantized = "" if head is not None else _find_unquantized(model)
    owners: dict[int, str] = {}
    seen: set[int] = set()
    for name, module in model.named_modules(remove_duplicate=False):
        if not name and not any(True for _ in module.parameters(recurse=False)):
            continue  # PEFT adapts nothing at the root; tensors there (wav2vec2's mask) only count
        numbers = tuple(int(number) for number in NUMBER.findall(f".{name}"))
        path = NUMBER.sub("*", f".{name}")[1:]
        group = replace(
            _read_sizes(path, module) if name else ModuleGroup(path=""),
            is_head=module is head,
            stays_16_bit=module is head or (bool(unquantized) and f"{name}.".startswith(f"{unquantized}.")),
            is_alias=id(module) in seen,
        )
        if not group.is_alias:
            seen.add(id(module))
            shared = not (own_head and module is head)
            group = replace(group, **_find_ownership(name, module, owners if shared else {}))
        yield numbers, group


def _find_unquantized(model: PreTrainedModel) -> str:
    """Find the head that transformers 4 leaves unquantized in a model without output embeddings: its last
    module; none in a bare encoder.

    Some types are built head first (XLM-RoBERTa in transformers 5), or have a dropout at the end.
    Source: transformers/quantizers/base.py, get_keys_to_not_convert.
    """
    if not hasattr(model, model.base_model_prefix):
        return ""
    heads = [
        name
        for name, module in model.named_children()
        if name != model.base_model_prefix and any(True for _ in module.parameters())
    ]
    return heads[-1] if heads else ""


def _read_sizes(path: str, module: nn.Module) -> ModuleGroup:
    kind, d_in, d_out, kernel = _find_kind(module)
    bias = getattr(module, "bias", None)
    tensors: tuple[tuple[str, tuple[int, ...]], ...] = ()
    if kind == "other":
        tensors = tuple(
            (name, tuple(each.shape))
            for name, each in module.named_parameters(recurse=False)
            if each.ndim in (2, 3)
        )
    return ModuleGroup(
        path=path,
        kind=kind,
        d_in=d_in,
        d_out=d_out,
        kernel=kernel,
        bias=bias.numel() if isinstance(bias, nn.Parameter) else 0,
        tensors=tensors,
    )


def _find_kind(module: nn.Module) -> tuple[ModuleKind, int, int, int]:
    if isinstance(module, Conv1D):  # stored transposed, (d_in, d_out)
        return "conv1d", module.weight.shape[0], module.weight.shape[1], 1
    if isinstance(module, nn.Linear):
        return "linear", module.in_features, module.out_features, 1
    if isinstance(module, nn.Embedding):
        return "embedding", module.num_embeddings, module.embedding_dim, 1
    if isinstance(module, CONVOLUTIONS) and module.groups == 1:
        kernel = math.prod(module.kernel_size)
        return "convolution", module.in_channels, module.out_channels, kernel
    if isinstance(module, (*CONVOLUTIONS, nn.MultiheadAttention)):
        return "unknown-layer", 0, 0, 1
    return ("container" if isinstance(module, CONTAINERS) else "other"), 0, 0, 1


def _find_ownership(name: str, module: nn.Module, owners: dict[int, str]) -> dict[str, Any]:
    own, tied, bias_is_tied = 0, [], False
    for local, parameter in module.named_parameters(recurse=False):
        owner = owners.setdefault(id(parameter), name)
        if owner == name:
            own += parameter.numel()
        else:
            tied.append((owner, parameter.numel()))
            bias_is_tied = bias_is_tied or local == "bias"
    return {"own": own, "tied": tuple(tied), "bias_is_tied": bias_is_tied}


def _group_modules(modules: Iterable[tuple[tuple[int, ...], ModuleGroup]]) -> Iterator[ModuleGroup]:
    """Yield groups in the order of their first module."""
    found: dict[ModuleGroup, list[tuple[int, ...]]] = {}
    for numbers, group in modules:
        found.setdefault(group, []).append(numbers)
    for group, members in found.items():
        for block in _split_blocks(members):
            yield replace(group, numbers=block)


def _split_blocks(members: list[tuple[int, ...]]) -> Iterator[tuple[tuple[int, ...], ...]]:
    """Yield members as full products of numbers, split by their first number where they aren't one."""
    axes = tuple(tuple(sorted(set(axis))) for axis in zip(*members, strict=True))
    if math.prod(len(axis) for axis in axes) == len(members):
        yield axes
        return
    for _, same in itertools.groupby(sorted(members), key=lambda numbers: numbers[0]):
        rest = list(same)
        for block in _split_blocks([numbers[1:] for numbers in rest]):
            yield ((rest[0][0],), *block)
