"""Families about shapes: A and B, their product, and a layer after merging."""

from random import Random

from quizzes.families.drawn import RANKS, DrawnNumbers, build_check
from quizzes.families.template import encode_shape

WIDTHS = (512, 768, 1024, 1536, 2048, 4096)


def draw_factor_shape(rng: Random) -> DrawnNumbers:
    (d_in, d_out), rank, factor = rng.sample(WIDTHS, 2), rng.choice(RANKS), rng.choice("AB")
    shape_a, shape_b = encode_shape(rank, d_in), encode_shape(d_out, rank)
    asked, other = (shape_a, shape_b) if factor == "A" else (shape_b, shape_a)
    return DrawnNumbers(
        right=asked,
        slips={
            "other-factor": other,
            "transposed": encode_shape(d_in, rank) if factor == "A" else encode_shape(rank, d_out),
            "wrong-side": encode_shape(rank, d_out) if factor == "A" else encode_shape(d_in, rank),
            "full-size": encode_shape(d_out, d_in),
        },
        values=dict(
            d_out=d_out,
            d_in=d_in,
            rank=rank,
            factor=factor,
            role=factor,
            other_factor="B" if factor == "A" else "A",
            place=factor,
            shape_a=shape_a,
            shape_b=shape_b,
        ),
    )


def draw_product_shape(rng: Random) -> DrawnNumbers:
    (d_in, d_out), rank = rng.sample(WIDTHS, 2), rng.choice(RANKS)
    return DrawnNumbers(
        right=encode_shape(d_out, d_in),
        slips={
            "inner-sides": encode_shape(rank, rank),
            "transposed": encode_shape(d_in, d_out),
            "like-b": encode_shape(d_out, rank),
            "like-a": encode_shape(rank, d_in),
            "sides-added": encode_shape(d_out + rank, d_in + rank),
        },
        values=dict(d_out=d_out, rank=rank, d_in=d_in),
    )


def draw_two_step_cost(rng: Random) -> DrawnNumbers:
    """Draw a question about the multiplications of A and then B, without forming the product."""
    d_in, d_out, rank = rng.choice(WIDTHS), rng.choice(WIDTHS), rng.choice(RANKS)
    cost = build_check("lora_parameters_matrix", d_in=d_in, d_out=d_out, rank=rank)
    return DrawnNumbers(
        right=cost.expect,
        slips={
            "product-first": d_in * d_out,
            "forming-too": rank * d_in * d_out,
            "one-step": rank * d_in,
            "second-step": rank * d_out,
            "steps-multiplied": rank * rank * (d_in + d_out),
        },
        values=dict(d_in=d_in, d_out=d_out, rank=rank, in_a=rank * d_in, in_b=d_out * rank),
        checks=(cost,),
    )


def draw_merged_weights(rng: Random) -> DrawnNumbers:
    """Draw a question about the weights of a layer after merging."""
    d_in, d_out, rank = rng.choice(WIDTHS), rng.choice(WIDTHS), rng.choice(RANKS)
    full = build_check("linear_parameters", d_in=d_in, d_out=d_out)
    adapter = build_check("lora_parameters_matrix", d_in=d_in, d_out=d_out, rank=rank).expect
    return DrawnNumbers(
        right=full.expect,
        slips={"adapter-added": full.expect + adapter, "adapter-alone": adapter, "doubled": 2 * full.expect},
        values=dict(d_in=d_in, d_out=d_out, rank=rank),
        checks=(full,),
    )


def draw_merged_entry(rng: Random) -> DrawnNumbers:
    """Draw a question about one entry of W + (alpha / rank) B·A."""
    rank, factor = 2, rng.choice((2, 3, 4))
    alpha = rank * factor
    w, b_1, a_1, b_2, a_2 = (rng.choice((-3, -2, -1, 1, 2, 3)) for _ in range(5))
    if b_1 * a_1 == -b_2 * a_2:
        b_2 = -b_2  # an update of zero would ask nothing
    product = b_1 * a_1 + b_2 * a_2
    scale = build_check("lora_scaling", alpha=alpha, rank=rank)
    merged = w + factor * product
    return DrawnNumbers(
        right=merged,
        slips={
            "scale-forgotten": w + product,
            "alpha-for-scale": w + alpha * product,
            "base-forgotten": factor * product,
            "base-scaled": factor * (w + product),
            "first-term-only": w + factor * b_1 * a_1,
        },
        values=dict(
            rank=rank, alpha=alpha, w=w, b_1=b_1, b_2=b_2, a_1=a_1, a_2=a_2, factor=factor, product=product
        ),
        checks=(scale,),
    )
