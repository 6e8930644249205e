"""The names that a setting means: ends of names, regular expressions, and ranks by pattern."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from lora_lab.parameters.adapter_config import LinearCount, Match
from lora_lab.parameters.module_tree import ModuleGroup
from lora_lab.parameters.name_patterns import find_first_matches

OF_A_NAME = r"(.*\.)?({})$"
"""How PEFT completes a key of `rank_pattern`, which matches a name's last parts."""


def select_names(wanted: str | tuple[str, ...], names: Sequence[str], *, anywhere: bool = False) -> list[str]:
    """Select the names that a configuration means, as PEFT does: a string is a regular expression for the
    whole name, names match last parts.

    `anywhere` lets a suffix begin within a part, as IA3 does for its feed-forward modules. Raises
    PeftRefusal on a string that is not a regular expression, MatchingRefused on one that takes too long.
    """
    if isinstance(wanted, str):
        return list(find_first_matches(names, (wanted,)))
    exact, ends = frozenset(wanted), tuple(each if anywhere else f".{each}" for each in wanted)
    return [name for name in names if name in exact or name.endswith(ends)]


def find_own_ranks(names: Iterable[str], rank_pattern: Iterable[tuple[str, int]]) -> dict[str, int]:
    """Find the rank of each name that PEFT's `rank_pattern` gives one, by the first pattern that matches."""
    given = tuple(rank_pattern)
    found = find_first_matches(names, (pattern for pattern, _ in given), within=OF_A_NAME)
    return {name: given[at][1] for name, at in found.items()}


def split_by_rank(
    group: ModuleGroup,
    names: Iterable[str],
    each: LinearCount,
    own_ranks: Mapping[str, int],
    *,
    parameter: tuple[int, ...] = (),
) -> Iterator[Match]:
    """Yield the modules of one rank after another; a rank of their own makes their count a fixed one."""
    alike_at: dict[int | None, list[str]] = {}
    for name in names:
        alike_at.setdefault(own_ranks.get(name), []).append(name)
    for own, alike in alike_at.items():
        line = each if own is None else LinearCount(0, each.at(own))
        yield Match(group=group, names=tuple(alike), each=line, own_rank=own, parameter=parameter)


def is_within(name: str, module: str) -> bool:
    """Return whether a module is another one or inside it."""
    return name == module or name.startswith(f"{module}.")


def list_outer(name: str) -> Iterator[str]:
    """Yield the names of all modules that a module is inside, the model's own `""` last."""
    while name:
        name = name.rpartition(".")[0]
        yield name
