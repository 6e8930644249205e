"""Which matrices of a model get an adapter, and with which rank in which layers."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lora_lab.memory.frameworks.experts import FusedAdapter, find_fused_adapters, refuse_other_parameters
from lora_lab.memory.frameworks.setting import LayerAdapter, TrainedVariant
from lora_lab.parameters.adapter_config import (
    ADAPTER_VARIANTS,
    ALL_LINEAR,
    FAMILY,
    Adaptation,
    NothingMatched,
    UnsupportedCase,
)
from lora_lab.parameters.counts import build_adaptation
from lora_lab.parameters.json_fields import parse_adapter_setting as read_setting
from lora_lab.parameters.legacy_module_names import find_current_names
from lora_lab.parameters.name_selection import find_own_ranks, select_names
from lora_lab.parameters.shapes import SETS, Linear, ModelShape, Role
from lora_lab.parameters.target_matching import LAYER_NUMBER, find_default_targets
from lora_lab.parameters.target_syntax import Targets, as_targets

HEAD = ("head", "lm_head")
ROUTER = "gate"
IA3_ROLES: tuple[Role, ...] = ("k", "v", "qkv", "down")
"""PEFT's default for IA3: keys, values and the last product of the MLP."""

USUAL_ROLES: tuple[Role, ...] = ("q", "v")
"""What PEFT takes for most types, where it has no default for this one."""

MLP_ROLES: tuple[Role, ...] = ("gate", "up", "gate_up", "down")
FUSED: dict[str, Role] = {"q": "qkv", "k": "qkv", "v": "qkv", "gate": "gate_up", "up": "gate_up"}


@dataclass(frozen=True, kw_only=True)
class Adapters:
    """What gets an adapter; the fields are those of a step's setting."""

    adapted: tuple[Linear, ...] = ()
    by_layer: tuple[LayerAdapter, ...] = ()
    fused: tuple[FusedAdapter, ...] = ()
    head_adapter: LayerAdapter | None = None


def find_adapters(
    shape: ModelShape, targets: Targets, narrowing: Mapping[str, Any], *, variant: TrainedVariant, rank: int
) -> Adapters:
    """Find what gets an adapter. `narrowing` holds PEFT's fields that leave modules out or change ranks.

    Raises LearnerError on targets that the model lacks; UnsupportedCase on those whose places aren't known.
    """
    counted = variant if variant in ADAPTER_VARIANTS else "lora"  # LoRA-FA's matrices are LoRA's
    parameters = narrowing.get("target_parameters")
    if targets is None and parameters:
        targets = find_default_targets(
            shape.modules, read_setting({"variant": counted, **narrowing}, targets="targets")
        )
    elif targets is None and variant == "ia3":
        targets = [role for role in IA3_ROLES if shape.has(role)]
    elif targets is None and not shape.default_targets:
        targets = USUAL_ROLES
    parsed = _as_today(shape, as_targets(targets))
    names = spell_targets(shape, parsed)
    head = _find_head(shape, parsed, narrowing, rank)
    if not names and head is None and not parameters:
        raise NothingMatched(
            f"{shape.name} has no output head, or it is excluded.", do_next="Name other targets."
        )
    if FAMILY.get(counted, counted) != "lora":
        _refuse_lost_experts(shape, targets, names, variant)
    try:
        layers = _find_in_layers(shape, names, narrowing, variant=counted, rank=rank)
    except NothingMatched:
        if head is None:
            raise
        layers = Adapters()
    return replace(layers, head_adapter=head)


def _find_in_layers(
    shape: ModelShape,
    names: str | tuple[str, ...],
    narrowing: Mapping[str, Any],
    *,
    variant: str,
    rank: int,
) -> Adapters:
    """Find what gets an adapter apart from the head. Raises NothingMatched where that is nothing."""
    if not narrowing and not shape.fused_experts:
        return Adapters(adapted=select_present(shape, names))
    setting = read_setting({"targets": names, "variant": variant, **narrowing}, targets="targets")
    adaptation = build_adaptation(shape, setting)
    if setting.layers_pattern and adaptation != build_adaptation(shape, replace(setting, layers_pattern=())):
        raise UnsupportedCase("layers_pattern counts in another list than that of the model's layers")
    adaptation = replace(
        adaptation, matches=tuple(match for match in adaptation.matches if not match.group.is_head)
    )
    if not adaptation.matches:
        raise NothingMatched(
            f"Only the output head of {shape.name} is among the targets.", do_next="Name others too."
        )
    refuse_other_parameters(shape, adaptation)
    layers = replace(adaptation, matches=tuple(each for each in adaptation.matches if not each.parameter))
    by_layer = find_by_layer(shape, layers, rank) if narrowing else ()
    adapted = find_linears(shape, layers)
    fused = find_fused_adapters(adaptation, rank) if shape.fused_experts else ()
    if not adapted and not fused:
        raise UnsupportedCase(f"what an adapter on {adaptation.matches[0].group.path} saves isn't known")
    return Adapters(adapted=adapted, by_layer=by_layer, fused=fused)


def _refuse_lost_experts(
    shape: ModelShape, targets: Targets, names: str | tuple[str, ...], variant: str
) -> None:
    """Raise UnsupportedCase where `mlp` means experts that are one tensor: PEFT has only LoRA for those."""
    experts = find_experts(shape, names)
    asks_for_mlp = targets is not None and not isinstance(targets, str) and "mlp" in targets
    if asks_for_mlp and experts and not any(map(shape.has, experts)):
        raise UnsupportedCase(f"PEFT has no {variant} for experts that are one tensor")


def _as_today(shape: ModelShape, parsed: Targets) -> Targets:
    """Return names of earlier releases as today's, where none of them means a layer today: ViT's `query`."""
    if parsed is None or isinstance(parsed, str) or any(map(shape.has, parsed)):
        return parsed
    return find_current_names(shape, parsed) or parsed


def spell_targets(shape: ModelShape, parsed: Targets) -> str | tuple[str, ...]:
    """Spell parsed targets as PEFT takes them: `all-linear`, a regular expression, or names of modules.

    A role becomes the name of its matrix, or of the matrix it is fused into, and `mlp` the MLP's. The head is
    left out: it is none of a shape's linear layers.
    """
    if parsed is None:
        parsed = shape.default_targets
    if isinstance(parsed, str):
        return tuple(shape.list_target_modules(parsed)) if parsed in SETS else parsed
    return tuple(dict.fromkeys(name for each in parsed for name in _spell_name(shape, each)))


def _spell_name(shape: ModelShape, name: str) -> Sequence[str]:
    if name in HEAD:
        return ()
    if name == "mlp":
        return _spell_mlp(shape)
    whole = FUSED.get(name, name)
    name = whole if shape.has(whole) and not shape.has(name) else name
    return shape.list_target_modules([name]) if shape.are_roles([name]) else (name,)


def _spell_mlp(shape: ModelShape) -> Sequence[str]:
    roles = [role for role in MLP_ROLES if shape.has(role)]
    experts = find_experts(shape, tuple(shape.modules.renamed))
    if not experts and not roles:
        raise UnsupportedCase(f"PEFT adapts no matrix of the MLP of {shape.model_type} by its name")
    return experts or shape.list_target_modules(roles)


def find_experts(shape: ModelShape, names: str | tuple[str, ...]) -> list[str]:
    """Return those of the names that mean matrices of experts, where these are parts of one tensor."""
    renamed = shape.modules.renamed if shape.fused_experts and isinstance(names, tuple) else {}
    return [name for name in names if name in renamed and name != ROUTER]


def names_head(shape: ModelShape, parsed: Targets) -> bool:
    """Return whether the output head is among the parsed targets."""
    head = _find_output_head(shape)
    if head is None or parsed is None:
        return False
    if isinstance(parsed, str):
        return parsed not in (ALL_LINEAR, *SETS) and bool(select_names(parsed, (head.name,)))
    return any(name in HEAD for name in parsed) or bool(select_names(tuple(parsed), (head.name,)))


def _find_output_head(shape: ModelShape) -> Linear | None:
    """Find the layer that makes the logits; None where the model ends before it."""
    if shape.tree is None:  # only sizes are known
        return Linear(name="lm_head", role="other", d_in=shape.hidden, d_out=shape.vocab, count=1)
    for group in shape.tree.groups:
        if group.is_head:
            return Linear(name=group.path, role="other", d_in=group.d_in, d_out=group.d_out, count=1)
    return None


def _find_head(
    shape: ModelShape, parsed: Targets, narrowing: Mapping[str, Any], rank: int
) -> LayerAdapter | None:
    """Find the head's adapter: `layers_to_transform` doesn't leave it out, the other fields may."""
    head = _find_output_head(shape)
    if head is None or not names_head(shape, parsed):
        return None
    setting = read_setting({"targets": (head.name,), **narrowing}, targets="targets")
    if select_names(setting.excluded, (head.name,)):
        return None
    own_ranks = find_own_ranks((head.name,), setting.rank_pattern)
    return LayerAdapter(linear=head, layers=(), rank=own_ranks.get(head.name, rank))


def select_present(shape: ModelShape, names: str | tuple[str, ...]) -> tuple[Linear, ...]:
    """Select the linear layers of the names that the model has; PEFT passes over the others too.

    Raises LearnerError where it has none of them.
    """
    present = tuple(name for name in names if shape.has(name)) if isinstance(names, tuple) else names
    return shape.select(present or names)


def find_linears(shape: ModelShape, adaptation: Adaptation) -> tuple[Linear, ...]:
    """Return the linear layers that PEFT adapts, with how many of each."""
    counts: Counter[tuple[str, int, int]] = Counter()
    for match in adaptation.matches:
        counts[match.group.path, match.group.d_in, match.group.d_out] += len(match.names)
    found = ((linear, counts[linear.name, linear.d_in, linear.d_out]) for linear in shape.linears)
    return tuple(replace(linear, count=count) for linear, count in found if count)


def refuse_unplaced(shape: ModelShape, adapted: tuple[Linear, ...]) -> None:
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
