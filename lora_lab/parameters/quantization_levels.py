"""The quantization levels (code book) of each scheme, and rounding to them."""

from collections.abc import Sequence

NF4_LEVELS: tuple[float, ...] = (
    -1.0,
    -0.6961928009986877,
    -0.5250730514526367,
    -0.39491748809814453,
    -0.28444138169288635,
    -0.18477343022823334,
    -0.09105003625154495,
    0.0,
    0.07958029955625534,
    0.16093020141124725,
    0.24611230194568634,
    0.33791524171829224,
    0.44070982933044434,
    0.5626170039176941,
    0.7229568362236023,
    1.0,
)
"""Quantiles of a normal distribution with an exact zero, scaled to [-1, 1] (arXiv:2305.14314 appendix E);
the test compares them with the table inside bitsandbytes.
"""

FP4_LEVELS: tuple[float, ...] = (
    -1.0,
    -0.6666666865348816,
    -0.5,
    -0.3333333432674408,
    -0.25,
    -0.1666666716337204,
    -0.0052083334885537624,
    0.0,
    0.0052083334885537624,
    0.1666666716337204,
    0.25,
    0.3333333432674408,
    0.5,
    0.6666666865348816,
    1.0,
)
"""The 4-bit float of bitsandbytes, scaled to [-1, 1]. Zero has two codes, so 16 codes have 15 values."""


FP4_CODES: tuple[int, ...] = (11, 10, 13, 12, 15, 14, 9, 0, 1, 6, 7, 4, 5, 2, 3)
"""The 4-bit code of each level above: a sign bit, two exponent bits and a fraction bit, so not in order of
value (bitsandbytes source, functional.py, get_4bit_type). A second code for zero, 8, is never written.
"""


def even_levels(steps: int) -> tuple[float, ...]:
    """Build levels from -steps to steps divided by `steps`: int4 has 7 on each side of zero, int8 has 127."""
    return tuple(number / steps for number in range(-steps, steps + 1))


LEVELS: dict[str, tuple[float, ...]] = {
    "nf4": NF4_LEVELS,
    "fp4": FP4_LEVELS,
    "int4": even_levels(7),
    "int8": even_levels(127),
}
"""Levels by the scheme's name."""


def find_nearest(value: float, levels: Sequence[float]) -> int:
    """Find the position of the level that a scaled weight is rounded to."""
    return min(range(len(levels)), key=lambda at: abs(levels[at] - value))


def code_of(scheme: str, position: int) -> int:
    """Return the code stored for a level: its position, except in FP4, whose bits form a small float."""
    return FP4_CODES[position] if scheme == "fp4" else position
