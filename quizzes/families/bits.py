"""Families about stored bits per weight, block constants included."""

from dataclasses import dataclass
from random import Random
from typing import Literal

from quizzes.families.drawn import DrawnNumbers, build_check, count_decimals_apart

BLOCK_SIZES = (32, 64, 128, 256, 512, 1024, 2048, 4096)  # those that bitsandbytes offers
WIDE = ("fp32", "bf16")


@dataclass(frozen=True, kw_only=True)
class QuestionScheme:
    """A block-wise quantization scheme, as a question states it."""

    id: Literal["nf4", "fp4", "hqq8", "hqq4", "hqq2"]
    name: str
    code_bits: int
    constants: int


SCHEMES = (
    QuestionScheme(id="nf4", name="NF4", code_bits=4, constants=1),
    QuestionScheme(id="fp4", name="FP4", code_bits=4, constants=1),
    QuestionScheme(id="hqq8", name="8-bit HQQ", code_bits=8, constants=2),
    QuestionScheme(id="hqq4", name="4-bit HQQ", code_bits=4, constants=2),
    QuestionScheme(id="hqq2", name="2-bit HQQ", code_bits=2, constants=2),
)


def draw_bits_per_weight(rng: Random) -> DrawnNumbers:
    """Draw a question about bits per weight: the code and the fp32 constants of its block."""
    scheme, size = rng.choice(SCHEMES), rng.choice(BLOCK_SIZES)
    name, code, numbers = scheme.name, scheme.code_bits, scheme.constants
    bits = build_check("bits_per_param", scheme=scheme.id, block_size=size)
    constant = 32 * numbers
    # 8-bit constants are an option of NF4 and FP4, which have one.
    nested = {"constant-of-8-bits": code + constant / 4 / size} if numbers == 1 else {}
    return DrawnNumbers(
        right=bits.expect,
        slips={
            "constants-are-free": code,
            "constant-of-16-bits": code + constant / 2 / size,
            **nested,
            "block-over-constant": code + size / constant,
        },
        values=dict(
            name=name,
            a_code=code,
            stored=numbers,
            size=size,
            code=code,
            constant=constant,
            shared_bits=constant / size,
        ),
        checks=(bits,),
        tolerance=0.001,
    )


def draw_nested_overhead(rng: Random) -> DrawnNumbers:
    """Draw a question about the bits of both levels of constants in double quantization."""
    size, nested = rng.choice((32, 64, 128, 256)), rng.choice((64, 128, 256, 512, 1024))
    first, second = 8 / size, 32 / (size * nested)
    places = count_decimals_apart(first + second, first)
    return DrawnNumbers(
        right=first + second,
        slips={
            "not-doubled": 32 / size,
            "second-level-per-weight": first + 32 / nested,
            "both-levels-32": 32 / size + second,
            "codes-included": 4 + first + second,
            "second-level-forgotten": first,
        },
        values=dict(size=size, nested=nested, first=first, second=second, places=places),
        tolerance=10.0**-places,
    )


def draw_percent_saved(rng: Random) -> DrawnNumbers:
    """Draw a question about the memory that fewer bits save, constants included."""
    wide, size = rng.choice(WIDE), rng.choice(BLOCK_SIZES[:4])
    scheme = rng.choice(SCHEMES)
    before = build_check("bits_per_param", scheme=wide)
    after = build_check("bits_per_param", scheme=scheme.id, block_size=size)
    saved = 100 * (1 - after.expect / before.expect)
    return DrawnNumbers(
        right=saved,
        slips={
            "what-remains": 100 - saved,
            "constants-are-free": 100 * (1 - scheme.code_bits / before.expect),
            "over-the-smaller": 100 * (before.expect / after.expect - 1),
        },
        values=dict(
            wide=wide,
            before=before.expect,
            scheme=scheme.name,
            size=size,
            after=after.expect,
            code_bits=scheme.code_bits,
            remaining=100 - saved,
        ),
        checks=(before, after),
        tolerance=0.1,
    )
