"""Families about counting: the parameters that LoRA trains for a drawn shape and rank."""

from random import Random

from quizzes.families.drawn import DrawnNumbers, build_check
from quizzes.kinds.matrix_shape import Shape

WIDTHS = (512, 768, 1024, 2048, 4096)
RANKS = (2, 4, 8, 16, 32, 64)


def draw_lora_matrix_count(rng: Random) -> DrawnNumbers:
    """Draw a question about the adapter parameters of one matrix, square or not."""
    d_in, d_out, rank = rng.choice(WIDTHS), rng.choice(WIDTHS), rng.choice(RANKS)
    count = build_check("lora_parameters_matrix", d_in=d_in, d_out=d_out, rank=rank)
    full = build_check("linear_parameters", d_in=d_in, d_out=d_out).expect
    return DrawnNumbers(
        right=count.expect,
        slips={
            "full-matrix": full,
            "only-a": rank * d_in,
            "only-b": d_out * rank,
            "rank-by-rank": rank * rank * (d_in + d_out),
            "twice": 2 * count.expect,
        },
        values=dict(d_in=d_in, d_out=d_out, rank=rank, in_a=rank * d_in, in_b=d_out * rank),
        checks=(count,),
        shape=Shape(d_in=d_in, d_out=d_out, rank=rank),
    )
