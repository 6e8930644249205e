"""Families about the factor before B·A: alpha and the rank."""

from math import isqrt
from random import Random

from quizzes.families.answers import build_answers, format_digits, four_digits, one_percent, sample_slips
from quizzes.families.drawn import DrawnQuestion, QuestionFamily, build_check, keep_distinct

RANKS = (4, 8, 16, 32, 64, 128, 256)
ALPHAS = (8, 12, 16, 24, 32, 48, 64, 128)


def draw_scale(dice: Random) -> DrawnQuestion:
    """Draw a question about LoRA's scale, alpha / rank."""
    alpha, rank = dice.choice(ALPHAS), dice.choice(RANKS)
    scale = build_check("lora_scaling", alpha=alpha, rank=rank)
    right, slips = build_answers(
        format_digits,
        scale.expect,
        f"LoRA multiplies by alpha / rank, here {alpha} / {rank}.",
        (
            "upside-down",
            rank / alpha,
            "divides the rank by alpha",
            "That is rank / alpha. A larger alpha makes the update larger, so alpha stands on top.",
        ),
        (
            "alpha-alone",
            alpha,
            "uses alpha itself as the factor",
            "Alpha is divided by the rank first.",
        ),
        (
            "root-of-rank",
            alpha / rank**0.5,
            "divides by the square root of the rank",
            "The square root belongs to rsLoRA, which is off here.",
        ),
        (
            "product",
            alpha * rank,
            "multiplies alpha by the rank",
            "That multiplies. The factor is a quotient, so that a higher rank does not inflate the update.",
        ),
    )
    return DrawnQuestion(
        kind="numeric",
        stem=f"A plain LoRA adapter (no rsLoRA) has rank {rank} and alpha {alpha}. By what factor is B·A"
        " multiplied before it is added to W?",
        right=right,
        wrong=keep_distinct(right, slips, tolerance=one_percent(scale.expect), limit=4),
        steps=("factor: alpha / rank", f"{alpha} / {rank} = {format_digits(scale.expect)}"),
        hint="The factor is one number divided by the other.",
        keep="LoRA adds (alpha / rank) · B·A to W.",
        checks=(scale,),
        tolerance=one_percent(scale.expect),
    )


def draw_root_scale(dice: Random) -> DrawnQuestion:
    """Draw a question about rsLoRA's scale, alpha / √rank."""
    alpha, rank = dice.choice(ALPHAS), dice.choice((4, 16, 64, 256))
    root = isqrt(rank)
    scale = build_check("rslora_scaling", alpha=alpha, rank=rank)
    right, slips = build_answers(
        four_digits,
        scale.expect,
        f"rsLoRA divides by the square root of the rank, here {root}.",
        (
            "plain-lora",
            alpha / rank,
            "uses the factor of plain LoRA",
            "That is alpha / rank, the factor of plain LoRA.",
        ),
        (
            "root-of-both",
            (alpha / rank) ** 0.5,
            "takes the root of the whole quotient",
            "Only the rank is under the root.",
        ),
        (
            "times-root",
            alpha * root,
            "multiplies by the root",
            "rsLoRA divides by the root; plain LoRA divides by the rank.",
        ),
        (
            "half-rank",
            2 * alpha / rank,
            "halves the rank instead of taking its root",
            f"The square root of {rank} is {root}, not {rank // 2}.",
        ),
    )
    return DrawnQuestion(
        kind="single",
        stem=f"With `use_rslora=True`, an adapter of rank {rank} has alpha {alpha}. By what factor is B·A"
        " multiplied?",
        right=right,
        wrong=sample_slips(dice, right, slips, near=one_percent(scale.expect)),
        steps=(
            f"the square root of {rank} is {root}",
            f"{alpha} / {root} = {format_digits(scale.expect)}",
        ),
        hint="The rs stands for rank-stabilized: the factor shrinks more slowly as the rank grows.",
        keep="rsLoRA multiplies by alpha / √rank, plain LoRA by alpha / rank.",
        checks=(scale,),
    )


def draw_kept_scale(dice: Random) -> DrawnQuestion:
    """Draw a question about the alpha that keeps the scale at a new rank."""
    alpha, (rank, other) = dice.choice((8, 16, 32, 64)), dice.sample((8, 16, 32, 64), 2)
    new_alpha = alpha * other // rank
    before = build_check("lora_scaling", alpha=alpha, rank=rank)
    after = build_check("lora_scaling", alpha=new_alpha, rank=other)
    right, slips = build_answers(
        format_digits,
        new_alpha,
        f"{new_alpha} / {other} is {format_digits(after.expect)}, as {alpha} / {rank} was.",
        (
            "alpha-stays",
            alpha,
            "thinks that alpha alone sets the scale",
            f"With alpha still {alpha} the factor becomes {format_digits(alpha / other)}.",
        ),
        (
            "other-way",
            alpha * rank / other,
            "turns the ratio of the ranks upside down",
            "The ratio is upside down. Alpha has to follow the rank.",
        ),
        (
            "alpha-is-rank",
            other,
            "sets alpha equal to the rank",
            f"That gives the factor 1. It was {format_digits(before.expect)}.",
        ),
        (
            "twice-rank",
            2 * other,
            "sets alpha to twice the rank by habit",
            f"That gives the factor 2, a common choice. It was {format_digits(before.expect)} here.",
        ),
        (
            "same-difference",
            alpha + other - rank,
            "moves alpha by as much as the rank",
            "The factor is a quotient, so both have to be multiplied by the same number.",
        ),
    )
    slips = tuple(slip for slip in slips if slip.value > 0)
    return DrawnQuestion(
        kind="single",
        stem=f"A LoRA run used rank {rank} and alpha {alpha}. You try rank {other} and want B·A multiplied by"
        " the same factor as before. Which alpha do you set?",
        right=right,
        wrong=sample_slips(dice, right, slips),
        steps=(
            f"factor before: {alpha} / {rank} = {format_digits(before.expect)}",
            f"alpha: {format_digits(before.expect)} × {other} = {new_alpha}",
        ),
        hint="Alpha divided by the rank has to stay what it was.",
        keep="To keep the scale, change alpha in the same proportion as the rank.",
        checks=(before, after),
    )


def draw_scale_after_rank(dice: Random) -> DrawnQuestion:
    """Draw a question about the scale at a new rank with the same alpha."""
    alpha, (rank, other) = dice.choice(ALPHAS), dice.sample(RANKS, 2)
    before = build_check("lora_scaling", alpha=alpha, rank=rank)
    after = build_check("lora_scaling", alpha=alpha, rank=other)
    right, slips = build_answers(
        format_digits,
        after.expect,
        f"The factor is now {alpha} / {other}.",
        (
            "unchanged",
            before.expect,
            "thinks that the rank does not change the scale",
            f"That is the factor at rank {rank}. The rank is what alpha is divided by.",
        ),
        (
            "other-way",
            before.expect * other / rank,
            "lets the scale grow with the rank",
            "The factor moves against the rank: a higher rank makes it smaller.",
        ),
        (
            "root-of-rank",
            alpha / other**0.5,
            "divides by the square root of the rank",
            "That is rsLoRA's factor. Plain LoRA divides by the rank itself.",
        ),
    )
    return DrawnQuestion(
        kind="numeric",
        stem=f"At rank {rank} and alpha {alpha}, plain LoRA multiplies B·A by "
        f"{format_digits(before.expect)}. You"
        f" set the rank to {other} and leave alpha alone. What is the factor now?",
        right=right,
        wrong=keep_distinct(right, slips, tolerance=one_percent(after.expect), limit=4),
        steps=(
            f"before: {alpha} / {rank} = {format_digits(before.expect)}",
            f"now: {alpha} / {other} = {format_digits(after.expect)}",
        ),
        hint="Only one of the two numbers in the quotient has changed.",
        keep="Changing the rank alone also changes the scale alpha / rank.",
        checks=(before, after),
        tolerance=one_percent(after.expect),
    )


FAMILIES = (
    QuestionFamily(
        id="lora-scale", title="Alpha over rank", concepts=("lora-alpha",), level="beginner", draw=draw_scale
    ),
    QuestionFamily(
        id="rslora-scale",
        title="Alpha over the root of the rank",
        concepts=("lora-alpha",),
        level="advanced",
        draw=draw_root_scale,
    ),
    QuestionFamily(
        id="kept-scale",
        title="The alpha that keeps the scale",
        concepts=("lora-alpha", "lora-rank"),
        level="intermediate",
        draw=draw_kept_scale,
    ),
    QuestionFamily(
        id="scale-after-rank",
        title="A new rank, the old alpha",
        concepts=("lora-alpha",),
        level="intermediate",
        draw=draw_scale_after_rank,
    ),
)
