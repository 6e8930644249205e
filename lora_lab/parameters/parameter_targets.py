"""Adapters on parameters instead of layers: PEFT 0.21's `target_parameters`, and fused experts.

A parameter W of two axes gets A and B as a layer does. One of three axes holds the matrices of E experts, and
A (rank x E, d_in) and B (d_out, rank x E) hold all of theirs:

    rank x E x (d_in + d_out)

Sources: peft/tuners/lora/layer.py, ParamWrapper; peft/tuners/tuners_utils.py, _inject_parameters.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from lora_lab.parameters.adapter_config import (
    AdapterSetting,
    LinearCount,
    Match,
    PeftRefusal,
    UnsupportedCase,
)
from lora_lab.parameters.module_tree import ModuleGroup, ModuleTree, find_path_in_layer
from lora_lab.parameters.name_selection import find_own_ranks, list_outer, select_names, split_by_rank

GATE_UP = "gate_up_proj"
CONVERTED_RANK = rf".*\.{GATE_UP}"
"""The key that PEFT adds to `rank_pattern` where gate and up both are named: twice the rank."""

TWICE = 0
"""A rank of their own that stands for twice the setting's rank; PEFT takes none below 1."""

WEIGHT = "weight"


@dataclass(frozen=True, kw_only=True)
class ParameterTargets:
    """The parameters that a setting names, or that the conversion of older names means."""

    tree: ModuleTree
    setting: AdapterSetting
    converted: tuple[str, ...]
    """Names that PEFT's conversion puts in the place of an expert's older ones."""

    doubled: bool
    """Whether gate and up are both meant, which doubles the rank of the tensor that holds them."""

    def find_matches(self, layers: Sequence[Match]) -> tuple[Match, ...]:
        """Find adapters on parameters, one kind after another. `layers` are the adapted layers.

        Raises PeftRefusal where PEFT raises; UnsupportedCase where a parameter's axes aren't known.
        """
        found = tuple(self._find_each(layers)) if self._wanted else ()
        wrapped = {name for match in found if match.parameter for name in match.modules}
        for name in wrapped:
            outer = next((each for each in list_outer(name) if each in wrapped), None)
            if outer is not None:
                raise PeftRefusal(
                    f"PEFT adapts no parameter of {name} beside one of {outer}, which it is inside.",
                    do_next="Choose one of them.",
                )
        return found

    def _find_each(self, layers: Sequence[Match]) -> Iterator[Match]:
        for group in self.tree.without_aliases:
            for local, shape in _list_parameters(group):
                names = self._select(group, local)
                if names:
                    self._check(group, local, names, layers)
                    yield from self._split(group, local, names, shape)
            self._refuse_vectors(group)

    def find_unmatched(self, matches: Iterable[Match]) -> tuple[str, ...]:
        """Return the setting's names that mean no parameter, which PEFT passes over with a warning.

        Raises UnsupportedCase where a module has parameters whose names aren't known here.
        """
        found = _list_ends(name for match in matches if match.parameter for name in match.names)
        unmatched = tuple(wanted for wanted in self.setting.parameters if wanted not in found)
        if unmatched:
            self._refuse_unknown(unmatched)
        return unmatched

    @property
    def _wanted(self) -> tuple[str, ...]:
        return (*self.setting.parameters, *self.converted)

    @cached_property
    def _parents(self) -> frozenset[str]:
        """The paths of all modules that have others inside them."""
        return frozenset(group.path.rpartition(".")[0] for group in self.tree.groups)

    def _select(self, group: ModuleGroup, local: str) -> tuple[str, ...]:
        """Select the names of one parameter in all modules of a group."""
        wanted = tuple(name for name in self._wanted if name.rpartition(".")[2] == local)
        return tuple(select_names(wanted, [f"{name}.{local}" for name in group.names])) if wanted else ()

    def _check(self, group: ModuleGroup, local: str, names: tuple[str, ...], layers: Sequence[Match]) -> None:
        """Raise PeftRefusal where PEFT adapts no parameter, or none beside these layers."""
        setting, path = self.setting, f"{group.path}.{local}"
        if setting.variant == "dora":
            kind = "parameter" if setting.parameters else "fused tensor"
            raise PeftRefusal(
                f"PEFT has no DoRA for the {kind} {path}.", do_next="Use LoRA, or other targets."
            )
        for has_field, field in ((setting.has_dropout, "lora_dropout"), (setting.lora_bias, "lora_bias")):
            if has_field:
                raise PeftRefusal(f"PEFT has no {field} for the parameter {path}.", do_next="Leave it out.")
        # PEFT sets fan_in_fan_out by each layer that it adapts, and refuses it here: the last one decides.
        if [match.group.kind for match in layers if match.group.is_linear][-1:] == ["conv1d"]:
            raise PeftRefusal(
                f"PEFT has no adapter on the parameter {path} beside one on a Conv1D layer.",
                do_next="Name parameters alone, with target_modules: [].",
            )
        adapted = {name for match in layers for name in match.names}
        inside = next((name for name in names if name.rpartition(".")[0] in adapted), None)
        if inside is not None:
            raise PeftRefusal(
                f"{inside} is the parameter of a layer that is itself among the targets.",
                do_next="Leave one of them out; target_modules: [] takes no layers.",
            )
        if group.suffix in self.tree.refused:
            raise PeftRefusal(
                f"PEFT refuses {group.suffix} here: fused code reads its weight past any adapter.",
                do_next="Name other parameters.",
            )

    def _split(
        self, group: ModuleGroup, local: str, names: tuple[str, ...], shape: tuple[int, ...]
    ) -> Iterator[Match]:
        """Yield the parameters of one rank after another.

        The key that PEFT's conversion adds stands last in the rank pattern; its value replaces one of the
        same key. Source: peft/utils/transformers_weight_conversion.py, _convert_peft_config_moe.
        """
        patterns = dict(self.setting.rank_pattern)
        is_doubled = self.doubled and local == GATE_UP
        if self.doubled and patterns:
            patterns[CONVERTED_RANK] = TWICE
        own_ranks = find_own_ranks(names, patterns.items())
        usual = TWICE if is_doubled else None
        twice = [name for name in names if own_ranks.get(name, usual) == TWICE]
        once = [name for name in names if own_ranks.get(name, usual) != TWICE]
        experts = shape[0] if len(shape) == 3 else 1
        each = LinearCount(experts * (shape[-1] + shape[-2]))
        sizes = shape if self.setting.parameters else ()
        yield from split_by_rank(group, once, each, own_ranks, parameter=sizes)
        yield from split_by_rank(group, twice, each * 2, {}, parameter=sizes)

    def _refuse_vectors(self, group: ModuleGroup) -> None:
        """Raise where one of the names means a parameter of one axis, or one whose axes aren't known."""
        if not self.setting.parameters:
            return
        for local in self._list_vectors(group):
            for name in self._select(group, local)[:1]:
                if group.kind in ("convolution", "unknown-layer") and local == WEIGHT:
                    raise UnsupportedCase(f"an adapter on the parameter {name} is not counted")
                raise PeftRefusal(
                    f"{name} has one axis, and PEFT adapts parameters of two or three.",
                    do_next=list_parameters(self.tree) or "Name other parameters.",
                )

    def _list_vectors(self, group: ModuleGroup) -> Iterator[str]:
        """Yield the names of a module's parameters of another number of axes, as far as they are known."""
        listed = dict(_list_parameters(group))
        if group.bias and "bias" not in listed:
            yield "bias"
        is_other_layer = group.kind in ("convolution", "unknown-layer")
        if is_other_layer or (_count_unlisted(group) > 0 and self._is_plain(group)):
            yield WEIGHT

    def _is_plain(self, group: ModuleGroup) -> bool:
        """Return whether a module has nothing but one weight and a bias, as a norm has."""
        return not group.tensors and group.path not in self._parents

    def _refuse_unknown(self, unmatched: tuple[str, ...]) -> None:
        """Raise UnsupportedCase where a name may mean one of the parameters whose names aren't listed."""
        wanted = [(module, local) for module, _, local in (name.rpartition(".") for name in unmatched)]
        for group in self.tree.without_aliases:
            is_other_layer = group.kind == "unknown-layer"
            if not is_other_layer and _count_unlisted(group) <= 0:
                continue
            ends = _list_ends(group.names)
            if is_other_layer or not self._is_plain(group):
                ends.add("")  # a name without its module
            for module, local in wanted:
                if module in ends:
                    raise UnsupportedCase(f"whether {group.path} has a parameter {local} isn't known here")


def list_parameters(tree: ModuleTree) -> str:
    """Return the sentence that lists a model's parameters beside its layers; empty where it has none."""
    found = (f"{find_path_in_layer(group.path)}.{name}" for group in tree.groups for name, _ in group.tensors)
    listed = ", ".join(dict.fromkeys(found))
    return f"Its parameters beside layers: {listed}." if listed else ""


def _list_parameters(group: ModuleGroup) -> tuple[tuple[str, tuple[int, ...]], ...]:
    """Return the names and shapes of a module's parameters of two or three axes.

    Which axis is d_in decides no count.
    """
    if group.is_linear or group.kind == "embedding":
        return ((WEIGHT, (group.d_out, group.d_in)),)
    return group.tensors


def _count_unlisted(group: ModuleGroup) -> int:
    """Count the numbers in a module's own parameters that neither a bias nor the listed shapes explain."""
    if group.kind not in ("other", "container"):
        return 0
    listed = sum(math.prod(shape) for _, shape in group.tensors)
    bias = 0 if "bias" in dict(group.tensors) else group.bias
    return group.own + sum(size for _, size in group.tied) - listed - bias


def _list_ends(names: Iterable[str]) -> set[str]:
    """Return the names and all that begins at one of their parts: `a.b` and `b`."""
    parts = (name.split(".") for name in names)
    return {".".join(each[first:]) for each in parts for first in range(len(each))}
