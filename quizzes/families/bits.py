"""Families about stored bits per weight, block constants included."""

from dataclasses import dataclass
from random import Random
from typing import Literal

from quizzes.families.answers import build_answers, format_digits
from quizzes.families.drawn import DrawnQuestion, QuestionFamily, build_check, keep_distinct
from quizzes.kinds.numbers import format_number

BLOCK_SIZES = (32, 64, 128, 256, 512, 1024, 2048, 4096)  # those that bitsandbytes offers
UNIT = "bits per weight"
WIDE = ("fp32", "bf16")


@dataclass(frozen=True, kw_only=True)
class QuestionScheme:
    """A block-wise quantization scheme, as a question states it."""

    id: Literal["nf4", "fp4", "hqq8", "hqq4", "hqq2"]
    name: str
    code_bits: int
    constants: int
    stored: str

    @property
    def code(self) -> str:
        """The code with its article: `a 4-bit code`."""
        return f"{'an' if self.code_bits == 8 else 'a'} {self.code_bits}-bit code"


_SCALE = "(without double quantization) one 32-bit constant"
_SCALE_AND_ZERO = "(as this lab keeps it) a 32-bit scale and a 32-bit zero point"
SCHEMES = (
    QuestionScheme(id="nf4", name="NF4", code_bits=4, constants=1, stored=_SCALE),
    QuestionScheme(id="fp4", name="FP4", code_bits=4, constants=1, stored=_SCALE),
    QuestionScheme(id="hqq8", name="8-bit HQQ", code_bits=8, constants=2, stored=_SCALE_AND_ZERO),
    QuestionScheme(id="hqq4", name="4-bit HQQ", code_bits=4, constants=2, stored=_SCALE_AND_ZERO),
    QuestionScheme(id="hqq2", name="2-bit HQQ", code_bits=2, constants=2, stored=_SCALE_AND_ZERO),
)


def draw_bits_per_weight(dice: Random) -> DrawnQuestion:
    """Draw a question about bits per weight: the code and the fp32 constants of its block."""
    scheme, size = dice.choice(SCHEMES), dice.choice(BLOCK_SIZES)
    name, code, numbers = scheme.name, scheme.code_bits, scheme.constants
    bits = build_check("bits_per_param", scheme=scheme.id, block_size=size)
    constant = 32 * numbers
    right, slips = build_answers(
        _format_bits,
        bits.expect,
        f"Each weight needs its {code}-bit code and {constant}/{size} bits of what its block stores.",
        (
            "constants-are-free",
            code,
            "forgets that block constants need memory",
            f"{code} bits are the codes alone. What each block adds is stored as well.",
        ),
        (
            "constant-of-16-bits",
            code + constant / 2 / size,
            "assumes that the constants have 16 bits",
            "That would be right for 16-bit constants. Here they have 32 bits.",
        ),
        (
            "constant-of-8-bits",
            code + constant / 4 / size,
            "assumes double quantization",
            "8-bit constants come with double quantization, which is off here.",
        )
        if numbers == 1
        else (
            "zero-point-forgotten",
            code + 32 / size,
            "counts one of the two constants",
            "Each block stores two numbers, a scale and a zero point.",
        ),
        (
            "block-over-constant",
            code + size / constant,
            "divides the wrong way round",
            f"The {size:,} weights of a block share the {constant} bits: it is {constant} / {size:,}.",
        ),
    )
    return DrawnQuestion(
        kind="numeric",
        stem=f"{name} stores {scheme.code} for each weight and {scheme.stored} for each block of {size:,}"
        " weights. How many bits does a weight need on average?",
        right=right,
        wrong=keep_distinct(right, slips, tolerance=0.001, limit=4),
        steps=(
            f"codes: {code} bits per weight",
            f"constants: {constant} / {size:,} = {format_number(constant / size)} bits per weight",
            f"together {code} + {format_number(constant / size)} = {format_number(bits.expect)} "
            "bits per weight",
        ),
        hint="Divide the bits that a block stores among its weights.",
        keep="Bits per weight are code bits plus constant bits divided by the block size.",
        checks=(bits,),
        unit=UNIT,
        tolerance=0.001,
    )


def draw_nested_overhead(dice: Random) -> DrawnQuestion:
    """Draw a question about the bits of both levels of constants in double quantization."""
    size, nested = dice.choice((32, 64, 128, 256)), dice.choice((64, 128, 256, 512, 1024))
    first, second = 8 / size, 32 / (size * nested)
    right, slips = build_answers(
        _format_bits,
        first + second,
        f"8 bits for each {size} weights, and 32 bits for each {nested:,} of those constants.",
        (
            "not-doubled",
            32 / size,
            "counts the constants as if they had 32 bits",
            "That is without double quantization. The constants of the blocks have 8 bits here.",
        ),
        (
            "second-level-per-weight",
            first + 32 / nested,
            "shares a second-level constant among weights instead of constants",
            f"A second-level constant serves {nested:,} blocks, and each of them has {size} weights.",
        ),
        (
            "both-levels-32",
            32 / size + second,
            "adds the second level without making the first one smaller",
            "The first level shrinks to 8 bits per block. That is what the second level is for.",
        ),
        (
            "codes-included",
            4 + first + second,
            "adds the 4 bits of the codes",
            "That is a whole weight. The question asks for the constants alone.",
        ),
    )
    return DrawnQuestion(
        kind="numeric",
        stem=f"Weights are stored in 4 bits in blocks of {size}. Each block has a constant of 8 bits, and"
        f" each {nested:,} of these constants share one more constant of 32 bits. How many bits per weight"
        " do the constants of both levels need?",
        right=right,
        wrong=keep_distinct(right, slips, tolerance=0.0005, limit=4),
        steps=(
            f"first level: 8 / {size} = {format_number(first)}",
            f"second level: 32 / ({size} × {nested:,}) = {format_digits(second)}",
            f"together {format_number(first)} + {format_digits(second)} = "
            f"{format_number(first + second)} bits per weight",
        ),
        hint="A constant of the second level is shared by many blocks, and so by very many weights.",
        keep="With blocks of 64 and groups of 256 constants, double quantization needs 0.127 bits per weight"
        " instead of 0.5.",
        source="arXiv:2305.14314 section 3, double quantization",
        unit=UNIT,
        tolerance=0.0005,
    )


def draw_percent_saved(dice: Random) -> DrawnQuestion:
    """Draw a question about the memory that fewer bits save, constants included."""
    wide, size = dice.choice(WIDE), dice.choice(BLOCK_SIZES[:4])
    scheme = dice.choice(SCHEMES)
    before = build_check("bits_per_param", scheme=wide)
    after = build_check("bits_per_param", scheme=scheme.id, block_size=size)
    saved = 100 * (1 - after.expect / before.expect)
    right, slips = build_answers(
        format_number,
        saved,
        f"{format_number(after.expect)} of {format_number(before.expect)} bits remain.",
        (
            "what-remains",
            100 - saved,
            "gives what remains",
            "That is the share which remains. The rest is saved.",
        ),
        (
            "constants-are-free",
            100 * (1 - scheme.code_bits / before.expect),
            "forgets that block constants need memory",
            f"That counts {scheme.code_bits} bits per weight. With what the blocks store there are"
            f" {format_number(after.expect)}.",
        ),
        (
            "over-the-smaller",
            100 * (before.expect / after.expect - 1),
            "divides by the smaller number",
            "A saving is measured against the size before.",
        ),
    )
    return DrawnQuestion(
        kind="numeric",
        stem=f"Weights in {wide} ({format_number(before.expect)} bits each) are stored in "
        f"{scheme.name} instead, in"
        f" blocks of {size}: {format_number(after.expect)} bits per weight, of which "
        f"{scheme.code_bits} are the"
        " code. By how many percent does their memory shrink?",
        right=right,
        wrong=keep_distinct(right, slips, tolerance=0.1, limit=4),
        steps=(
            f"what remains: 100 × {format_number(after.expect)} / {format_number(before.expect)} "
            f"= {format_number(100 - saved)} %",
            f"saved: 100 − {format_number(100 - saved)} = {format_number(saved)} %",
        ),
        hint="First work out which share remains.",
        keep="Savings follow from stored bits, constants included.",
        checks=(before, after),
        unit="%",
        tolerance=0.1,
    )


def _format_bits(value: float) -> str:
    return f"{format_number(value)} {UNIT}"


FAMILIES = (
    QuestionFamily(
        id="bits-per-weight",
        title="Bits of a stored weight",
        concepts=("blockwise-absmax", "weight-memory"),
        level="intermediate",
        draw=draw_bits_per_weight,
    ),
    QuestionFamily(
        id="nested-overhead",
        title="Constants of constants",
        concepts=("double-quantization", "blockwise-absmax"),
        level="advanced",
        draw=draw_nested_overhead,
    ),
    QuestionFamily(
        id="percent-saved",
        title="Memory saved by fewer bits",
        concepts=("weight-memory", "number-formats", "blockwise-absmax"),
        level="intermediate",
        draw=draw_percent_saved,
    ),
)
