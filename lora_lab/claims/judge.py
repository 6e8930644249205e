"""Judge of a claim: whether it can be true."""

from lora_lab.claims.claim import Claim
from lora_lab.claims.rank_given import judge_inapplicable, judge_stated
from lora_lab.claims.rank_open import judge_open
from lora_lab.claims.verdict import ClaimVerdict


def judge_claim(claim: Claim) -> ClaimVerdict:
    """Judge whether the stated setting prints the stated numbers under one known accounting.

    Raises UnsupportedCase when the setting has layers that are not counted.
    """
    if claim.targets_are_known and not any(claim.applies_to(tree) for tree in claim.layouts):
        return judge_inapplicable(claim)
    if claim.is_open:
        judged = [judge_open(claim, tree) for tree in claim.layouts]
    else:
        judged = [judge_stated(claim, tree) for tree in claim.layouts if claim.applies_to(tree)]
    return min(judged, key=lambda verdict: len(verdict.failing))  # the first layout wins a tie
