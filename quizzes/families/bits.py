"""Families about stored bits: what a weight really takes, block constants included."""

from random import Random

from quizzes.families.drawn import Drawn, Family, Right, Slip, computed, distinct
from quizzes.kinds.numbers import shown

BLOCK_SIZES = (64, 128, 256, 512, 1024, 2048, 4096)  # those that bitsandbytes offers
UNIT = "bits per weight"


def draw_bits_per_weight(dice: Random) -> Drawn:
    """4-bit codes and one fp32 constant a block."""
    size = dice.choice(BLOCK_SIZES)
    bits = computed("bits_per_param", scheme="nf4", block_size=size)
    right = Right(
        value=bits.expect,
        text=f"{shown(bits.expect)} {UNIT}",
        feedback=f"Each weight takes its 4-bit code and 32/{size} bits of its block's constant.",
    )
    slips = (
        _slip(
            "constants-are-free",
            4.0,
            "forgets that block constants take memory",
            "4 bits are the codes alone. The constants are stored as well.",
        ),
        _slip(
            "constant-of-16-bits",
            4 + 16 / size,
            "takes the constant to have 16 bits",
            "That would be right for 16-bit constants. Without double quantization they have 32 bits.",
        ),
        _slip(
            "constant-of-8-bits",
            4 + 8 / size,
            "takes double quantization for granted",
            "8-bit constants come with double quantization, which is off here.",
        ),
        _slip(
            "block-over-constant",
            4 + size / 32,
            "divides the wrong way round",
            f"The {size:,} weights of a block share the 32 bits, so it is 32 divided by {size:,}.",
        ),
    )
    return Drawn(
        kind="numeric",
        stem=f"NF4 stores a 4-bit code for each weight and, without double quantization, one 32-bit constant"
        f" for each block of {size:,} weights. How many bits does a weight take on average?",
        right=right,
        wrong=distinct(right, slips, tolerance=0.001, limit=4),
        steps=(
            "codes: 4 bits a weight",
            f"constants: 32 bits / {size:,} weights = {shown(32 / size)} bits a weight",
            f"together 4 + {shown(32 / size)} = {shown(bits.expect)} bits a weight",
        ),
        hint="Share the 32 bits of the constant out among the weights of its block.",
        keep="Bits per weight are code bits plus constant bits divided by the block size.",
        checks=(bits,),
        unit=UNIT,
        tolerance=0.001,
    )


def _slip(slip_id: str, value: float, misconception: str, feedback: str) -> Slip:
    return Slip(
        id=slip_id,
        value=value,
        text=f"{shown(value)} {UNIT}",
        misconception=misconception,
        feedback=feedback,
    )


FAMILIES = (
    Family(
        id="bits-per-weight",
        title="Bits of a stored weight",
        concepts=("blockwise-absmax", "weight-memory"),
        level="intermediate",
        draw=draw_bits_per_weight,
    ),
)
