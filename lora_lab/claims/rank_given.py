"""Claims with stated rank and targets: the setting prints the line, or it does not."""

from dataclasses import replace

from lora_lab.claims.accountings import Sizes, compute_sizes
from lora_lab.claims.claim import Claim
from lora_lab.claims.fit import (
    AccountingFit,
    explain_accounting,
    explain_misfit,
    find_best_fit,
    work_accounting,
    work_claim,
)
from lora_lab.claims.inversion import Explanation, OtherModel, find_explanations, find_other_models
from lora_lab.claims.likelihood import LikelySettings, find_likely_settings
from lora_lab.claims.verdict import Answer, ClaimVerdict
from lora_lab.parameters.adapter_config import PeftRefusal
from lora_lab.parameters.module_tree import ModuleTree
from lora_lab.parameters.target_matching import find_adaptation


def judge_stated(claim: Claim, tree: ModuleTree) -> ClaimVerdict:
    """Judge a claim with stated rank and targets under one layout of module names."""
    adaptation = find_adaptation(tree, claim.setting)
    rank = claim.rank or 0  # IA3 has none
    sizes = compute_sizes(claim, tree, adaptation, rank)
    fit = find_best_fit(claim, sizes)
    possible = not fit.failing
    likely = find_likely_settings(claim, tree)
    settings = likely.order(_list_settings(claim, tree, sizes))
    likelier = None if fit.trainable_fits else _find_likelier(claim, tree, likely, settings)
    why = explain_misfit(claim, sizes, fit, has_likelier=likelier is not None)
    if likelier is not None:
        why += f" {_describe_likelier(likely, settings, *likelier)}"
    return ClaimVerdict(
        answer="possible" if possible else "impossible",
        answer_trainable=_judge_first_number(claim, fit),
        why=_explain_possible(claim, fit) if possible else why,
        failing=fit.failing,
        expected=sizes,
        explanations=settings,
        others=() if fit.trainable_fits else find_others_printing(claim),
        arithmetic=work_claim(claim, adaptation, sizes, rank),
        readings=fit.readings,
        accounting=work_accounting(fit),
    )


def _judge_first_number(claim: Claim, fit: AccountingFit) -> Answer:
    if claim.printed.trainable is None:
        return "underdetermined"
    return "possible" if fit.trainable_fits else "impossible"


def _explain_possible(claim: Claim, fit: AccountingFit) -> str:
    said = explain_accounting(claim, fit)
    return f"{said[0].upper()}{said[1:]}."


def _list_settings(claim: Claim, tree: ModuleTree, sizes: Sizes) -> tuple[Explanation, ...]:
    if claim.printed.trainable is None:
        return ()
    biases = sizes.biases if claim.setting.bias == "all" else 0
    found: dict[Explanation, None] = {}
    for fixed in (sizes.saved + biases, biases):  # with the saved head, and without
        found |= dict.fromkeys(find_explanations(tree, claim.setting, claim.printed.trainable, saved=fixed))
    return tuple(found)


def _find_likelier(
    claim: Claim, tree: ModuleTree, likely: LikelySettings, settings: tuple[Explanation, ...]
) -> tuple[Explanation, AccountingFit] | None:
    """Return the likeliest setting of the claimed rank on other targets; None where there is none.

    One that gives the number only without the head that it saves doesn't count.
    """
    for each in settings:
        if likely.is_likely(each) and each.rank == likely.rank and each.target_set != likely.stated:
            adaptation = find_adaptation(tree, replace(claim.setting, targets=each.targets))
            fit = find_best_fit(claim, compute_sizes(claim, tree, adaptation, each.rank or 0))
            return (each, fit) if fit.trainable_fits else None
    return None


def _describe_likelier(
    likely: LikelySettings, settings: tuple[Explanation, ...], likelier: Explanation, fit: AccountingFit
) -> str:
    """Say what this setting prints, and whether others are as likely."""
    printed = "this trainable count" if fit.failing else "this line"
    is_alone = not any(likely.is_likely(each) for each in settings if each != likelier)
    return f"{'Most likely' if is_alone else 'Likely'}: {likely.name(likelier)} prints exactly {printed}."


def judge_inapplicable(claim: Claim) -> ClaimVerdict:
    """Return the verdict on a setting that PEFT refuses under every layout of module names."""
    tree = claim.layouts[0]
    try:
        find_adaptation(claim.shape.modules, claim.setting)
        said = ""
    except PeftRefusal as error:
        said = str(error)
    number = claim.printed.trainable
    found = () if number is None else find_explanations(tree, claim.setting, number, saved=0)
    found = find_likely_settings(claim, tree).order(found)
    return ClaimVerdict(
        answer="impossible",
        answer_trainable="impossible",
        why=f"This setting can't be applied: {said}",
        failing=("config",),
        base_parameters=claim.count_base(tree),
        explanations=found,
        others=find_others_printing(claim),
    )


def find_others_printing(claim: Claim) -> tuple[OtherModel, ...]:
    """Find common settings on other models that print the claim's first number."""
    number = claim.printed.trainable
    return () if number is None else find_other_models(number, besides=claim.shape)
