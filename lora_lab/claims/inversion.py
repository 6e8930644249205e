"""Inversion of the parameter count: which ranks and which of a model's matrices would print a number."""

import itertools
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import Any

from lora_lab.claims.claim import LARGEST_RANK
from lora_lab.parameters.adapter_config import AdapterSetting, LinearCount
from lora_lab.parameters.module_tree import ModuleTree
from lora_lab.parameters.shapes import ModelShape, load_catalogue
from lora_lab.parameters.target_matching import try_adaptation
from study.base.errors import LearnerError

MOST_NAMES = 24
"""Only sets of the first names are tried. The model with the most has 21, glm5_next of transformers 5.24."""

MOST_SETTINGS = 10_000
"""Enough for every model that was looked at; a layout of many equal matrices has millions."""

OTHER_MODELS = 6
COMMON_RANKS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
ALL_RANKS = sorted(range(1, LARGEST_RANK + 1), key=lambda rank: (rank not in COMMON_RANKS, -rank))
"""Common ranks first, and large ones, which need few matrices to give a number."""


@dataclass(frozen=True)
class Explanation:
    """A setting that gives the number; the rank is None for IA3, which has none."""

    rank: int | None
    targets: tuple[str, ...]

    @property
    def target_set(self) -> frozenset[str]:
        """The targets without their order."""
        return frozenset(self.targets)

    def name(self, targets: str = "") -> str:
        """Name the setting for a sentence, `r = 16 on q_proj, v_proj`; `targets` may be said otherwise."""
        rank = "" if self.rank is None else f"r = {self.rank} on "
        return f"{rank}{targets or ', '.join(self.targets) or 'the stated parameters'}"


@dataclass(frozen=True)
class OtherModel:
    """A common setting on another model that gives the number: where a line may have been copied from."""

    model: str
    rank: int
    targets: str


def find_explanations(
    tree: ModuleTree,
    setting: AdapterSetting,
    number: int,
    *,
    saved: int,
    rank: int | None = None,
    targets: tuple[str, ...] | None = None,
    heads: tuple[str, ...] = (),
) -> tuple[Explanation, ...]:
    """Find the settings that train `number` parameters, simplest first.

    `rank` fixes the rank; `targets`, the names of the setting's own targets, fixes the targets. `saved` is
    the number of parameters trained whole in addition to the adapters. Only sets of the linear layers' short
    names and of the names of `heads` are tried, and ranks up to 512.
    """
    left = number - saved
    if targets is not None:
        line = _compute_line(tree, setting)
        solved = [] if line is None else _solve_ranks(line, left, rank, variant=setting.variant)
        return tuple(Explanation(each, targets) for each in solved)
    ranks: Iterable[int | None] = ALL_RANKS if rank is None else (rank,)
    if setting.variant == "ia3":
        ranks = (None,)
    required = frozenset(setting.required_targets)
    fixed_part = _compute_fixed_part(tree, setting)
    if fixed_part is None:
        return ()
    solved_sets = (
        Explanation(each, tuple(sorted(names)))
        for each, names in _solve_sets(_list_lines(tree, setting, heads), left, ranks, fixed_part=fixed_part)
        if required <= set(names)
    )
    found = itertools.islice(solved_sets, MOST_SETTINGS)
    return tuple(sorted(found, key=rank_simplicity))


def rank_simplicity(explanation: Explanation) -> tuple[bool, int, int, tuple[str, ...]]:
    """Return the sort key of settings: common ranks and few matrices first."""
    rank = explanation.rank or 0
    return (rank not in (0, *COMMON_RANKS), len(explanation.targets), -rank, explanation.targets)


LAYERS_ONLY: dict[str, Any] = {"parameters": (), "token_rows": ()}
"""Fields of a setting that trains nothing beside the layers of its targets."""

NamedLine = tuple[tuple[str, ...], LinearCount]
"""Names, and what the adapters and biases on them train, linear in the rank."""


def _list_lines(tree: ModuleTree, setting: AdapterSetting, heads: tuple[str, ...]) -> list[NamedLine]:
    """Return each name that can be adapted with its count."""
    known: list[NamedLine] = []
    for name in (*tree.linear_names[: MOST_NAMES - len(heads)], *heads):
        alone = replace(setting, targets=(name,), feedforward=_list_own(tree, setting, name), **LAYERS_ONLY)
        line = _compute_line(tree, alone)
        if line is not None:
            known.append(((name,), line))
    return known


def _compute_fixed_part(tree: ModuleTree, setting: AdapterSetting) -> LinearCount | None:
    """Return what a setting trains beside any set of layers: parameters and rows of tokens that it names.

    None where no layer's name is accepted beside them.
    """
    if not (setting.parameters or setting.token_rows):
        return LinearCount()
    for name in tree.linear_names:
        named = replace(setting, targets=(name,))
        together, alone = _compute_line(tree, named), _compute_line(tree, replace(named, **LAYERS_ONLY))
        if together is not None and alone is not None:
            return together + alone * -1
    return None


def _solve_sets(
    known: list[NamedLine], number: int, ranks: Iterable[int | None], *, fixed_part: LinearCount
) -> Iterator[tuple[int | None, tuple[str, ...]]]:
    """Yield every rank and set of names whose counts and `fixed_part` add up to `number`.

    The names are halved: for each set of one half, a table knows the sets of the other that fill it up, so
    that 2^(n/2) sets are looked at for each rank instead of 2^n.
    """
    half = len(known) // 2
    first, second = _add_up_sets(known[:half], fixed_part), _add_up_sets(known[half:], LinearCount())
    are_multiples = all(line.fixed == 0 for line in (fixed_part, *(line for _, line in known)))
    for rank in ranks:
        if are_multiples and rank is not None and number % rank:
            continue
        filling = defaultdict(list)
        for names, line in first:
            filling[number - line.at(rank or 0)].append(names)
        for names, line in second:
            for others in filling.get(line.at(rank or 0), ()):
                if others or names:
                    yield rank, others + names


def _add_up_sets(known: list[NamedLine], start: LinearCount) -> list[NamedLine]:
    """Return every set of the names, the empty one too, with the sum of `start` and its counts."""
    sets: list[NamedLine] = [((), start)]
    for names, line in known:
        sets += [(chosen + names, total + line) for chosen, total in sets]
    return sets


def _list_own(tree: ModuleTree, setting: AdapterSetting, name: str) -> str | tuple[str, ...] | None:
    """Return those of IA3's feed-forward modules that have this name."""
    given = setting.feedforward
    if not isinstance(given, tuple):
        return given
    return tuple(each for each in given if each == name)


def _compute_line(tree: ModuleTree, setting: AdapterSetting) -> LinearCount | None:
    """Return what a setting's adapters train, without modules saved whole; None when PEFT refuses it."""
    adaptation = try_adaptation(tree, setting)
    if adaptation is None:
        return None
    biases = adaptation.biases if setting.bias == "lora_only" else 0
    return adaptation.adapters + LinearCount(0, biases)


def _solve_ranks(line: LinearCount, number: int, stated: int | None, *, variant: str) -> Iterator[int | None]:
    """Yield the rank that solves slope x rank + fixed = number, if one exists."""
    if variant == "ia3":
        if line.fixed == number:
            yield None
        return
    rank, rest = divmod(number - line.fixed, line.slope) if line.slope else (0, 0)
    if not rest and 1 <= rank <= LARGEST_RANK and stated in (None, rank):
        yield rank


def find_other_models(number: int, *, besides: ModelShape) -> tuple[OtherModel, ...]:
    """Find common settings on other catalogue models that train `number` parameters."""
    found = []
    for shape in load_catalogue().values():
        if shape.tree is besides.tree or shape.name == besides.name:
            continue
        for targets, line in _list_usual_targets(shape):
            rank, rest = divmod(number, line.slope)
            if not rest and rank in COMMON_RANKS:
                found.append(OtherModel(shape.name, rank, targets))
    return tuple(found[:OTHER_MODELS])


def _list_usual_targets(shape: ModelShape) -> Iterable[tuple[str, LinearCount]]:
    for targets in ("q+v", "attention", "all-linear"):
        try:
            linears = shape.select(targets)
        except LearnerError:
            continue
        yield targets, LinearCount(sum(each.count * (each.d_in + each.d_out) for each in linears))
