"""Families about counting: the parameters that LoRA trains for a drawn shape and rank."""

from random import Random

from quizzes.families.drawn import DrawnQuestion, QuestionFamily, Right, Slip, build_check, keep_distinct
from quizzes.kinds.matrix_shape import Shape

WIDTHS = (512, 768, 1024, 2048, 4096)
RANKS = (2, 4, 8, 16, 32, 64)


def draw_matrix_count(dice: Random) -> DrawnQuestion:
    """Draw a question about the adapter parameters of one matrix, square or not."""
    d_in, d_out, rank = dice.choice(WIDTHS), dice.choice(WIDTHS), dice.choice(RANKS)
    count = build_check("lora_parameters_matrix", d_in=d_in, d_out=d_out, rank=rank)
    right = Right(
        value=count.expect,
        text=f"{count.expect:,.0f}",
        feedback=f"A has {rank} rows of {d_in:,}, and B has {d_out:,} rows of {rank}.",
    )
    full = build_check("linear_parameters", d_in=d_in, d_out=d_out).expect
    slips = (
        _build_slip(
            "full-matrix",
            full,
            "counts the frozen matrix instead of its adapter",
            f"{d_in:,} × {d_out:,} are the weights of W, which stay frozen.",
        ),
        _build_slip(
            "only-a",
            rank * d_in,
            "counts A and forgets B",
            f"{rank} × {d_in:,} is A alone. B is trained as well.",
        ),
        _build_slip(
            "only-b",
            rank * d_out,
            "counts B and forgets A",
            f"{d_out:,} × {rank} is B alone. A is trained as well.",
        ),
        _build_slip(
            "rank-by-rank",
            rank * rank * (d_in + d_out),
            "multiplies by the rank twice",
            "The rank counts once for each of A and B, not squared.",
        ),
    )
    return DrawnQuestion(
        kind="single",
        stem=f"A linear layer has d_in = {d_in:,} and d_out = {d_out:,}. How many parameters does LoRA train"
        f" for it at rank {rank}?",
        right=right,
        wrong=keep_distinct(right, slips),
        steps=(
            f"A is rank × d_in = {rank} × {d_in:,} = {rank * d_in:,}",
            f"B is d_out × rank = {d_out:,} × {rank} = {d_out * rank:,}",
            f"together {rank * d_in:,} + {d_out * rank:,} = {count.expect:,.0f}",
        ),
        hint="LoRA adds two thin matrices: A takes d_in numbers to rank numbers, B takes those to d_out.",
        keep="A LoRA adapter of one matrix has rank × (d_in + d_out) parameters.",
        checks=(count,),
        shape=Shape(d_in=d_in, d_out=d_out, rank=rank),
    )


def _build_slip(slip_id: str, value: float, misconception: str, feedback: str) -> Slip:
    return Slip(id=slip_id, value=value, text=f"{value:,.0f}", misconception=misconception, feedback=feedback)


FAMILIES = (
    QuestionFamily(
        id="lora-matrix-count",
        title="Parameters of one adapter",
        concepts=("counting-parameters",),
        level="beginner",
        draw=draw_matrix_count,
    ),
)
