"""PEFT 0.21's target matching: which modules an adapter adapts and saves, from module names and sizes.

Rules and their places in PEFT: `check_target_module_exists`, `_set_trainable`,
`_mark_only_adapters_as_trainable`, and the layers' `update_layer`.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import NoReturn

from lora_lab.parameters.adapter_config import (
    ALL_LINEAR,
    CLASSIFIERS,
    HEADS,
    Adaptation,
    AdapterSetting,
    LinearCount,
    Match,
    NothingMatched,
    PeftRefusal,
    SavedModule,
    UnsupportedCase,
)
from lora_lab.parameters.module_tree import ModuleGroup, ModuleTree, Names
from lora_lab.parameters.name_patterns import find_first_matches, find_numbers
from lora_lab.parameters.name_selection import find_own_ranks, is_within, select_names, split_by_rank
from lora_lab.parameters.parameter_targets import ParameterTargets, list_parameters
from lora_lab.parameters.token_rows import find_rows

LAYER_NUMBER = re.compile(r".*?\.[^.]*\.(\d+)\.")
"""The first number in a module's name, as PEFT finds its layer where no pattern is given."""

LAYER_OF_PATTERN = r"(?:^|.*?\.){}\.(?P<idx>\d+)\."
"""How PEFT completes one of `layers_pattern`."""


@lru_cache(maxsize=512)
def find_adaptation(tree: ModuleTree, setting: AdapterSetting) -> Adaptation:
    """Find what PEFT would adapt and save.

    Raises PeftRefusal where PEFT raises, listing what the model has; UnsupportedCase for unknown counts, and
    MatchingRefused where it isn't known what an expression matches.
    """
    return _Rules(tree, setting).compute_adaptation()


def try_adaptation(tree: ModuleTree, setting: AdapterSetting) -> Adaptation | None:
    """Find what PEFT would adapt and save; None where it refuses the setting, or the count isn't known."""
    try:
        return find_adaptation(tree, setting)
    except (PeftRefusal, UnsupportedCase):
        return None


class _Rules:
    """PEFT's matching for one tree and one configuration."""

    def __init__(self, tree: ModuleTree, setting: AdapterSetting) -> None:
        self.tree = tree
        self.setting = setting
        self.family = setting.family
        self.is_converted = _is_converted(tree, setting)
        self.groups = tree.without_aliases

    def compute_adaptation(self) -> Adaptation:
        self._check_setting()
        targets, feedforward = self._resolve_targets(), self._resolve_feedforward()
        parameters: tuple[str, ...] = ()
        doubled = False
        if self.is_converted:
            targets, parameters, doubled = self._convert_fused(targets)
        layers = list(self._match_modules(targets, feedforward))
        wanted = ParameterTargets(tree=self.tree, setting=self.setting, converted=parameters, doubled=doubled)
        matches = [*layers, *wanted.find_matches(layers)]
        if not matches:
            self._refuse_nothing(targets)
        saved = tuple(self._list_saved(matches))
        if self.setting.ties_weights:
            self._refuse_tied(matches, saved)
        return Adaptation(
            matches=tuple(matches),
            saved=saved,
            biases=self._count_biases(matches, saved),
            frozen_extra=sum(module.frozen for module in saved)
            + (sum(len(m.names) for m in matches) if self.setting.variant == "adalora" else 0),
            rows=find_rows(self.tree, self.setting, matches),
            unmatched=wanted.find_unmatched(matches),
        )

    def _check_setting(self) -> None:
        """Raise where PEFT refuses two fields together, or where their count isn't known."""
        setting, renamed = self.setting, self.tree.renamed
        if setting.is_narrowed and (self.family != "lora" or (renamed and not setting.parameters)):
            of_what = "fused experts" if renamed else setting.variant
            raise UnsupportedCase(f"excluded modules, single layers and a rank pattern with {of_what}")
        if self.family != "lora" and (setting.parameters or setting.token_rows):
            raise UnsupportedCase(f"target_parameters and trainable_token_indices with {setting.variant}")
        if setting.lora_bias:
            self._check_lora_bias()

    def _refuse_nothing(self, targets: str | tuple[str, ...]) -> NoReturn:
        named = targets if isinstance(targets, str) else ", ".join(targets) or "nothing"
        if self.setting.layers_pattern:
            named += f" in these layers of {' or '.join(self.setting.layers_pattern)}"
        if self.setting.parameters:
            beside = f", and no module {named}" if targets else ""
            raise NothingMatched(
                f"No parameter of this model is named {', '.join(self.setting.parameters)}{beside}.",
                do_next=f"{list_layers(self.tree)} {list_parameters(self.tree)}".rstrip(),
            )
        raise NothingMatched(f"No module of this model is named {named}.", do_next=list_layers(self.tree))

    def _check_lora_bias(self) -> None:
        if self.setting.variant == "dora":
            raise PeftRefusal("PEFT has no lora_bias with DoRA.", do_next="Leave one of them out.")
        if self.family != "lora" or self.setting.bias != "none" or self.tree.renamed:
            raise UnsupportedCase("lora_bias with another method, other trained biases or fused experts")

    def _refuse_tied(self, matches: list[Match], saved: tuple[SavedModule, ...]) -> None:
        """Raise UnsupportedCase where an adapter or a copy of one tied module would come to the other too."""
        owners = {owner for group in self.groups for owner, _ in group.tied}
        adapts = any(match.group.tied or owners.intersection(match.names) for match in matches)
        if owners and (saved or adapts):
            raise UnsupportedCase("ensure_weight_tying on tied embeddings")

    # ---- which names

    def _resolve_targets(self) -> str | tuple[str, ...]:
        targets = self.setting.targets
        if self.setting.layers and isinstance(targets, str):
            raise PeftRefusal(
                "PEFT takes layers_to_transform only with a list of target modules.",
                do_next="List the target modules by name.",
            )
        if targets is None:
            targets = find_default_targets(self.tree, self.setting)
        if targets is None:
            raise PeftRefusal(
                f"PEFT has no default {self.family} targets for this model type.",
                do_next=f"Name some. {list_layers(self.tree)}",
            )
        if isinstance(targets, str) and targets.lower() == ALL_LINEAR and not self.is_converted:
            return tuple(name for group in self._list_all_linear() for name in group.names)
        return targets

    def _list_all_linear(self) -> Iterator[ModuleGroup]:
        head = ""
        if not self.tree.has_output_head and self.setting.task_type == "SEQ_CLS":
            top = {group.path for group in self.groups}
            head = next((name for name in CLASSIFIERS if name in top), "")
        return (group for group in self.tree.linears if group.path != head and not group.is_alias)

    def _resolve_feedforward(self) -> str | tuple[str, ...]:
        given = self.setting.feedforward
        if self.setting.variant != "ia3":
            return ()
        if given is None:
            given = self.tree.defaults.get("ia3-feedforward")
        if given is None:
            raise PeftRefusal(
                "PEFT has no default IA3 feed-forward modules for this model type.",
                do_next=f"Name some. {list_layers(self.tree)}",
            )
        named = self.setting.targets
        if isinstance(given, tuple) and isinstance(named, tuple) and self.setting.feedforward is not None:
            missing = [name for name in given if name not in named]
            if missing:
                raise PeftRefusal(
                    f"IA3's feed-forward modules must be among its targets. Missing: {', '.join(missing)}.",
                    do_next="Add them to the targets.",
                )
        return given

    # ---- modules

    def _match_modules(
        self, targets: str | tuple[str, ...], feedforward: str | tuple[str, ...]
    ) -> Iterator[Match]:
        every = [name for group in self.groups for name in group.names]
        wanted = self._keep_in_layers(self._select(targets, every), targets)
        scaled_at_input = set(select_names(feedforward, every, anywhere=True))
        own_ranks = find_own_ranks(every, self.setting.rank_pattern)
        kept = set(wanted)
        for group in self.groups:
            chosen = [name for name in group.names if name in kept]
            for at_input in (False, True) if chosen else ():
                here = [name for name in chosen if (name in scaled_at_input) == at_input]
                if here:
                    yield from split_by_rank(
                        group, here, self._count_module(group, at_input=at_input), own_ranks
                    )

    def _select(self, targets: str | tuple[str, ...], names: Sequence[str]) -> list[str]:
        """Select the names that targets mean and that nothing excludes."""
        without = set(select_names(self.setting.excluded, names))
        without.update(find_first_matches(names, self.setting.never_adapted, within=r"(^|.*\.){}($|\..*)"))
        return [name for name in select_names(targets, names) if name not in without]

    def _keep_in_layers(self, names: list[str], targets: str | tuple[str, ...]) -> list[str]:
        """Keep the names in the layers that the setting lists, and those that are given in full."""
        layers = self.setting.layers
        if not layers or isinstance(targets, str):
            return names
        if self.setting.layers_pattern:
            numbers = find_numbers(names, self.setting.layers_pattern, within=LAYER_OF_PATTERN)
        else:
            found = ((name, LAYER_NUMBER.match(name)) for name in names)
            numbers = {name: int(match[1]) for name, match in found if match}
        return [name for name in names if name in targets or numbers.get(name) in layers]

    def _count_module(self, group: ModuleGroup, *, at_input: bool) -> LinearCount:
        """Count what the adapter of one module trains.

        Sources: arXiv:2106.09685 (LoRA), 2402.09353 (DoRA), 2310.11454 (VeRA), 2303.10512 (AdaLoRA),
        2205.05638 (IA3).
        """
        variant = self.setting.variant
        if group.suffix in self.tree.refused and self.family in ("lora", "adalora"):
            raise PeftRefusal(
                f"PEFT refuses {group.suffix} here: fused code reads its weight past any adapter.",
                do_next="Name other targets.",
            )
        if group.kind == "unknown-layer" or (group.kind == "convolution" and self.family != "lora"):
            raise UnsupportedCase(f"{variant} on {group.path} is not counted")
        if not group.is_linear and (self.family != "lora" or group.kind not in ("embedding", "convolution")):
            raise PeftRefusal(
                f"{group.path} isn't a layer that {self.family} can adapt.", do_next=list_layers(self.tree)
            )
        if self.setting.lora_bias and not group.is_linear:
            raise UnsupportedCase(f"lora_bias on {group.path}, which is not a linear layer")
        match variant:
            case "vera":
                return LinearCount(1, group.d_out)
            case "adalora":
                return LinearCount(group.d_in + group.d_out + 1)
            case "ia3":
                return LinearCount(0, group.d_in if at_input else group.d_out)
        fixed = group.d_out if self.setting.trains_output_vector else 0
        return LinearCount(group.kernel * group.d_in + group.d_out, fixed)

    # ---- fused experts

    def _convert_fused(
        self, targets: str | tuple[str, ...]
    ) -> tuple[str | tuple[str, ...], tuple[str, ...], bool]:
        """Convert names as PEFT does: return targets, parameters and whether gate and up both are meant.

        Source: peft/utils/transformers_weight_conversion.py, _convert_peft_config_moe.
        """
        renamed = self.tree.renamed
        if isinstance(targets, str):
            resolved = self._resolve_names(targets)
            if not resolved:
                return targets, (), False
            targets = resolved
        mapped = {
            target: next((old for old in renamed if f".{target}".endswith(f".{old}")), None)
            for target in targets
        }
        parameters = tuple(sorted({renamed[old] for old in mapped.values() if old}))
        in_gate_up = {old for old in mapped.values() if old and renamed[old] == "gate_up_proj"}
        needed = {old for old, new in renamed.items() if new == "gate_up_proj"}
        if in_gate_up and in_gate_up != needed:
            raise PeftRefusal(
                f"{', '.join(sorted(needed))} are one fused tensor here, and PEFT adapts them only together.",
                do_next="Name all of them.",
            )
        rest = tuple(target for target, old in mapped.items() if old is None)
        return rest, parameters, bool(in_gate_up)

    def _resolve_names(self, targets: str) -> tuple[str, ...]:
        renamed = self.tree.renamed
        if targets.lower() == ALL_LINEAR:
            names = {group.suffix for group in self._list_all_linear()}
            return tuple(sorted(names | set(renamed)))
        keys = [name for group in self.groups for name in group.names]
        keys += self._list_tensor_names()
        keys += [f"{name}.weight" for group in self.groups for name in group.names if group.own]
        found = {key.rsplit(".", 1)[-1] for key in self._select(targets, keys)}
        for old, new in renamed.items():
            keys = [key for key in self._list_tensor_names() if key.endswith(f".{new}")]
            if select_names(targets, [f"{key.removesuffix(new)}{old}" for key in keys]):
                found.add(old)
        return tuple(sorted(found))

    def _list_tensor_names(self) -> list[str]:
        return [
            f"{name}.{local}" for group in self.groups for name in group.names for local, _ in group.tensors
        ]

    # ---- what else is trained

    def _list_saved(self, matches: list[Match]) -> Iterator[SavedModule]:
        ends = self.setting.saved
        found = [
            (name, group)
            for group in self.tree.groups
            for name in group.names
            if ends and name.endswith(ends)
        ]
        adapted = {name for match in matches for name in match.modules}
        wrapped = [name for match in matches if match.parameter for name in match.modules]
        for name, group in found:
            if any(inner.startswith(f"{name}.") for inner in wrapped):
                raise UnsupportedCase(f"{name} is to be saved whole, and a parameter inside it adapted")
            if group.kind == "container" or name in adapted:
                what = "an adapted layer" if name in adapted else "a list of modules"
                raise PeftRefusal(
                    f"{name} is to be saved whole, but it is {what}.",
                    do_next="Name other targets, or other modules to save.",
                )
            outer = [each for each, _ in found if name.startswith(f"{each}.")]
            yield (
                self._count_saved_within(name, outer)
                if outer
                else SavedModule(name=name, parameters=self._count_copied(name))
            )

    def _count_saved_within(self, name: str, outer: list[str]) -> SavedModule:
        """Count a module saved inside another one: in the outer copy, its own copy takes its place.

        With the tasks that have a head, PEFT looks for the names once more (peft_model.py, the end of each
        __init__), and finds a part of the outer copy by its own name: it is copied and trained again.
        """
        inner = name.removeprefix(f"{outer[0]}.")
        if len(outer) > 1 or "." in inner:
            raise UnsupportedCase(f"{name} is to be saved twice, deep inside another saved module")
        size = self._count_copied(name)
        again = self.setting.task_type in HEADS and inner.endswith(self.setting.saved)
        return SavedModule(name=name, parameters=size if again else 0, frozen=size)

    def _count_copied(self, name: str) -> int:
        """Count the parameters of a deep copy: what it shares with modules outside becomes its own.

        Raises UnsupportedCase on a module's second name.
        """
        if any(group.is_alias and name in group.names for group in self.tree.groups):
            raise UnsupportedCase(f"{name} is a second name of another module")
        total = 0
        for group in self.groups:
            inside = sum(is_within(each, name) for each in group.names)
            outer = sum(size for owner, size in group.tied if not is_within(owner, name))
            total += inside * (group.own + outer)
        return total

    def _count_biases(self, matches: list[Match], saved: tuple[SavedModule, ...]) -> int:
        if self.setting.bias == "none":
            return 0
        counted: list[tuple[int, tuple[str, ...]]]
        if self.setting.bias == "lora_only":
            adapted = {name: match.group.bias for match in matches for name in match.modules}
            counted = [(bias, (name,)) for name, bias in adapted.items()]
        else:
            counted = [(group.bias, group.names) for group in self.groups if not group.bias_is_tied]
        frozen = [module.name for module in saved]
        frozen += [
            owner
            for group in self.groups
            if any(is_within(name, each) for name in group.names for each in frozen)
            for owner, _ in group.tied
        ]
        return sum(
            bias * sum(not any(is_within(name, each) for each in frozen) for name in names)
            for bias, names in counted
            if bias
        )


def find_default_targets(tree: ModuleTree, setting: AdapterSetting) -> Names | None:
    """Return the layers that PEFT adapts where a setting names none; None where PEFT requires their names.

    Beside parameters they are an empty list where the model's type has no default, and where PEFT converts
    names of fused experts, which loses the default.

    Sources: peft/tuners/lora/model.py, _prepare_adapter_config;
    peft/utils/transformers_weight_conversion.py, _convert_peft_config_moe.
    """
    if setting.parameters and _is_converted(tree, setting):
        return ()
    return tree.defaults.get(setting.family, () if setting.parameters else None)


def _is_converted(tree: ModuleTree, setting: AdapterSetting) -> bool:
    return setting.family == "lora" and bool(tree.renamed)


def list_layers(tree: ModuleTree) -> str:
    """Return the sentence that lists a model's linear layers."""
    return f"It has: {', '.join(sorted(tree.linear_names))}."
