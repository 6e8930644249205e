"""Claims with open rank or targets: all settings that give the first number, or the whole line."""

import itertools
from collections.abc import Iterable, Iterator
from dataclasses import replace

from lora_lab.claims.accountings import Sizes, compute_sizes, list_total_readings, percent_fits
from lora_lab.claims.claim import LARGEST_RANK, Claim
from lora_lab.claims.fit import (
    AccountingFit,
    explain_accounting,
    explain_misfit,
    find_best_fit,
    work_accounting,
    work_claim,
)
from lora_lab.claims.inversion import (
    ALL_RANKS,
    COMMON_RANKS,
    MOST_NAMES,
    Explanation,
    find_explanations,
    rank_simplicity,
)
from lora_lab.claims.likelihood import find_likely_settings
from lora_lab.claims.rank_given import find_others_printing
from lora_lab.claims.verdict import ClaimVerdict, Failing
from lora_lab.parameters.adapter_config import AdapterSetting, PeftRefusal, UnsupportedCase
from lora_lab.parameters.module_tree import ModuleTree
from lora_lab.parameters.target_matching import find_adaptation, find_default_targets, try_adaptation

MOST_NAMES_OF_A_SHARE = 8
"""Sets of the first names that are tried one by one where no count says what to solve for."""


def judge_open(claim: Claim, tree: ModuleTree) -> ClaimVerdict:
    """Judge by all settings that give the first number, and those of them that give the whole line.

    Heads are among the open targets only where nothing else gives the line.
    """
    fitting, failing = _sort_candidates(claim, tree, heads=())
    if not fitting and not claim.targets_are_known and _pins_adapters(claim):
        fitting, with_heads = _sort_candidates(claim, tree, heads=tree.head_names)
        failing = failing or with_heads
    if fitting:
        return ClaimVerdict(
            answer="underdetermined",
            answer_trainable="underdetermined",
            why=_explain_open(claim, fitting[0][0], fitting[0][1], len(fitting)),
            explanations=tuple(explanation for explanation, _ in fitting),
            arithmetic=_explain_arithmetic(claim, tree, fitting[0][0]),
            accounting=work_accounting(fitting[0][1]),
        )
    if not failing:
        _require_all_tried(claim, tree)
        number = claim.printed.trainable
        said = "these numbers" if number is None else f"{number:,} trainable parameters"
        departing, why_departing = _find_departing(claim, tree)
        return ClaimVerdict(
            answer="impossible",
            answer_trainable="impossible",
            why=f"{_describe_search(claim, tree)} gives {said}"
            f"{_explain_whole(number, claim.count_base(tree)) or _explain_half(claim, tree)}.{why_departing}",
            failing=_list_printed(claim),
            explanations=departing,
            others=find_others_printing(claim),
        )
    explanation, fit = min(failing, key=lambda pair: len(pair[1].failing))
    sizes = _compute_sizes(claim, tree, explanation)
    return ClaimVerdict(
        answer="impossible",
        answer_trainable="underdetermined",
        why=f"Settings with this trainable count exist, but not with the rest of the line. With "
        f"{explanation.name()}: {explain_misfit(claim, sizes, fit)}",
        failing=fit.failing,
        explanations=tuple(explanation for explanation, _ in failing),
        arithmetic=_explain_arithmetic(claim, tree, explanation),
    )


def _describe_search(claim: Claim, tree: ModuleTree) -> str:
    """Say which settings were tried: those that agree with what is stated."""
    if claim.targets_are_known:
        targets = claim.setting.targets
        named = targets if isinstance(targets, str) else ", ".join(targets or _name_untargeted(claim, tree))
        return f"No rank up to {LARGEST_RANK} on {named}"
    if claim.is_rank_open:
        return f"No rank up to {LARGEST_RANK} on any of this model's linear layers"
    at_rank = "No" if claim.rank is None else f"At r = {claim.rank} no"
    return f"{at_rank} set of this model's linear layers"


def _name_untargeted(claim: Claim, tree: ModuleTree) -> tuple[str, ...]:
    """Name what is adapted where no layers are among the targets."""
    if claim.setting.targets is None and find_default_targets(tree, claim.setting) != ():
        return ("PEFT's default targets",)
    return claim.setting.parameters


def _find_departing(claim: Claim, tree: ModuleTree) -> tuple[tuple[Explanation, ...], str]:
    """Find settings of this model that give the first number with another rank or other targets than stated.

    Returns them, likeliest first, and a sentence about the first one.
    """
    is_stated = claim.targets_are_known or claim.rank is not None
    if not is_stated or claim.printed.trainable is None:
        return (), ""
    opened = replace(claim, rank=None, targets_are_known=False, setting=replace(claim.setting, targets=None))
    try:
        fitting, failing = _sort_candidates(opened, tree, heads=())
    except (PeftRefusal, UnsupportedCase):
        return (), ""  # the verdict on what is stated holds without them
    found = tuple(explanation for explanation, _ in (*fitting, *failing))
    if not found:
        return (), ""
    printed = "this line" if fitting else "this trainable count"
    *others, last = found[0].targets
    targets = f"{', '.join(others)} and {last}" if others else last
    return found, f" {found[0].name(targets)} prints {printed}."


FittedExplanations = list[tuple[Explanation, AccountingFit]]


def _sort_candidates(
    claim: Claim, tree: ModuleTree, *, heads: tuple[str, ...]
) -> tuple[FittedExplanations, FittedExplanations]:
    """Return the candidates that give the whole line, and those that give its first number alone."""
    fitting: FittedExplanations = []
    failing: FittedExplanations = []
    candidates = _list_candidates(claim, tree, heads)
    for explanation in find_likely_settings(claim, tree).order(candidates):
        fit = find_best_fit(claim, _compute_sizes(claim, tree, explanation))
        (failing if fit.failing else fitting).append((explanation, fit))
    return fitting, failing


def _require_all_tried(claim: Claim, tree: ModuleTree) -> None:
    """Raise UnsupportedCase where a model has so many names that not all sets of them were tried."""
    names, tried = tree.linear_names, MOST_NAMES if _pins_adapters(claim) else MOST_NAMES_OF_A_SHARE
    if not claim.targets_are_known and len(names) > tried:
        raise UnsupportedCase(f"of its {len(names)} module names, only sets of {tried} are tried")


def _explain_whole(trainable: int | None, base_parameters: int) -> str:
    """Explain a line of full fine-tuning, which trains all parameters of the base."""
    return (
        "; the base has as many, and full fine-tuning trains all of them"
        if trainable == base_parameters
        else ""
    )


def _explain_half(claim: Claim, tree: ModuleTree) -> str:
    """Explain a halved number: qlora.py halves the first number of a 4-bit base, adapters included."""
    if claim.printed.trainable is None or not claim.quantization.startswith("4bit"):
        return ""
    doubled = replace(claim, printed=replace(claim.printed, trainable=2 * claim.printed.trainable))
    twice = _list_candidates(doubled, tree, heads=())
    if not twice:
        return ""
    return (
        f"; it is exactly half of what {twice[0].name()} trains: some tools halve everything on "
        "a 4-bit base, adapters included"
    )


def _list_printed(claim: Claim) -> tuple[Failing, ...]:
    """List the printed numbers that nothing explains, except a share that follows from the others."""
    printed = claim.printed
    consistent = (
        printed.percent is not None
        and printed.trainable is not None
        and printed.total is not None
        and percent_fits(printed.percent, printed.trainable, printed.total)
    )
    numbers: tuple[tuple[Failing, int | str | None], ...] = (
        ("trainable", printed.trainable),
        ("all", printed.total),
        ("pct", None if consistent else printed.percent),
    )
    return tuple(name for name, number in numbers if number is not None)


def _explain_open(claim: Claim, simplest: Explanation, fit: AccountingFit, count: int) -> str:
    open_parts = [] if claim.rank is not None or claim.setting.variant == "ia3" else ["rank"]
    open_parts += [] if claim.targets_are_known else ["targets"]
    settings = "1 setting gives" if count == 1 else f"{count} settings give"
    return (
        f"Not stated: {' and '.join(open_parts)}. {settings} this line, for example "
        f"{simplest.name()}: {explain_accounting(claim, fit)}."
    )


def _list_candidates(claim: Claim, tree: ModuleTree, heads: tuple[str, ...]) -> tuple[Explanation, ...]:
    """Return the settings that give the first number, or the second when the first is missing; where neither
    says how many parameters are added, those that fit the line, without `heads`.
    """
    if claim.targets_are_known and not claim.can_apply_to(tree):
        return ()
    targets = _find_fixed_targets(claim, tree)
    if not _pins_adapters(claim):
        return _list_tried(claim, tree, targets)
    found: dict[Explanation, None] = {}
    for number, saved in _list_numbers(claim, tree):
        explanations = find_explanations(
            tree, claim.setting, number, saved=saved, rank=claim.rank, targets=targets, heads=heads
        )
        found |= dict.fromkeys(explanations)
    return tuple(found)


def _pins_adapters(claim: Claim) -> bool:
    """Return whether a printed count says how large the adapters are: a share and a range don't."""
    printed = claim.printed
    is_range = claim.quantization in ("4bit_partial", "aqlm")
    return printed.trainable is not None or (printed.total is not None and not is_range)


def _list_tried(claim: Claim, tree: ModuleTree, targets: tuple[str, ...] | None) -> tuple[Explanation, ...]:
    """Try one setting after another: with open targets all ranks only where none of the common ones fits."""
    sets = [targets] if targets is not None else list(_list_sets(tree))
    attempts: list[Iterable[int | None]] = [[claim.rank]]
    if claim.setting.variant == "ia3":
        attempts = [[None]]
    elif claim.rank is None:
        attempts = [COMMON_RANKS] if targets is None else []
        attempts += [ALL_RANKS]
    for ranks in attempts:
        found = [each for names in sets for each in _list_fitting(claim, tree, names, ranks)]
        if found:
            return tuple(sorted(found, key=rank_simplicity))
    return ()


def _list_fitting(
    claim: Claim, tree: ModuleTree, names: tuple[str, ...], ranks: Iterable[int | None]
) -> list[Explanation]:
    """Return the settings on these targets that give the whole line; what PEFT refuses gives none."""
    adaptation = try_adaptation(tree, _apply_targets(claim, names))
    if adaptation is None:
        return []
    return [
        Explanation(rank, names)
        for rank in ranks
        if not find_best_fit(claim, compute_sizes(claim, tree, adaptation, rank or 1)).failing
    ]


def _list_sets(tree: ModuleTree) -> Iterator[tuple[str, ...]]:
    names = sorted(tree.linear_names[:MOST_NAMES_OF_A_SHARE])
    for size in range(1, len(names) + 1):
        yield from itertools.combinations(names, size)


def _find_fixed_targets(claim: Claim, tree: ModuleTree) -> tuple[str, ...] | None:
    """Find the stated targets as a tuple of names, which leaves only the rank open; else None."""
    if not claim.targets_are_known:
        return None
    if isinstance(claim.setting.targets, tuple):
        return claim.setting.targets
    matches = find_adaptation(tree, claim.setting).matches
    return tuple(dict.fromkeys(match.group.suffix for match in matches if not match.parameter))


def _list_numbers(claim: Claim, tree: ModuleTree) -> list[tuple[int, int]]:
    """Return the adapter counts to solve for, each with the count of what is trained in addition."""
    one = _compute_sizes_for_any_rank(claim, tree)
    if one is None:
        return []
    fixed = one.saved + (one.biases if claim.setting.bias == "all" else 0)
    if claim.printed.trainable is not None:
        numbers = [(claim.printed.trainable, fixed)]
        return numbers + ([(claim.printed.trainable, fixed + one.saved)] if one.saved else [])
    return [
        (claim.printed.total - (reading.low - one.adapters), 0)
        for reading in list_total_readings(one, claim)
        if claim.printed.total is not None
    ]


def _compute_sizes_for_any_rank(claim: Claim, tree: ModuleTree) -> Sizes | None:
    """Count what does not depend on rank and targets, for the first name that the setting applies to."""
    required = claim.setting.required_targets
    each_name = [tuple(dict.fromkeys((name, *required))) for name in tree.linear_names]
    for targets in [claim.setting.targets] if claim.targets_are_known else each_name:
        adaptation = try_adaptation(tree, replace(claim.setting, targets=targets))
        if adaptation is not None:
            return compute_sizes(claim, tree, adaptation, 1)
    return None


def _compute_sizes(claim: Claim, tree: ModuleTree, explanation: Explanation) -> Sizes:
    adaptation = find_adaptation(tree, _apply_targets(claim, explanation.targets))
    return compute_sizes(claim, tree, adaptation, explanation.rank or 1)


def _apply_targets(claim: Claim, targets: tuple[str, ...]) -> AdapterSetting:
    """Return the claim's setting, with these targets when the claim leaves them open."""
    if claim.targets_are_known:
        return claim.setting
    return replace(claim.setting, targets=targets)


def _explain_arithmetic(claim: Claim, tree: ModuleTree, explanation: Explanation) -> tuple[str, ...]:
    adaptation = find_adaptation(tree, _apply_targets(claim, explanation.targets))
    rank = explanation.rank or 1
    return work_claim(claim, adaptation, compute_sizes(claim, tree, adaptation, rank), rank)
