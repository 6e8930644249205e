"""A model's module tree as PEFT walks it: names, sizes and tied weights, without torch.

Modules that differ only in layer numbers are one group, so 126 layers take the space of one.
"""

import itertools
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from typing import Any, Literal

ModuleKind = Literal["linear", "conv1d", "embedding", "convolution", "unknown-layer", "container", "other"]
"""`conv1d` is transformers' transposed linear layer; `unknown-layer` is adapted by PEFT but not counted."""

Names = str | tuple[str, ...]
"""Target modules as PEFT takes them: a regular expression, or the last parts of module names."""


@dataclass(frozen=True, kw_only=True)
class ModuleGroup:
    """Equal modules in different layers. Sizes are those of one module, without the modules inside it."""

    path: str
    """The path with `*` for each number: `model.layers.*.mlp.experts.*.w1`."""

    numbers: tuple[tuple[int, ...], ...] = ()
    """The numbers that each `*` takes; every combination occurs."""

    kind: ModuleKind = "other"
    d_in: int = 0
    d_out: int = 0
    own: int = 0
    """Parameters that no earlier module holds."""

    bias: int = 0
    """How many of its parameters are a bias."""

    bias_is_tied: bool = False
    """Whether the bias belongs to an earlier module."""

    tied: tuple[tuple[str, int], ...] = ()
    """Parameters tied to an earlier module: that module's path, and how many."""

    tensors: tuple[tuple[str, tuple[int, ...]], ...] = ()
    """Names and shapes of parameters that are not a layer's weight, such as fused experts."""

    kernel: int = 1
    """Weights per input and output channel of a convolution."""

    is_head: bool = False
    """Whether the layer makes the logits."""

    stays_16_bit: bool = False
    """Whether bitsandbytes leaves it unquantized: the head, or in the last module of the model."""

    is_alias: bool = False
    """Whether it is the same module object under a second name."""

    @property
    def count(self) -> int:
        """The number of modules in the group."""
        return math.prod(map(len, self.numbers))

    @property
    def suffix(self) -> str:
        """The last part of the path; `*` where it is a number."""
        return self.path.rsplit(".", 1)[-1]

    @property
    def is_linear(self) -> bool:
        """Whether `all-linear` and quantization include it."""
        return self.kind in ("linear", "conv1d")

    @cached_property
    def names(self) -> tuple[str, ...]:
        """The full name of each module."""
        parts = self.path.split("*")
        return tuple(
            "".join(itertools.chain.from_iterable(zip(parts, (*map(str, chosen), ""), strict=True)))
            for chosen in itertools.product(*self.numbers)
        )


def find_path_in_layer(path: str) -> str:
    """Return the path inside a layer, which distinguishes `attn.c_proj` from `mlp.c_proj`."""
    return path.rsplit("*.", 1)[-1]


@dataclass(frozen=True, kw_only=True)
class ModuleTree:
    """A model's modules in PEFT's order, and PEFT's defaults for its type."""

    groups: tuple[ModuleGroup, ...]
    defaults: Mapping[str, Names] = field(default_factory=dict)
    """PEFT's own targets by variant, and under `ia3-feedforward` its feed-forward modules."""

    renamed: Mapping[str, str] = field(default_factory=dict)
    """Linear layers of older releases that are now fused parameters: `w1` -> `gate_up_proj`."""

    has_output_head: bool = False
    """Whether the model has output embeddings, which `all-linear` leaves out."""

    refused: tuple[str, ...] = ()
    """Layers on which PEFT refuses LoRA and AdaLoRA, because the model's fused code bypasses them (Mamba)."""

    # A cache finds a tree by identity, which is fast, and the catalogue keeps its trees alive.
    __hash__ = object.__hash__

    @cached_property
    def base_parameters(self) -> int:
        """All parameters, tied ones counted once."""
        return sum(group.own * group.count for group in self.groups)

    @cached_property
    def without_aliases(self) -> tuple[ModuleGroup, ...]:
        """All groups but those of second names, so each module occurs once."""
        return tuple(group for group in self.groups if not group.is_alias)

    @property
    def linears(self) -> tuple[ModuleGroup, ...]:
        """Linear layers without the output head."""
        return tuple(group for group in self.groups if group.is_linear and not group.is_head)

    @cached_property
    def linear_names(self) -> tuple[str, ...]:
        """The short names of its linear layers without heads, as `target_modules` lists them."""
        return tuple(dict.fromkeys(g.suffix for g in self.linears if g.suffix != "*" and not g.stays_16_bit))

    @cached_property
    def head_names(self) -> tuple[str, ...]:
        """The short names of its heads' linear layers, which few list among the targets."""
        heads = (g for g in self.groups if g.is_linear and (g.is_head or g.stays_16_bit) and not g.is_alias)
        return tuple(dict.fromkeys(g.suffix for g in heads if g.suffix not in ("*", *self.linear_names)))

    @cached_property
    def quantized_parameters(self) -> int:
        """Weights that a 4-bit base packs, without their biases."""
        return sum(group.d_in * group.d_out * group.count for group in self.linears if not group.stays_16_bit)

    @cached_property
    def quantized_biases(self) -> int:
        """Biases of the layers that a quantized base replaces."""
        return sum(group.bias * group.count for group in self.linears if not group.stays_16_bit)

    @cached_property
    def quantized_heads(self) -> int:
        """Weights of the heads that a 4-bit base of other versions packs too, if the head has a bias.

        transformers 5.24 leaves out the layer whose name is that of the model's last parameter. No layer has
        the name `classifier.bias`, so a head with a bias is packed (its get_keys_to_not_convert).
        """
        heads = [group for group in self.linears if group.stays_16_bit]
        has_bias = any(group.bias for group in heads)
        return sum(group.d_in * group.d_out * group.count for group in heads) if has_bias else 0

    def to_lines(self) -> Iterator[str]:
        """Yield one JSON object per group, without fields at their default."""
        for group in self.groups:
            usual = {item.name: item.default for item in fields(ModuleGroup)}
            yield json.dumps(
                {
                    name: _compress_runs(value) if name == "numbers" else value
                    for name, value in asdict(group).items()
                    if value != usual[name]
                }
            )


def parse_tree(values: Mapping[str, Any]) -> ModuleTree:
    """Parse the tree in a shape's JSON."""
    return ModuleTree(
        groups=tuple(_build_group(each) for each in values["groups"]),
        defaults={
            variant: names if isinstance(names, str) else tuple(names)
            for variant, names in values["defaults"].items()
        },
        renamed=dict(values["renamed"]),
        has_output_head=values["has_output_head"],
        refused=tuple(values.get("refused", ())),
    )


def _build_group(values: Mapping[str, Any]) -> ModuleGroup:
    read = dict(values)
    read["numbers"] = tuple(_expand_runs(each) for each in values.get("numbers", ()))
    read["tied"] = tuple((path, size) for path, size in values.get("tied", ()))
    read["tensors"] = tuple((name, tuple(shape)) for name, shape in values.get("tensors", ()))
    return ModuleGroup(**read)


def _compress_runs(numbers: tuple[tuple[int, ...], ...]) -> list[list[int] | str]:
    """Compress runs of numbers to `0-31`."""
    return [
        f"{each[0]}-{each[-1]}" if each == tuple(range(each[0], each[-1] + 1)) else list(each)
        for each in numbers
    ]


def _expand_runs(written: str | list[int]) -> tuple[int, ...]:
    if isinstance(written, str):
        first, _, last = written.partition("-")
        return tuple(range(int(first), int(last) + 1))
    return tuple(written)
