"""The quantization levels (code book) of each scheme, and rounding to them."""

from collections.abc import Sequence
from pathlib import Path

from study.base.yaml_loader import load_yaml

_TABLES = load_yaml(Path(__file__).with_name("quantization_levels.yaml").read_text("utf-8"))
NF4_LEVELS: tuple[float, ...] = tuple(_TABLES["nf4"])
FP4_LEVELS: tuple[float, ...] = tuple(_TABLES["fp4"])
FP4_CODES: tuple[int, ...] = (11, 10, 13, 12, 15, 14, 9, 0, 1, 6, 7, 4, 5, 2, 3)
"""The 4-bit code of each level above: a sign bit, two exponent bits and a fraction bit, so not in order of
value (bitsandbytes source, functional.py, get_4bit_type). A second code for zero, 8, is never written.
"""


def build_even_levels(steps: int) -> tuple[float, ...]:
    """Build levels from -steps to steps divided by `steps`: int4 has 7 on each side of zero, int8 has 127."""
    return tuple(number / steps for number in range(-steps, steps + 1))


LEVELS: dict[str, tuple[float, ...]] = {
    "nf4": NF4_LEVELS,
    "fp4": FP4_LEVELS,
    "int4": build_even_levels(7),
    "int8": build_even_levels(127),
}
"""Levels by the scheme's name."""


def find_nearest(value: float, levels: Sequence[float]) -> int:
    """Find the position of the level that a scaled weight is rounded to."""
    return min(range(len(levels)), key=lambda at: abs(levels[at] - value))


def encode_level(scheme: str, position: int) -> int:
    """Return the code stored for a level: its position, except in FP4, whose bits form a small float."""
    return FP4_CODES[position] if scheme == "fp4" else position
