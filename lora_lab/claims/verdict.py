"""The verdict on a claim, as a learner and a program read it."""

from dataclasses import dataclass
from typing import Any, Literal

from lora_lab.claims.accountings import AccountingReading, Sizes
from lora_lab.claims.inversion import Explanation, OtherModel
from lora_lab.parameters.module_tree import ModuleTree

Answer = Literal["possible", "impossible", "underdetermined"]
Failing = Literal["trainable", "all", "pct", "config"]


@dataclass(frozen=True, kw_only=True)
class ClaimVerdict:
    answer: Answer
    answer_trainable: Answer
    """The answer for the first number alone."""

    why: str
    failing: tuple[Failing, ...] = ()
    expected: Sizes | None = None
    """What the stated setting prints; None when it is open or can't be applied."""

    layout: ModuleTree | None = None
    """The module names by which it was judged; None where PEFT refuses the setting under all of them."""

    base_parameters: int = 0
    explanations: tuple[Explanation, ...] = ()
    """Settings of this model that print the number."""

    others: tuple[OtherModel, ...] = ()
    arithmetic: tuple[str, ...] = ()
    readings: tuple[AccountingReading, AccountingReading] | None = None
    """The trainable count and the total of the accounting that explains most of the line."""

    accounting: tuple[str, ...] = ()
    """How that accounting goes on from the arithmetic; empty where it counts everything once and in full."""

    def to_json(self) -> dict[str, Any]:
        """Return the verdict in the command line's contract."""
        sizes = self.expected
        expected: dict[str, Any] = {"base": self.base_parameters}
        if sizes is not None:
            expected = {
                "trainable": sizes.trainable,
                "total": sizes.total,
                "base": sizes.base,
                "halved_total": sizes.halved_total,
            }
        return {
            "verdict": self.answer,
            "verdict_trainable": self.answer_trainable,
            "expected": expected,
            "explanations": [
                {"r": each.rank, "target_modules": list(each.targets)} for each in self.explanations
            ],
            "other_models": [
                {"model": each.model, "r": each.rank, "targets": each.targets} for each in self.others
            ],
            "failing": list(self.failing),
            "why": self.why,
            "arithmetic": list(self.arithmetic),
        }
