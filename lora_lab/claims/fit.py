"""Fit of one setting to a printed line, and the cause of a mismatch."""

from dataclasses import dataclass

from lora_lab.claims.accountings import (
    AccountingReading,
    Sizes,
    list_total_readings,
    list_trainable_readings,
    percent_fits,
)
from lora_lab.claims.claim import Claim
from lora_lab.claims.inversion import COMMON_RANKS
from lora_lab.claims.verdict import Failing
from lora_lab.parameters.adapter_config import Adaptation
from lora_lab.parameters.worked_count import work_count


@dataclass(frozen=True)
class AccountingFit:
    """One accounting of the line, and which of its numbers it explains."""

    trainable: AccountingReading
    total: AccountingReading
    failing: tuple[Failing, ...]
    """The printed numbers that this accounting does not explain."""

    @property
    def trainable_fits(self) -> bool:
        return "trainable" not in self.failing

    @property
    def readings(self) -> tuple[AccountingReading, AccountingReading]:
        """What the accounting makes of the trainable count and of the total."""
        return self.trainable, self.total


def find_best_fit(claim: Claim, sizes: Sizes) -> AccountingFit:
    """Return the accounting that explains most of the printed numbers; on a tie, the simplest."""
    fits = [
        _fit_numbers(claim, trainable, total)
        for trainable in list_trainable_readings(sizes)
        for total in list_total_readings(sizes, claim)
        if trainable.adapts_heads == total.adapts_heads or claim.printed.total is None or not total.is_checked
    ]
    return min(fits, key=lambda fit: len(fit.failing))


def _fit_numbers(claim: Claim, trainable: AccountingReading, total: AccountingReading) -> AccountingFit:
    printed = claim.printed
    numerator = trainable.low if printed.trainable is None else printed.trainable
    denominators = (total.low, total.high) if printed.total is None else (printed.total,)
    fits: dict[Failing, bool] = {
        "trainable": printed.trainable is None or trainable.has(printed.trainable),
        "all": printed.total is None or total.has(printed.total),
        "pct": printed.percent is None
        or any(percent_fits(printed.percent, numerator, each) for each in denominators),
    }
    return AccountingFit(trainable, total, failing=tuple(name for name, holds in fits.items() if not holds))


def explain_accounting(claim: Claim, fit: AccountingFit) -> str:
    """Explain how the printed numbers come about."""
    parts = [fit.trainable.why] if claim.printed.trainable is not None else []
    parts += [fit.total.why] if claim.printed.total is not None else []
    return ", and ".join(parts) or "the share is right"


def explain_misfit(claim: Claim, sizes: Sizes, fit: AccountingFit, *, has_likelier: bool = False) -> str:
    """Explain why the setting does not print the failing numbers.

    `has_likelier`: other targets at the claimed rank print the first number, which explains it better than
    a rank that nobody sets.
    """
    printed = claim.printed
    trainable = fit.trainable.low if printed.trainable is None else printed.trainable
    total = fit.total.low if printed.total is None else printed.total
    reasons: dict[Failing, str] = {
        "trainable": f"This setting trains {sizes.trainable:,} parameters, not {trainable:,}"
        f"{_explain_trainable(claim, sizes, trainable, has_likelier=has_likelier)}.",
        "all": f"The total is {sizes.total:,}, not {total:,}{_explain_total(claim, sizes, total)}.",
        "pct": f"{printed.percent} is not 100 × {trainable:,} / {total:,}.",
    }
    return " ".join(reasons[name] for name in fit.failing)


def _explain_trainable(claim: Claim, sizes: Sizes, printed: int, *, has_likelier: bool) -> str:
    if sizes.saved and printed == sizes.trainable - sizes.saved:
        return f"; the printed number leaves out the head of {sizes.saved:,} that is trained too"
    if 2 * printed == sizes.trainable and claim.quantization.startswith("4bit"):
        return "; the printed number is exactly half: some tools halve all counts on a 4-bit base"
    of_rank = (claim.rank or 0) * (printed - sizes.saved - sizes.biases)
    setting = claim.setting
    has_fixed = setting.rank_pattern or setting.lora_bias or setting.token_rows
    grows_with_rank = setting.variant in ("lora", "rslora") and not has_fixed
    rank, rest = divmod(of_rank, sizes.adapters) if grows_with_rank and of_rank > 0 else (0, 1)
    if not rest and (rank in COMMON_RANKS or not has_likelier):
        return f"; the printed number is what r = {rank} gives on the same targets"
    return _explain_hand_rounding(sizes.trainable, printed)


def _explain_total(claim: Claim, sizes: Sizes, printed: int) -> str:
    if printed == sizes.base:
        return "; the printed number is the base model without its adapters"
    if claim.printed.trainable is not None and printed == sizes.base + claim.printed.trainable:
        return "; the printed total is the base plus the printed count: both come from another setting"
    if printed == sizes.halved_total:
        return "; the printed number counts 4-bit weights at half, but no 4-bit base is stated"
    return _explain_hand_rounding(sizes.total, printed)


def _explain_hand_rounding(number: int, printed: int) -> str:
    """Explain a number of four digits or fewer that is near the true one: no program prints that."""
    few_digits = printed > 10_000 and len(str(printed).rstrip("0")) <= 4
    return (
        "; the printed number is rounded by hand"
        if few_digits and abs(printed - number) < number / 50
        else ""
    )


def work_claim(claim: Claim, adaptation: Adaptation, sizes: Sizes, rank: int) -> tuple[str, ...]:
    """Return the worked count of the setting, line by line."""
    lines = list(work_count(adaptation, claim.setting, rank=rank))
    parts = [f"{sizes.base:,}", f"{sizes.adapters:,}"]
    parts += [f"{sizes.saved:,}"] if sizes.saved else []
    parts += [f"{sizes.frozen_extra:,}"] if sizes.frozen_extra else []
    lines.append(f"all: {' + '.join(parts)} = {sizes.total:,}")
    lines.append(f"share: 100 × {sizes.trainable:,} / {sizes.total:,} = "
                 f"{100 * sizes.trainable / sizes.total:.4f}")  # fmt: skip
    return tuple(lines)


def work_accounting(fit: AccountingFit) -> tuple[str, ...]:
    """Return the lines that lead from PEFT's full counts to those of another accounting, with their share."""
    lines = [reading.why for reading in fit.readings if not reading.is_exact]
    trainable, total = fit.readings
    if lines and total.low == total.high:
        share = 100 * trainable.low / total.low
        lines.append(f"share: 100 × {trainable.low:,} / {total.low:,} = {share:.4f}")
    return tuple(lines)
