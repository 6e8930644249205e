"""Order of the settings that print a number, likeliest first: close to the claim, and common in recipes."""

from collections.abc import Iterable
from dataclasses import dataclass

from lora_lab.claims.claim import Claim
from lora_lab.claims.inversion import COMMON_RANKS, Explanation, rank_simplicity
from lora_lab.parameters.module_tree import ModuleTree
from lora_lab.parameters.target_matching import try_adaptation
from study.base.errors import LearnerError

Names = frozenset[str]

RECIPE_RANKS = (8, 16, 32, 64)
"""Ranks that most recipes set; PEFT's default is 8."""

COMMON_SETS = {"attention": "the attention layers", "q+v": "q and v", "mlp": "the MLP layers"}
"""Targets that recipes name beside all linear layers, as `ModelShape.select` reads them."""


@dataclass(frozen=True, kw_only=True)
class LikelySettings:
    """What makes a setting likely for one claim: its own rank and targets, and those that recipes use."""

    rank: int | None
    """The claimed rank; None where it is open."""

    stated: Names | None
    """The claimed targets; None where they are open."""

    common: dict[Names, str]
    """Common sets of targets in order, each with its name for a sentence."""

    def is_likely(self, explanation: Explanation) -> bool:
        """Return whether at most one of rank and targets departs from the claim, and to a common value."""
        known_ranks = (None, *COMMON_RANKS) if self.rank is None else (None, self.rank)
        names = explanation.target_set
        keeps_rank = explanation.rank in known_ranks
        is_common = names in self.common
        changes_rank_only = names == self.stated and explanation.rank in COMMON_RANKS
        return (keeps_rank and is_common) or changes_rank_only

    def order(self, explanations: Iterable[Explanation]) -> tuple[Explanation, ...]:
        """Sort settings, likely ones first; then the claimed rank, usual ranks, common target sets."""
        places = {names: at for at, names in enumerate(self.common)}

        def sort_key(each: Explanation) -> tuple[object, ...]:
            other_rank = self.rank is not None and each.rank != self.rank
            rank_place = (each.rank not in (None, *RECIPE_RANKS)) + (each.rank not in (None, *COMMON_RANKS))
            set_place = places.get(each.target_set, len(places))
            return (not self.is_likely(each), other_rank, rank_place, set_place, rank_simplicity(each))

        return tuple(sorted(explanations, key=sort_key))

    def name(self, explanation: Explanation) -> str:
        """Name a setting for a sentence: `r = 16 on all linear layers`."""
        return explanation.name(self.common.get(explanation.target_set, ""))


def find_likely_settings(claim: Claim, tree: ModuleTree) -> LikelySettings:
    """Look up what is likely for a claim under one layout of module names."""
    common = {frozenset(tree.linear_names): "all linear layers"}
    for targets, name in COMMON_SETS.items():
        try:
            chosen = claim.shape.select(targets)
        except LearnerError:
            continue
        common.setdefault(frozenset(linear.suffix for linear in chosen), name)
    return LikelySettings(rank=claim.rank, stated=_find_stated(claim, tree), common=common)


def _find_stated(claim: Claim, tree: ModuleTree) -> Names | None:
    adaptation = try_adaptation(tree, claim.setting) if claim.targets_are_known else None
    if adaptation is None:
        return None
    return frozenset(match.group.suffix for match in adaptation.matches if not match.parameter)
