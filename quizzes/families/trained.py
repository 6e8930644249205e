"""Families about what a trained parameter keeps in memory: itself, its gradient, its moments."""

from random import Random

from quizzes.families.drawn import DrawnNumbers, build_check, compute_tolerance
from quizzes.families.models import TARGETS, choose_model, format_targets
from study.base.units import MB

RANKS = (4, 8, 16, 32, 64)


def draw_adam_state(rng: Random) -> DrawnNumbers:
    model, parts, rank = choose_model(rng), rng.choice(TARGETS), rng.choice(RANKS)
    trained = round(build_check("lora_parameters", model=model.id, rank=rank, targets=list(parts)).expect)
    state = build_check("adamw_state_bytes", parameters=trained)
    return DrawnNumbers(
        right=state.expect / MB,
        slips={
            "one-moment": 4 * trained / MB,
            "whole-state": 16 * trained / MB,
            "whole-model": 8 * build_check("base_parameters", model=model.id).expect / MB,
            "half-precision": 2 * trained / MB,
        },
        values=dict(model=model.name, targets=format_targets(parts), rank=rank, trained=trained),
        checks=(state,),
        tolerance=compute_tolerance(state.expect / MB, 1),
    )


def draw_trained_state(rng: Random) -> DrawnNumbers:
    """Draw a question about weights, gradients and moments of an adapter."""
    model, parts, rank = choose_model(rng), rng.choice(TARGETS), rng.choice(RANKS)
    trained = round(build_check("lora_parameters", model=model.id, rank=rank, targets=list(parts)).expect)
    state = build_check("trainable_state_bytes", parameters=trained)
    return DrawnNumbers(
        right=state.expect,
        slips={
            "moments-only": 8 * trained,
            "gradient-forgotten": 12 * trained,
            "weights-only": 4 * trained,
            "base-trained": 16 * build_check("base_parameters", model=model.id).expect,
            "two-gradients": 20 * trained,
        },
        values=dict(model=model.name, targets=format_targets(parts), rank=rank, trained=trained),
        checks=(state,),
        tolerance=state.expect / 50,
    )


def draw_eight_bit_moments(rng: Random) -> DrawnNumbers:
    """Draw a question about bitsandbytes' block-wise 8-bit moments."""
    width, rank = rng.choice((1024, 2048, 4096, 5120)), rng.choice((8, 16, 32, 64))
    matrices = rng.choice((32, 48, 64, 96, 128))
    count = build_check("lora_parameters_matrix", d_in=width, d_out=width, rank=rank, matrices=matrices)
    trained = round(count.expect)
    blocks = trained // 256  # every A and B here is a whole number of blocks
    megabytes = (2 * trained + 8 * blocks) / MB
    return DrawnNumbers(
        right=megabytes,
        slips={
            "fp32-moments": 8 * trained / MB,
            "one-moment": (trained + 4 * blocks) / MB,
            "constants-in-bits": (2 * trained + 64 * blocks) / MB,
            "constants-per-parameter": 10 * trained / MB,
        },
        values=dict(trained=trained, codes=2 * trained, constants=8 * blocks),
        checks=(count,),
        tolerance=compute_tolerance(megabytes, 0.5),
    )


def draw_rank_step(rng: Random) -> DrawnNumbers:
    """Draw a question about what a higher rank adds to the trained state."""
    model, parts = choose_model(rng), rng.choice(TARGETS)
    low, high = rng.choice(((4, 8), (8, 16), (8, 32), (16, 32), (16, 64), (32, 64)))
    each = round(build_check("lora_parameters", model=model.id, rank=1, targets=list(parts)).expect)
    state = build_check("trainable_state_bytes", parameters=each * (high - low))
    megabytes = state.expect / MB
    return DrawnNumbers(
        right=megabytes,
        slips={
            "whole-adapter": 16 * each * high / MB,
            "weights-only": 4 * each * (high - low) / MB,
            "moments-only": 8 * each * (high - low) / MB,
            "rank-is-free": 0.0,
        },
        values=dict(
            model=model.name,
            targets=format_targets(parts),
            each=each,
            high=high,
            low=low,
            added_rank=high - low,
            added=each * (high - low),
        ),
        checks=(state,),
        tolerance=compute_tolerance(megabytes, 1),
    )
