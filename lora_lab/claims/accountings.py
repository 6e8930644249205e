"""Accountings: the ways in which PEFT and related tools have counted the same model."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from functools import lru_cache

from lora_lab.claims.claim import Claim
from lora_lab.parameters.adapter_config import (
    Adaptation,
    AdapterSetting,
    Match,
    PeftRefusal,
    UnsupportedCase,
)
from lora_lab.parameters.module_tree import ModuleTree
from lora_lab.parameters.name_selection import is_within
from lora_lab.parameters.target_matching import find_adaptation

ADAPTED_HEAD = "adapted head"


@dataclass(frozen=True)
class AccountingReading:
    """A number, or its range, under one accounting, with the explanation."""

    low: int
    high: int
    name: str
    why: str

    @property
    def is_exact(self) -> bool:
        """Whether this is what PEFT prints today."""
        return self.name == "exact"

    @property
    def adapts_heads(self) -> bool:
        """Whether it counts adapters inside a saved head."""
        return self.name.startswith(ADAPTED_HEAD)

    @property
    def is_checked(self) -> bool:
        """Whether a number can be wrong: AQLM's total is not checked."""
        return self.name != "aqlm"

    def has(self, number: int) -> bool:
        return self.low <= number <= self.high


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """The parameter counts that every accounting adds up."""

    base: int
    adapters: int
    """Biases trained in place are left out because they belong to the base."""

    biases: int
    saved: int
    frozen_extra: int
    packed: int
    """Base weights that a 4-bit base stores two per byte."""

    packed_biases: int
    packed_heads: int
    """Weights of the classifier, which some versions store so too."""

    in_heads: int = 0
    """Adapters inside a head that is trained whole, where earlier PEFT put them too."""

    wrapped_biases: int = 0
    """Biases of adapted layers, which PEFT 0.7 missed with bias="lora_only"."""

    @property
    def trainable(self) -> int:
        """The first number that PEFT prints today."""
        return self.adapters + self.biases + self.saved

    @property
    def total(self) -> int:
        """The second number that PEFT prints today."""
        return self.base + self.adapters + self.saved + self.frozen_extra

    @property
    def halved_total(self) -> int:
        """The total with packed weights counted as stored, two per byte."""
        return self.total - self.packed // 2


def compute_sizes(claim: Claim, tree: ModuleTree, adaptation: Adaptation, rank: int) -> Sizes:
    given = claim.saved_parameters
    return Sizes(
        base=claim.base_parameters or tree.base_parameters,
        adapters=adaptation.adapters.at(rank),
        biases=adaptation.biases,
        saved=adaptation.saved_parameters if given is None else given,
        frozen_extra=adaptation.frozen_extra,
        packed=tree.quantized_parameters,
        packed_biases=tree.quantized_biases,
        packed_heads=tree.quantized_heads,
        in_heads=_count_in_heads(claim, tree, adaptation, rank),
        wrapped_biases=adaptation.biases if claim.setting.bias == "lora_only" else 0,
    )


def _count_in_heads(claim: Claim, tree: ModuleTree, adaptation: Adaptation, rank: int) -> int:
    """Count the adapters inside a saved head that the targets match, `dense` in `classifier.dense`.

    PEFT 0.4 to 0.13 put adapters there before it copied the head, with all-linear 0.10 did.
    """
    setting = claim.setting
    if not adaptation.saved or setting.family != "lora":
        return 0
    heads = tuple(module.name for module in adaptation.saved)
    return sum(match.each.at(rank) * count for match, count in _list_in_heads(tree, setting, heads))


@lru_cache(maxsize=64)  # a rank that is not stated is tried from 1 to 512
def _list_in_heads(
    tree: ModuleTree, setting: AdapterSetting, heads: tuple[str, ...]
) -> list[tuple[Match, int]]:
    """List what the targets match without a saved head, with the number of modules inside these heads."""
    try:
        everywhere = find_adaptation(tree, replace(setting, task_type=None, modules_to_save=()))
    except (PeftRefusal, UnsupportedCase):
        return []
    inside = (
        sum(any(is_within(name, head) for head in heads) for name in match.names)
        for match in everywhere.matches
    )
    return [(match, count) for match, count in zip(everywhere.matches, inside, strict=True) if count]


def list_trainable_readings(sizes: Sizes) -> Iterator[AccountingReading]:
    """Yield what the first number can be."""
    yield _match_exactly(sizes.trainable, "exact", "the trainable count is exact")
    if sizes.saved:
        yield _match_exactly(
            sizes.trainable + sizes.saved,
            "saved head twice",
            f"older PEFT counted the saved head ({sizes.saved:,}) twice among the trainable ones: "
            f"{sizes.trainable:,} + {sizes.saved:,} = {sizes.trainable + sizes.saved:,}",
        )

    if sizes.in_heads:
        yield _match_exactly(
            sizes.trainable + sizes.in_heads,
            ADAPTED_HEAD,
            f"earlier PEFT put adapters inside the saved head: {sizes.trainable:,} + {sizes.in_heads:,} = "
            f"{sizes.trainable + sizes.in_heads:,}",
        )
        both = sizes.trainable + sizes.saved + 2 * sizes.in_heads
        yield _match_exactly(
            both,
            f"{ADAPTED_HEAD} twice",
            f"older PEFT counted the saved head and the adapters that it put inside it twice: "
            f"{sizes.trainable:,} + {sizes.saved:,} + 2 × {sizes.in_heads:,} = {both:,}",
        )
    if sizes.wrapped_biases:
        yield _match_exactly(
            sizes.trainable - sizes.wrapped_biases,
            "biases left out",
            'PEFT 0.7 found no bias to train with bias="lora_only": '
            f"{sizes.trainable:,} − {sizes.wrapped_biases:,} = {sizes.trainable - sizes.wrapped_biases:,}",
        )


def list_total_readings(sizes: Sizes, claim: Claim) -> Iterator[AccountingReading]:
    """Yield what the second number can be with this quantization."""
    quantization = claim.quantization
    for total, name, why in _compute_totals(sizes):
        yield _match_exactly(total, name, why)
        if quantization in ("4bit", "4bit_partial"):
            for packed in dict.fromkeys((sizes.packed, sizes.packed + sizes.packed_heads)):
                half = packed // 2
                yield _match_exactly(
                    total - half,
                    "packed_4bit" if name == "exact" else f"packed_4bit, {name}",
                    f"4-bit weights were counted as stored, two to a byte: {total:,} − {packed:,} / 2 = "
                    f"{total - half:,}",
                )
        if quantization == "4bit_partial":
            half = sizes.packed // 2
            yield AccountingReading(
                total - half,
                total,
                "4bit_partial",
                f"some matrices stayed in 16 bit: anything from {total - half:,} (all packed) to {total:,}",
            )
        if quantization == "gptq":
            for biases in sorted({0, sizes.packed_biases}):
                left = total - sizes.packed - biases
                yield _match_exactly(
                    left,
                    "gptq_buffers",
                    f"GPTQ weights are buffers, which are not counted: {total:,} − "
                    f"{sizes.packed + biases:,} = {left:,}",
                )
    if quantization == "aqlm":
        yield AccountingReading(
            0, 10**18, "aqlm", "AQLM's codes are not counted as weights; the total is not checked"
        )


def _compute_totals(sizes: Sizes) -> Iterator[tuple[int, str, str]]:
    yield sizes.total, "exact", "the total is the base and everything added, in full"
    if sizes.saved:
        once = sizes.total - sizes.saved
        yield (
            once,
            "saved head once",
            f"older PEFT did not count the saved head ({sizes.saved:,}) a second time in the total: "
            f"{sizes.total:,} − {sizes.saved:,} = {once:,}",
        )
    if sizes.in_heads:
        adapted = sizes.total + 2 * sizes.in_heads
        yield (
            adapted,
            ADAPTED_HEAD,
            "earlier PEFT put adapters inside the head and inside its saved copy: "
            f"{sizes.total:,} + 2 × {sizes.in_heads:,} = {adapted:,}",
        )


def _match_exactly(number: int, name: str, why: str) -> AccountingReading:
    return AccountingReading(number, number, name, why)


DOUBLES_FROM_1_TO_2 = 2**52
"""Their distance is the error of one rounding to a double, relative to what is rounded."""


def percent_fits(printed: str, trainable: int, total: int) -> bool:
    """Return whether `printed` is 100 × trainable / total, to one unit of its last digit.

    Rounding and cutting stay within that unit, and so does the "0.2090" for 0.2089 in the published line c010
    (tests/golden/claims_given.json), whose share counts as right.
    The tool computed it as a double, which has about sixteen digits: digits beyond those need not agree.
    """
    share = _parse_share(printed)
    if not total or share is None:
        return False
    digits, exponent = share
    unit: int = 10 ** max(exponent, 0)
    denominator: int = 10 ** max(-exponent, 0)
    if total < 0:
        trainable, total = -trainable, -total
    # Both sides of |printed - exact| <= max(unit, float error), times total x denominator: whole numbers,
    # because a search tries tens of thousands of settings.
    exact = 100 * trainable * denominator
    off = abs(digits * unit * total - exact)
    return off <= unit * total or off * DOUBLES_FROM_1_TO_2 <= 4 * exact


@lru_cache
def _parse_share(printed: str) -> tuple[int, int] | None:
    """Return a printed share as (digits, exponent), which stands for digits x 10 ** exponent; None where it
    is not a number, or has more places than anybody prints, whose powers would fill the memory.
    """
    try:
        sign, digits, exponent = Decimal(printed).as_tuple()
    except InvalidOperation:
        return None
    if not isinstance(exponent, int) or abs(exponent) > 40:  # "n", "F": not a number, infinity
        return None
    return int(Decimal((sign, digits, 0))), exponent
