"""Families about quantization blocks: their number and the memory of their constants."""

from random import Random

from quizzes.families.answers import build_answers, format_digits, format_whole, one_percent, sample_slips
from quizzes.families.drawn import DrawnQuestion, QuestionFamily, build_check, keep_distinct

WIDTHS = (512, 768, 1024, 2048, 4096)
KB = 1000


def draw_block_count(dice: Random) -> DrawnQuestion:
    """Draw a question about the number of constants of a matrix, one per block."""
    d_in, d_out, size = dice.choice(WIDTHS), dice.choice(WIDTHS), dice.choice((32, 64, 128, 256))
    weights = build_check("linear_parameters", d_in=d_in, d_out=d_out)
    blocks = weights.expect / size
    right, slips = build_answers(
        format_whole,
        blocks,
        f"{weights.expect:,.0f} weights in blocks of {size}.",
        (
            "one-per-row",
            d_out,
            "gives each row one constant",
            "That is one for each row. Blocks are shorter.",
        ),
        (
            "one-per-weight",
            weights.expect,
            "gives each weight its own constant",
            f"That is one for each weight. The {size} weights of a block share one.",
        ),
        (
            "block-size",
            size,
            "mistakes the size of a block for the number of blocks",
            f"{size} is how many weights a block has.",
        ),
        (
            "blocks-of-a-row",
            d_in / size,
            "counts the blocks of a single row",
            f"That is one row. The matrix has {d_out:,} rows.",
        ),
        (
            "square-blocks",
            weights.expect / size**2,
            "mistakes a block for a square tile",
            f"That would be tiles of {size} × {size}. A block is {size} weights in a line.",
        ),
    )
    return DrawnQuestion(
        kind="single",
        stem=f"A weight matrix of {d_out:,} × {d_in:,} is quantized in blocks of {size} weights. How many "
        "scaling constants are stored for it, without double quantization?",
        right=right,
        wrong=sample_slips(dice, right, slips),
        steps=(
            f"weights: {d_out:,} × {d_in:,} = {weights.expect:,.0f}",
            f"blocks: {weights.expect:,.0f} / {size} = {blocks:,.0f}, with one constant each",
        ),
        hint="Each block has one constant. How many blocks does the matrix have?",
        keep="A matrix has d_out × d_in / block size constants.",
        checks=(weights,),
    )


def draw_constant_bytes(dice: Random) -> DrawnQuestion:
    """Draw a question about the memory of a matrix's fp32 constants."""
    d_in, d_out, size = dice.choice(WIDTHS), dice.choice(WIDTHS), dice.choice((32, 64, 128, 256))
    weights = build_check("linear_parameters", d_in=d_in, d_out=d_out)
    blocks = weights.expect / size
    kilobytes = 4 * blocks / KB
    right, slips = build_answers(
        format_digits,
        kilobytes,
        f"{blocks:,.0f} constants of 4 bytes.",
        (
            "bits-for-bytes",
            32 * blocks / KB,
            "mistakes 32 bits for 32 bytes",
            "That counts 32 bytes for each constant. 32 bits are 4 bytes.",
        ),
        (
            "one-byte",
            blocks / KB,
            "assumes that a constant has one byte",
            "That is one byte for each constant, as with double quantization. fp32 has 4.",
        ),
        (
            "codes",
            weights.expect / 2 / KB,
            "counts the codes instead of the constants",
            "That is what the 4-bit codes need. The constants come on top.",
        ),
        (
            "per-weight",
            4 * weights.expect / KB,
            "gives each weight its own constant",
            f"That is one constant for each weight. The {size} weights of a block share one.",
        ),
    )
    return DrawnQuestion(
        kind="numeric",
        stem=f"A matrix of {d_out:,} × {d_in:,} is stored in 4 bits, with one fp32 constant for each block of"
        f" {size} weights. How many kB do the constants need (1 kB is 1,000 bytes)?",
        right=right,
        wrong=keep_distinct(right, slips, tolerance=one_percent(kilobytes), limit=4),
        steps=(
            f"weights: {d_out:,} × {d_in:,} = {weights.expect:,.0f}",
            f"constants: {weights.expect:,.0f} / {size} = {blocks:,.0f}",
            f"memory: {blocks:,.0f} × 4 / 1,000 = {format_digits(kilobytes)} kB",
        ),
        hint="Count the blocks first. An fp32 number has 4 bytes.",
        keep="Smaller blocks follow the weights more closely, but each one costs a constant.",
        checks=(weights,),
        unit="kB",
        tolerance=one_percent(kilobytes),
    )


def draw_nested_bytes(dice: Random) -> DrawnQuestion:
    """Draw a question about constants with double quantization, as bitsandbytes stores them."""
    d_in, d_out = dice.choice(WIDTHS), dice.choice(WIDTHS)
    weights = build_check("linear_parameters", d_in=d_in, d_out=d_out)
    blocks = weights.expect / 64
    nested = blocks / 256
    stored = blocks + 4 * nested
    right, slips = build_answers(
        format_whole,
        stored,
        f"{blocks:,.0f} constants of 1 byte and {nested:,.0f} of 4 bytes.",
        (
            "not-doubled",
            4 * blocks,
            "counts the constants as if they had 32 bits",
            "That is without double quantization: 4 bytes per block.",
        ),
        (
            "second-level-forgotten",
            4 * nested,
            "counts the second level alone",
            "That is the second level. The 8-bit constants of the blocks are stored as well.",
        ),
        (
            "first-level-32",
            4 * blocks + 4 * nested,
            "adds the second level without making the first one smaller",
            "The constants of the blocks shrink to 1 byte. That is what the second level is for.",
        ),
        (
            "equal-levels",
            8 * nested,
            "assumes that both levels have as many constants",
            "There are 256 constants of the first level for each one of the second.",
        ),
        (
            "bits-for-bytes",
            8 * blocks + 32 * nested,
            "mistakes bits for bytes",
            "That is the number of bits. Divide by 8.",
        ),
    )
    return DrawnQuestion(
        kind="single",
        stem=f"A matrix of {d_out:,} × {d_in:,} is stored in NF4 with double quantization: an 8-bit constant"
        " for each 64 weights, and a 32-bit constant for each 256 of those. How many bytes do the "
        "constants of both levels need?",
        right=right,
        wrong=sample_slips(dice, right, slips, near=stored / 50),
        steps=(
            f"weights: {d_out:,} × {d_in:,} = {weights.expect:,.0f}",
            f"first level: {weights.expect:,.0f} / 64 = {blocks:,.0f} constants of 1 byte",
            f"second level: {blocks:,.0f} / 256 = {nested:,.0f} constants of 4 bytes",
            f"together {blocks:,.0f} + 4 × {nested:,.0f} = {stored:,.0f} bytes",
        ),
        hint="Count the constants of the first level, then divide by 256 for the second.",
        keep="Double quantization stores 1 byte per block, and 4 bytes for every 256 blocks.",
        checks=(weights,),
        source="arXiv:2305.14314 section 3, double quantization",
    )


FAMILIES = (
    QuestionFamily(
        id="block-count",
        title="Blocks of a matrix",
        concepts=("blockwise-absmax",),
        level="beginner",
        draw=draw_block_count,
    ),
    QuestionFamily(
        id="constant-bytes",
        title="What block constants cost",
        concepts=("blockwise-absmax", "weight-memory"),
        level="intermediate",
        draw=draw_constant_bytes,
    ),
    QuestionFamily(
        id="nested-bytes",
        title="Both levels of double quantization",
        concepts=("double-quantization",),
        level="advanced",
        draw=draw_nested_bytes,
    ),
)
