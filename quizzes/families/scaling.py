"""Families about the factor before B·A: alpha and the rank."""

from math import isqrt
from random import Random

from quizzes.families.drawn import DrawnNumbers, build_check, compute_tolerance

RANKS = (4, 8, 16, 32, 64, 128, 256)
ALPHAS = (8, 12, 16, 24, 32, 48, 64, 128)


def draw_lora_scale(rng: Random) -> DrawnNumbers:
    """Draw a question about LoRA's scale, alpha / rank."""
    alpha, rank = rng.choice(ALPHAS), rng.choice(RANKS)
    scale = build_check("lora_scaling", alpha=alpha, rank=rank)
    return DrawnNumbers(
        right=scale.expect,
        slips={
            "upside-down": rank / alpha,
            "alpha-alone": alpha,
            "root-of-rank": alpha / rank**0.5,
            "product": alpha * rank,
        },
        values=dict(rank=rank, alpha=alpha),
        checks=(scale,),
        tolerance=compute_tolerance(scale.expect, 1),
    )


def draw_rslora_scale(rng: Random) -> DrawnNumbers:
    """Draw a question about rsLoRA's scale, alpha / √rank."""
    alpha, rank = rng.choice(ALPHAS), rng.choice((4, 16, 64, 256))
    root = isqrt(rank)
    scale = build_check("rslora_scaling", alpha=alpha, rank=rank)
    return DrawnNumbers(
        right=scale.expect,
        slips={
            "plain-lora": alpha / rank,
            "root-of-both": (alpha / rank) ** 0.5,
            "times-root": alpha * root,
            "half-rank": 2 * alpha / rank,
            "alpha-alone": alpha,
        },
        values=dict(rank=rank, alpha=alpha, root=root, half=rank // 2),
        checks=(scale,),
        tolerance=compute_tolerance(scale.expect, 1),
    )


def draw_kept_scale(rng: Random) -> DrawnNumbers:
    """Draw a question about the alpha that keeps the scale at a new rank."""
    alpha, (rank, other) = rng.choice((8, 16, 32, 64)), rng.sample((8, 16, 32, 64), 2)
    new_alpha = alpha * other // rank
    before = build_check("lora_scaling", alpha=alpha, rank=rank)
    after = build_check("lora_scaling", alpha=new_alpha, rank=other)
    slips = {
        "alpha-stays": alpha,
        "other-way": alpha * rank / other,
        "alpha-is-rank": other,
        "twice-rank": 2 * other,
        "same-difference": alpha + other - rank,
    }
    return DrawnNumbers(
        right=new_alpha,
        slips={slip: value for slip, value in slips.items() if value > 0},
        values=dict(
            rank=rank,
            alpha=alpha,
            other=other,
            after=after.expect,
            new_scale=alpha / other,
            before=before.expect,
        ),
        checks=(before, after),
    )


def draw_scale_after_rank(rng: Random) -> DrawnNumbers:
    alpha, (rank, other) = rng.choice(ALPHAS), rng.sample(RANKS, 2)
    before = build_check("lora_scaling", alpha=alpha, rank=rank)
    after = build_check("lora_scaling", alpha=alpha, rank=other)
    return DrawnNumbers(
        right=after.expect,
        slips={
            "unchanged": before.expect,
            "other-way": before.expect * other / rank,
            "root-of-rank": alpha / other**0.5,
        },
        values=dict(rank=rank, alpha=alpha, before=before.expect, other=other),
        checks=(before, after),
        tolerance=compute_tolerance(after.expect, 1),
    )
