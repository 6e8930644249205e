"""Families about what a trained parameter keeps in memory: itself, its gradient, its moments."""

from random import Random

from quizzes.families.answers import build_answers, format_digits, format_size, one_percent, sample_slips
from quizzes.families.drawn import DrawnQuestion, QuestionFamily, build_check, keep_distinct
from quizzes.families.models import TARGETS, draw_model, format_targets

MB = 10**6
RANKS = (4, 8, 16, 32, 64)


def draw_adam_state(dice: Random) -> DrawnQuestion:
    """Draw a question about Adam's two moments per parameter."""
    model, parts, rank = draw_model(dice), dice.choice(TARGETS), dice.choice(RANKS)
    trained = round(build_check("lora_parameters", model=model.id, rank=rank, targets=list(parts)).expect)
    state = build_check("adamw_state_bytes", parameters=trained)
    right, slips = build_answers(
        format_digits,
        state.expect / MB,
        "Two moments of 4 bytes for each trainable parameter.",
        (
            "one-moment",
            4 * trained / MB,
            "counts one of the two moments",
            "That is one moment. Adam keeps a mean and a mean square.",
        ),
        (
            "whole-state",
            16 * trained / MB,
            "adds weights and gradients",
            "That is the whole trainable state. The moments alone are half of it.",
        ),
        (
            "whole-model",
            8 * build_check("base_parameters", model=model.id).expect / MB,
            "gives the frozen parameters moments as well",
            "That counts the frozen base. Only what is trained has moments.",
        ),
        (
            "half-precision",
            2 * trained / MB,
            "counts a single 16-bit number",
            "That is 2 bytes per parameter. Two fp32 moments are 8.",
        ),
    )
    return DrawnQuestion(
        kind="numeric",
        stem=f"An adapter on {model.name} ({format_targets(parts)}, rank {rank}) trains {trained:,} "
        "parameters. AdamW"
        " keeps both of its moments in fp32. How many MB do they need?",
        right=right,
        wrong=keep_distinct(right, slips, tolerance=one_percent(state.expect / MB), limit=4),
        steps=(
            "each parameter: 2 × 4 = 8 bytes",
            f"{trained:,} × 8 / 1,000,000 = {format_digits(state.expect / MB)} MB",
        ),
        hint="How many moments does Adam keep, and how many bytes does an fp32 number have?",
        keep="AdamW's moments need 8 bytes for each trainable parameter, none for a frozen one.",
        checks=(state,),
        unit="MB",
        tolerance=one_percent(state.expect / MB),
    )


def draw_trained_state(dice: Random) -> DrawnQuestion:
    """Draw a question about weights, gradients and moments of an adapter."""
    model, parts, rank = draw_model(dice), dice.choice(TARGETS), dice.choice(RANKS)
    trained = round(build_check("lora_parameters", model=model.id, rank=rank, targets=list(parts)).expect)
    state = build_check("trainable_state_bytes", parameters=trained)
    right, slips = build_answers(
        format_size,
        state.expect,
        "4 bytes of weight, 4 of gradient and 8 of moments.",
        (
            "moments-only",
            8 * trained,
            "counts the moments alone",
            "Those are the moments. The parameter and its gradient have 4 bytes each.",
        ),
        (
            "gradient-forgotten",
            12 * trained,
            "forgets the gradient",
            "The gradient is there from the backward pass until the optimizer's step.",
        ),
        (
            "weights-only",
            4 * trained,
            "counts the weights alone",
            "That is the size of the adapter's file. Training keeps more for each parameter.",
        ),
        (
            "base-trained",
            16 * build_check("base_parameters", model=model.id).expect,
            "gives the frozen parameters the state of trained ones",
            "That is for training the whole base. It is frozen here.",
        ),
        (
            "two-gradients",
            20 * trained,
            "keeps a second gradient",
            "One gradient is kept. Accumulating adds to it in place.",
        ),
    )
    return DrawnQuestion(
        kind="single",
        stem=f"An adapter on {model.name} ({format_targets(parts)}, rank {rank}) trains {trained:,} "
        "parameters, all in"
        " fp32 with AdamW. How much memory do the adapter's weights, gradients and moments need together?",
        right=right,
        wrong=sample_slips(dice, right, slips, near=state.expect / 50),
        steps=(
            "each parameter: 4 + 4 + 8 = 16 bytes",
            f"bytes: {trained:,} × 16 = {state.expect:,.0f}",
            f"that is {format_size(state.expect)}",
        ),
        hint="A weight, a gradient and two moments, each an fp32 number.",
        keep="A trained fp32 parameter needs 16 bytes with AdamW.",
        checks=(state,),
    )


def draw_eight_bit_moments(dice: Random) -> DrawnQuestion:
    """Draw a question about bitsandbytes' block-wise 8-bit moments."""
    width, rank = dice.choice((1024, 2048, 4096, 5120)), dice.choice((8, 16, 32, 64))
    matrices = dice.choice((32, 48, 64, 96, 128))
    count = build_check("lora_parameters_matrix", d_in=width, d_out=width, rank=rank, matrices=matrices)
    trained = round(count.expect)
    blocks = trained // 256  # every A and B here is a whole number of blocks
    megabytes = (2 * trained + 8 * blocks) / MB
    right, slips = build_answers(
        format_digits,
        megabytes,
        "Two codes of 1 byte per parameter, and two constants of 4 bytes per block.",
        (
            "fp32-moments",
            8 * trained / MB,
            "counts moments of 32 bits",
            "That is AdamW with fp32 moments. 8 bits are one byte each.",
        ),
        (
            "one-moment",
            (trained + 4 * blocks) / MB,
            "counts one of the two moments",
            "That is one moment. Adam keeps two of them, each with its own constants.",
        ),
        (
            "constants-in-bits",
            (2 * trained + 64 * blocks) / MB,
            "mistakes the bits of the constants for bytes",
            "A constant of 32 bits has 4 bytes.",
        ),
        (
            "constants-per-parameter",
            10 * trained / MB,
            "gives each parameter its own constants",
            "A constant is shared by the 256 parameters of a block.",
        ),
    )
    return DrawnQuestion(
        kind="numeric",
        stem=f"An adapter trains {trained:,} parameters with an 8-bit AdamW: both moments are stored as 8-bit"
        " codes, and each moment has one fp32 constant for each block of 256 parameters. How many MB do "
        "the moments need, constants included?",
        right=right,
        wrong=keep_distinct(right, slips, tolerance=float(f"{megabytes / 200:.0e}"), limit=4),
        steps=(
            f"codes: 2 × {trained:,} = {2 * trained:,} bytes",
            f"constants: 2 × 4 × {trained:,} / 256 = {8 * blocks:,} bytes",
            f"together ({2 * trained:,} + {8 * blocks:,}) / 1,000,000 = {format_digits(megabytes)} MB",
        ),
        hint="Count the codes first. Then count the blocks and the bytes of two constants in each.",
        keep="8-bit moments need about 2 bytes per parameter, a quarter of AdamW's 8.",
        checks=(count,),
        source="bitsandbytes source, bitsandbytes/optim/optimizer.py, init_state",
        unit="MB",
        tolerance=float(f"{megabytes / 200:.0e}"),
    )


def draw_rank_step(dice: Random) -> DrawnQuestion:
    """Draw a question about what a higher rank adds to the trained state."""
    model, parts = draw_model(dice), dice.choice(TARGETS)
    low, high = dice.choice(((4, 8), (8, 16), (8, 32), (16, 32), (16, 64), (32, 64)))
    each = round(build_check("lora_parameters", model=model.id, rank=1, targets=list(parts)).expect)
    state = build_check("trainable_state_bytes", parameters=each * (high - low))
    megabytes = state.expect / MB
    right, slips = build_answers(
        format_digits,
        megabytes,
        f"{high - low} units of rank are added, {each:,} parameters each, 16 bytes per parameter.",
        (
            "whole-adapter",
            16 * each * high / MB,
            "counts the whole adapter instead of what is added",
            f"That is all of the adapter at rank {high}. Rank {low} was there before.",
        ),
        (
            "weights-only",
            4 * each * (high - low) / MB,
            "counts the weights alone",
            "Gradients and moments grow with the rank as well.",
        ),
        (
            "moments-only",
            8 * each * (high - low) / MB,
            "counts the moments alone",
            "Those are the moments. Weights and gradients grow with the rank as well.",
        ),
        (
            "rank-is-free",
            0.0,
            "thinks that the rank does not change the memory",
            "It is little beside the base, but each unit of rank is trained and has its state.",
        ),
    )
    return DrawnQuestion(
        kind="numeric",
        stem=f"On {model.name}, adapters on {format_targets(parts)} train {each:,} parameters for each "
        "unit of rank."
        f" With weights, gradients and both of AdamW's moments in fp32, how many MB more does rank {high} "
        f"need than rank {low}?",
        right=right,
        wrong=keep_distinct(right, slips, tolerance=one_percent(megabytes), limit=4),
        steps=(
            f"added parameters: ({high} − {low}) × {each:,} = {each * (high - low):,}",
            "each parameter: 4 + 4 + 8 = 16 bytes",
            f"{each * (high - low):,} × 16 / 1,000,000 = {format_digits(megabytes)} MB",
        ),
        hint="How many parameters are added, and how many bytes does a trained one need?",
        keep="A higher rank costs 16 bytes for each parameter that it adds, little beside the base.",
        checks=(state,),
        unit="MB",
        tolerance=one_percent(megabytes),
    )


FAMILIES = (
    QuestionFamily(
        id="adam-state",
        title="Adam's moments",
        concepts=("trainable-state",),
        level="beginner",
        draw=draw_adam_state,
    ),
    QuestionFamily(
        id="trained-state",
        title="All that training keeps for an adapter",
        concepts=("trainable-state",),
        level="intermediate",
        draw=draw_trained_state,
    ),
    QuestionFamily(
        id="eight-bit-moments",
        title="Moments of 8 bits",
        concepts=("trainable-state", "blockwise-absmax"),
        level="advanced",
        draw=draw_eight_bit_moments,
    ),
    QuestionFamily(
        id="rank-step",
        title="What a higher rank costs",
        concepts=("lora-rank", "trainable-state"),
        level="intermediate",
        draw=draw_rank_step,
    ),
)
