"""The verdict on a claim, with the arithmetic behind it."""

from dataclasses import dataclass, replace
from typing import Any, Literal

from lora_lab.adapters import Adaptation, AdapterSetting, UnsupportedCase, adapt
from lora_lab.arithmetic import worked
from lora_lab.claims.accountings import (
    Reading,
    Sizes,
    percent_fits,
    sizes_of,
    total_readings,
    trainable_readings,
)
from lora_lab.claims.claim import Claim
from lora_lab.claims.inversion import Explanation, OtherModel, explanations, other_models
from lora_lab.modules import ModuleTree
from study.errors import LearnerError

Answer = Literal["possible", "impossible", "underdetermined"]
Failing = Literal["trainable", "all", "pct", "config"]


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What can be said of a claim."""

    answer: Answer
    answer_trainable: Answer
    """For the first number alone."""

    why: str
    failing: tuple[Failing, ...] = ()
    expected: Sizes | None = None
    """What the stated setting prints; None when it is open or can't be applied."""

    base_parameters: int = 0
    explanations: tuple[Explanation, ...] = ()
    """Settings of this model that print the number."""

    others: tuple[OtherModel, ...] = ()
    arithmetic: tuple[str, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """As the command line's contract has it."""
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


def judge(claim: Claim) -> Verdict:
    """Whether the stated setting prints the stated numbers under one known way of counting.

    Raises UnsupportedCase where the setting has layers that are not counted.
    """
    if claim.targets_are_known and not any(_applies(claim, tree) for tree in claim.layouts):
        return _inapplicable(claim)
    if claim.is_open:
        return max((_judge_open(claim, tree) for tree in claim.layouts), key=_how_good)
    judged = (_judge_stated(claim, tree) for tree in claim.layouts if _applies(claim, tree))
    return max(judged, key=_how_good)


def _applies(claim: Claim, tree: ModuleTree) -> bool:
    """Whether PEFT takes the setting under these names."""
    try:
        adapt(tree, claim.setting)
    except LearnerError:
        return False
    return True


def _how_good(verdict: Verdict) -> int:
    """An answer under one layout of names beats none under another; the first one wins a tie."""
    return 4 - len(verdict.failing)


# ---- rank and targets are stated


@dataclass(frozen=True)
class _Fit:
    """One way of reading the line and which of its numbers it explains."""

    trainable: Reading
    total: Reading
    trainable_fits: bool
    total_fits: bool
    percent_fits: bool

    @property
    def failing(self) -> tuple[Failing, ...]:
        checks: tuple[tuple[Failing, bool], ...] = (
            ("trainable", self.trainable_fits),
            ("all", self.total_fits),
            ("pct", self.percent_fits),
        )
        return tuple(name for name, fits in checks if not fits)


def _judge_stated(claim: Claim, tree: ModuleTree) -> Verdict:
    adaptation = adapt(tree, claim.setting)
    rank = claim.rank or 0  # IA3 has none
    sizes = sizes_of(claim, tree, adaptation, rank)
    fit = best_fit(claim, sizes)
    possible = not fit.failing
    return Verdict(
        answer="possible" if possible else "impossible",
        answer_trainable=_of_first_number(claim, fit),
        why=_why_possible(claim, fit) if possible else _why_not(claim, sizes, fit),
        failing=fit.failing,
        expected=sizes,
        base_parameters=sizes.base,
        explanations=_settings(claim, tree, sizes),
        others=() if fit.trainable_fits else _others(claim),
        arithmetic=_arithmetic(claim, adaptation, sizes, rank),
    )


def _of_first_number(claim: Claim, fit: _Fit) -> Answer:
    if claim.printed.trainable is None:
        return "underdetermined"
    return "possible" if fit.trainable_fits else "impossible"


def best_fit(claim: Claim, sizes: Sizes) -> _Fit:
    """The reading that explains most of the printed numbers; the plainest one among equals."""
    fits = [
        _fit(claim, trainable, total)
        for trainable in trainable_readings(sizes)
        for total in total_readings(sizes, claim)
    ]
    return min(fits, key=lambda fit: len(fit.failing))


def _fit(claim: Claim, trainable: Reading, total: Reading) -> _Fit:
    printed = claim.printed
    numerator = trainable.low if printed.trainable is None else printed.trainable
    denominators = (total.low, total.high) if printed.total is None else (printed.total,)
    return _Fit(
        trainable,
        total,
        trainable_fits=printed.trainable is None or trainable.has(printed.trainable),
        total_fits=printed.total is None or total.has(printed.total),
        percent_fits=printed.percent is None
        or any(percent_fits(printed.percent, numerator, each) for each in denominators),
    )


def _why_possible(claim: Claim, fit: _Fit) -> str:
    said = _accounting(claim, fit)
    return f"{said[0].upper()}{said[1:]}."


def _accounting(claim: Claim, fit: _Fit) -> str:
    """How the printed numbers come about."""
    parts = [fit.trainable.why] if claim.printed.trainable is not None else []
    parts += [fit.total.why] if claim.printed.total is not None else []
    return ", and ".join(parts) or "the share is right"


def _why_not(claim: Claim, sizes: Sizes, fit: _Fit) -> str:
    parts = [text for name, text in _reasons(claim, sizes) if name in fit.failing]
    return " ".join(parts)


def _reasons(claim: Claim, sizes: Sizes) -> list[tuple[Failing, str]]:
    printed = claim.printed
    trainable, total = printed.trainable or 0, printed.total or 0
    return [
        (
            "trainable",
            f"This setting trains {sizes.trainable:,} parameters, not {trainable:,}"
            f"{_cause_of_trainable(claim, sizes, trainable)}.",
        ),
        ("all", f"The total is {sizes.total:,}, not {total:,}{_cause_of_total(claim, sizes, total)}."),
        ("pct", f"{printed.percent} is not 100 × {trainable:,} / {total:,}."),
    ]


def _cause_of_trainable(claim: Claim, sizes: Sizes, printed: int) -> str:
    if sizes.saved and printed == sizes.trainable - sizes.saved:
        return f"; the printed number leaves out the head of {sizes.saved:,} that is trained too"
    if 2 * printed == sizes.trainable and claim.quantisation.startswith("4bit"):
        return "; the printed number is exactly half, as tools print that take a 4-bit base's halving for all"
    of_rank = (claim.rank or 0) * (printed - sizes.saved - sizes.biases)
    if claim.setting.variant in ("lora", "rslora") and of_rank > 0 and not of_rank % sizes.adapters:
        return f"; the printed number is what r = {of_rank // sizes.adapters} gives on the same targets"
    return _rounded_by_hand(sizes.trainable, printed)


def _cause_of_total(claim: Claim, sizes: Sizes, printed: int) -> str:
    if printed == sizes.base:
        return "; the printed number is the base model without its adapters"
    if claim.printed.trainable is not None and printed == sizes.base + claim.printed.trainable:
        return "; the printed number is the base and the printed trainable count, as of another setting"
    if printed == sizes.halved_total:
        return "; the printed number counts 4-bit weights at half, but no 4-bit base is stated"
    return _rounded_by_hand(sizes.total, printed)


def _rounded_by_hand(number: int, printed: int) -> str:
    """Four digits or fewer, and near the truth: no program prints that."""
    few_digits = printed > 10_000 and len(str(printed).rstrip("0")) <= 4
    return (
        "; the printed number is rounded by hand"
        if few_digits and abs(printed - number) < number / 50
        else ""
    )


def _arithmetic(claim: Claim, adaptation: Adaptation, sizes: Sizes, rank: int) -> tuple[str, ...]:
    lines = list(worked(adaptation, claim.setting, rank=rank))
    parts = [f"{sizes.base:,}", f"{sizes.adapters:,}"]
    parts += [f"{sizes.saved:,}"] if sizes.saved else []
    parts += [f"{sizes.frozen_extra:,}"] if sizes.frozen_extra else []
    lines.append(f"all: {' + '.join(parts)} = {sizes.total:,}")
    lines.append(f"share: 100 × {sizes.trainable:,} / {sizes.total:,} = "
                 f"{100 * sizes.trainable / sizes.total:.4f}")  # fmt: skip
    return tuple(lines)


def _settings(claim: Claim, tree: ModuleTree, sizes: Sizes) -> tuple[Explanation, ...]:
    if claim.printed.trainable is None:
        return ()
    biases = sizes.biases if claim.setting.bias == "all" else 0
    found: dict[Explanation, None] = {}
    for fixed in (sizes.saved + biases, biases):  # with the saved head, and without
        for each in explanations(tree, claim.setting, claim.printed.trainable, saved=fixed):
            found.setdefault(each)
    return tuple(found)


def _others(claim: Claim) -> tuple[OtherModel, ...]:
    number = claim.printed.trainable
    return () if number is None else other_models(number, besides=claim.shape)


def _inapplicable(claim: Claim) -> Verdict:
    """PEFT refuses the setting whatever the names' layout."""
    tree = claim.layouts[0]
    try:
        adapt(claim.shape.modules, claim.setting)
        said = ""
    except LearnerError as error:
        said = str(error)
    base = claim.base_parameters or tree.base_parameters
    number = claim.printed.trainable
    found = () if number is None else explanations(tree, claim.setting, number, saved=0)
    return Verdict(
        answer="impossible",
        answer_trainable="impossible",
        why=f"This setting can't be applied: {said}",
        failing=("config",),
        base_parameters=base,
        explanations=found,
        others=_others(claim),
    )


# ---- rank or targets are open


def _judge_open(claim: Claim, tree: ModuleTree) -> Verdict:
    """Every setting that gives the first number, and of those the ones that give the whole line."""
    candidates = _candidates(claim, tree)
    fitting: list[tuple[Explanation, _Fit]] = []
    failing: list[tuple[Explanation, _Fit]] = []
    for explanation in candidates:
        fit = best_fit(claim, _sizes_of_explanation(claim, tree, explanation))
        (failing if fit.failing else fitting).append((explanation, fit))
    base = claim.base_parameters or tree.base_parameters
    if fitting:
        return Verdict(
            answer="underdetermined",
            answer_trainable="underdetermined",
            why=_why_open(claim, fitting[0][0], fitting[0][1], len(fitting)),
            base_parameters=base,
            explanations=tuple(explanation for explanation, _ in fitting),
            arithmetic=_arithmetic_of(claim, tree, fitting[0][0]),
        )
    if not failing:
        number = claim.printed.trainable
        said = "these numbers" if number is None else f"{number:,} trainable parameters"
        return Verdict(
            answer="impossible",
            answer_trainable="impossible",
            why=f"No rank up to 512 on {_open_targets(claim)} gives {said}.",
            failing=_all_printed(claim),
            base_parameters=base,
            others=_others(claim),
        )
    explanation, fit = min(failing, key=lambda pair: len(pair[1].failing))
    sizes = _sizes_of_explanation(claim, tree, explanation)
    return Verdict(
        answer="impossible",
        answer_trainable="underdetermined",
        why=f"Settings with this trainable count exist, but not with the rest of the line. With "
        f"{_named(explanation)}: {_why_not(claim, sizes, fit)}",
        failing=fit.failing,
        base_parameters=base,
        explanations=tuple(explanation for explanation, _ in failing),
        arithmetic=_arithmetic_of(claim, tree, explanation),
    )


def _all_printed(claim: Claim) -> tuple[Failing, ...]:
    """Numbers that nothing explains; a share that follows from them is no fault of its own."""
    printed = claim.printed
    failing: list[Failing] = []
    if printed.trainable is not None:
        failing.append("trainable")
    if printed.total is not None:
        failing.append("all")
    consistent = (
        printed.percent is not None
        and printed.trainable is not None
        and printed.total is not None
        and percent_fits(printed.percent, printed.trainable, printed.total)
    )
    if printed.percent is not None and not consistent:
        failing.append("pct")
    return tuple(failing)


def _open_targets(claim: Claim) -> str:
    if not claim.targets_are_known:
        return "any of this model's linear layers"
    targets = claim.setting.targets
    return targets if isinstance(targets, str) else ", ".join(targets or ("PEFT's default targets",))


def _named(explanation: Explanation) -> str:
    rank = "" if explanation.rank is None else f"r = {explanation.rank} on "
    return f"{rank}{', '.join(explanation.targets)}"


def _why_open(claim: Claim, simplest: Explanation, fit: _Fit, count: int) -> str:
    open_parts = [] if claim.rank is not None or claim.setting.variant == "ia3" else ["rank"]
    open_parts += [] if claim.targets_are_known else ["targets"]
    settings = "1 setting gives" if count == 1 else f"{count} settings give"
    return (
        f"Not stated: {' and '.join(open_parts)}. {settings} this line, for one {_named(simplest)}: "
        f"{_accounting(claim, fit)}."
    )


def _candidates(claim: Claim, tree: ModuleTree) -> tuple[Explanation, ...]:
    """Settings that give the first number, or where it lacks, the second."""
    if claim.targets_are_known and not _applies(claim, tree):
        return ()
    targets = _fixed_targets(claim, tree)
    found: dict[Explanation, None] = {}
    for number, saved in _numbers(claim, tree):
        for each in explanations(tree, claim.setting, number, saved=saved, rank=claim.rank, targets=targets):
            found.setdefault(each)
    return tuple(found)


def _fixed_targets(claim: Claim, tree: ModuleTree) -> tuple[str, ...] | None:
    """Stated targets as a tuple of names, so that only the rank is open."""
    if not claim.targets_are_known:
        return None
    if isinstance(claim.setting.targets, tuple):
        return claim.setting.targets
    matches = adapt(tree, claim.setting).matches
    return tuple(dict.fromkeys(match.group.suffix for match in matches))


def _numbers(claim: Claim, tree: ModuleTree) -> list[tuple[int, int]]:
    """Counts of adapters to solve for, each with what is trained besides."""
    one = _sizes_for_any_rank(claim, tree)
    if one is None:
        return []
    fixed = one.saved + (one.biases if claim.setting.bias == "all" else 0)
    if claim.printed.trainable is not None:
        numbers = [(claim.printed.trainable, fixed)]
        return numbers + ([(claim.printed.trainable, fixed + one.saved)] if one.saved else [])
    if claim.printed.total is not None:
        return [
            (claim.printed.total - (reading.low - one.adapters), 0)
            for reading in total_readings(one, claim)
            if reading.low == reading.high
        ]
    return []


def _sizes_for_any_rank(claim: Claim, tree: ModuleTree) -> Sizes | None:
    """What does not depend on rank and targets, from the first name that the setting can be put on."""
    names = [claim.setting.targets] if claim.targets_are_known else [(name,) for name in tree.linear_names]
    for targets in names:
        try:
            adaptation = adapt(tree, replace(claim.setting, targets=targets))
        except (LearnerError, UnsupportedCase):
            continue
        return sizes_of(claim, tree, adaptation, 1)
    return None


def _sizes_of_explanation(claim: Claim, tree: ModuleTree, explanation: Explanation) -> Sizes:
    adaptation = adapt(tree, _explained(claim, explanation))
    return sizes_of(claim, tree, adaptation, explanation.rank or 1)


def _explained(claim: Claim, explanation: Explanation) -> AdapterSetting:
    """The claim's setting with the explanation's targets where it leaves them open."""
    if claim.targets_are_known:
        return claim.setting
    return replace(claim.setting, targets=explanation.targets)


def _arithmetic_of(claim: Claim, tree: ModuleTree, explanation: Explanation) -> tuple[str, ...]:
    adaptation = adapt(tree, _explained(claim, explanation))
    rank = explanation.rank or 1
    return _arithmetic(claim, adaptation, sizes_of(claim, tree, adaptation, rank), rank)
