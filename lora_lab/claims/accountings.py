"""Accountings: the ways in which PEFT and related tools have counted the same model."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from decimal import Decimal, InvalidOperation
from functools import lru_cache

from lora_lab.claims.claim import Claim
from lora_lab.parameters.adapter_config import Adaptation, AdapterSetting, Match
from lora_lab.parameters.module_tree import ModuleTree
from lora_lab.parameters.name_selection import is_within
from lora_lab.parameters.target_matching import try_adaptation

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
        base=claim.count_base(tree),
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
    everywhere = try_adaptation(tree, replace(setting, task_type=None, modules_to_save=()))
    if everywhere is None:
        return []
    inside = (
        sum(any(is_within(name, head) for head in heads) for name in match.names)
        for match in everywhere.matches
    )
    return [(match, count) for match, count in zip(everywhere.matches, inside, strict=True) if count]


def list_trainable_readings(sizes: Sizes) -> Iterator[AccountingReading]:
    """Yield what the first number can be."""
    trainable, saved, in_heads, biases = sizes.trainable, sizes.saved, sizes.in_heads, sizes.wrapped_biases
    yield _match_exactly(trainable, "exact", "the trainable count is exact")
    if saved:
        said = f"older PEFT counted the saved head ({saved:,}) twice among the trainable ones"
        yield _work_out(trainable + saved, "saved head twice", said, f"{trainable:,} + {saved:,}")
    if in_heads:
        said = "earlier PEFT put adapters inside the saved head"
        yield _work_out(trainable + in_heads, ADAPTED_HEAD, said, f"{trainable:,} + {in_heads:,}")
        said = "older PEFT counted the saved head and the adapters that it put inside it twice"
        added = f"{trainable:,} + {saved:,} + 2 × {in_heads:,}"
        yield _work_out(trainable + saved + 2 * in_heads, f"{ADAPTED_HEAD} twice", said, added)
    if biases:
        said = 'PEFT 0.7 found no bias to train with bias="lora_only"'
        yield _work_out(trainable - biases, "biases left out", said, f"{trainable:,} − {biases:,}")


def list_total_readings(sizes: Sizes, claim: Claim) -> Iterator[AccountingReading]:
    """Yield what the second number can be with this quantization."""
    quantization = claim.quantization
    for reading in _list_full_totals(sizes):
        yield reading
        total, half = reading.low, sizes.packed // 2
        if quantization in ("4bit", "4bit_partial"):
            name = "packed_4bit" if reading.is_exact else f"packed_4bit, {reading.name}"
            said = "4-bit weights were counted as stored, two to a byte"
            for packed in dict.fromkeys((sizes.packed, sizes.packed + sizes.packed_heads)):
                yield _work_out(total - packed // 2, name, said, f"{total:,} − {packed:,} / 2")
        if quantization == "4bit_partial":
            why = f"some matrices stayed in 16 bit: anything from {total - half:,} (all packed) to {total:,}"
            yield AccountingReading(total - half, total, "4bit_partial", why)
        if quantization == "gptq":
            said = "GPTQ weights are buffers, which are not counted"
            for left_out in sorted({sizes.packed, sizes.packed + sizes.packed_biases}):
                yield _work_out(total - left_out, "gptq_buffers", said, f"{total:,} − {left_out:,}")
    if quantization == "aqlm":
        why = "AQLM's codes are not counted as weights; the total is not checked"
        yield AccountingReading(0, 10**18, "aqlm", why)


def _list_full_totals(sizes: Sizes) -> Iterator[AccountingReading]:
    """Yield what the total can be where every weight counts in full."""
    total, saved, in_heads = sizes.total, sizes.saved, sizes.in_heads
    yield _match_exactly(total, "exact", "the total is the base and everything added, in full")
    if saved:
        said = f"older PEFT did not count the saved head ({saved:,}) a second time in the total"
        yield _work_out(total - saved, "saved head once", said, f"{total:,} − {saved:,}")
    if in_heads:
        said = "earlier PEFT put adapters inside the head and inside its saved copy"
        yield _work_out(total + 2 * in_heads, ADAPTED_HEAD, said, f"{total:,} + 2 × {in_heads:,}")


def _match_exactly(number: int, name: str, why: str) -> AccountingReading:
    return AccountingReading(number, number, name, why)


def _work_out(number: int, name: str, said: str, sum_of: str) -> AccountingReading:
    return _match_exactly(number, name, f"{said}: {sum_of} = {number:,}")


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
