"""Families about quantization blocks: their number and the memory of their constants."""

from random import Random

from quizzes.families.drawn import WIDTHS, DrawnNumbers, build_check, compute_tolerance

KB = 1000


def draw_block_count(rng: Random) -> DrawnNumbers:
    """Draw a question about the number of constants of a matrix, one per block."""
    d_in, d_out, size = rng.choice(WIDTHS), rng.choice(WIDTHS), rng.choice((32, 64, 128, 256))
    weights = build_check("linear_parameters", d_in=d_in, d_out=d_out)
    blocks = weights.expect / size
    return DrawnNumbers(
        right=blocks,
        slips={
            "one-per-row": d_out,
            "one-per-weight": weights.expect,
            "block-size": size,
            "blocks-of-a-row": d_in / size,
            "square-blocks": weights.expect / size**2,
        },
        values=dict(d_out=d_out, d_in=d_in, size=size, weights=weights.expect),
        checks=(weights,),
    )


def draw_constant_bytes(rng: Random) -> DrawnNumbers:
    """Draw a question about the memory of a matrix's fp32 constants."""
    d_in, d_out, size = rng.choice(WIDTHS), rng.choice(WIDTHS), rng.choice((32, 64, 128, 256))
    weights = build_check("linear_parameters", d_in=d_in, d_out=d_out)
    blocks = weights.expect / size
    kilobytes = 4 * blocks / KB
    return DrawnNumbers(
        right=kilobytes,
        slips={
            "bits-for-bytes": 32 * blocks / KB,
            "one-byte": blocks / KB,
            "codes": weights.expect / 2 / KB,
            "per-weight": 4 * weights.expect / KB,
        },
        values=dict(d_out=d_out, d_in=d_in, size=size, blocks=blocks, weights=weights.expect),
        checks=(weights,),
        tolerance=compute_tolerance(kilobytes, 1),
    )


def draw_nested_bytes(rng: Random) -> DrawnNumbers:
    """Draw a question about constants with double quantization, as bitsandbytes stores them."""
    d_in, d_out = rng.choice(WIDTHS), rng.choice(WIDTHS)
    weights = build_check("linear_parameters", d_in=d_in, d_out=d_out)
    blocks = weights.expect / 64
    nested = blocks / 256
    stored = blocks + 4 * nested
    return DrawnNumbers(
        right=stored,
        slips={
            "not-doubled": 4 * blocks,
            "second-level-forgotten": 4 * nested,
            "bits-for-bytes": 8 * blocks + 32 * nested,
            "second-level-per-weight": blocks + 4 * weights.expect / 256,
            "one-per-row": d_out,
        },
        values=dict(d_out=d_out, d_in=d_in, blocks=blocks, nested=nested, weights=weights.expect),
        checks=(weights,),
    )
