"""Families about counting what LoRA trains: in one matrix, and in a whole model of the catalogue."""

from random import Random

from quizzes.families.drawn import RANKS, WIDTHS, DrawnNumbers, build_check, count_decimals_apart
from quizzes.families.models import NAMES, TARGETS, Model, Part, choose_model, format_targets, with_sides
from quizzes.kinds.matrix_shape import Shape


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


def draw_lora_model_count(rng: Random) -> DrawnNumbers:
    """Draw a question about the parameters of all adapters of a model."""
    model, parts, rank = choose_model(rng), rng.choice(TARGETS), rng.choice(RANKS)
    count = build_check("lora_parameters", model=model.id, rank=rank, targets=list(parts))
    sides = [model.sides(part) for part in parts]
    widths = sum(d_in + d_out for d_in, d_out in sides)
    return DrawnNumbers(
        right=count.expect,
        slips={
            "one-layer": rank * widths,
            "full-matrices": model.layers * sum((d_in * d_out for d_in, d_out in sides)),
            "only-a": model.layers * rank * sum((d_in for d_in, _ in sides)),
            "all-square": model.layers * rank * 2 * model.width * len(parts),
            "twice": 2 * count.expect,
        },
        values=dict(
            model=model.name,
            layers=model.layers,
            rank=rank,
            targets=with_sides(model, parts),
            widths=widths,
            width=model.width,
            matrices=_format_matrix_steps(model, parts, rank),
            per_layer=rank * widths,
        ),
        checks=(count,),
    )


def draw_added_targets(rng: Random) -> DrawnNumbers:
    """Draw a question about what the three MLP matrices add to an adapter on attention."""
    model, rank = choose_model(rng), rng.choice(RANKS)
    added = build_check("lora_parameters", model=model.id, rank=rank, targets=["gate", "up", "down"])
    widths = model.width + model.inner
    return DrawnNumbers(
        right=added.expect,
        slips={
            "one-layer": rank * 3 * widths,
            "one-matrix": model.layers * rank * widths,
            "full-matrices": model.layers * 3 * model.width * model.inner,
            "down-forgotten": model.layers * rank * 2 * widths,
        },
        values=dict(
            rank=rank,
            model=model.name,
            layers=model.layers,
            width=model.width,
            inner=model.inner,
            per_matrix=rank * widths,
            per_layer=3 * rank * widths,
        ),
        checks=(added,),
    )


def draw_trainable_percent(rng: Random) -> DrawnNumbers:
    """Draw a question about the trainable share that PEFT prints."""
    model, parts, rank = choose_model(rng), rng.choice(TARGETS), rng.choice(RANKS[2:])
    percent = build_check("trainable_percent", model=model.id, rank=rank, targets=list(parts))
    trained = build_check("lora_parameters", model=model.id, rank=rank, targets=list(parts)).expect
    base = build_check("base_parameters", model=model.id).expect
    places = count_decimals_apart(percent.expect, 100 * trained / base)
    return DrawnNumbers(
        right=percent.expect,
        slips={
            "fraction-for-percent": percent.expect / 100,
            "frozen-share": 100 - percent.expect,
            "adapter-not-in-total": 100 * trained / base,
            "ten-times": 10 * percent.expect,
        },
        values=dict(
            model=model.name,
            base=base,
            targets=format_targets(parts),
            rank=rank,
            trained=trained,
            total=base + trained,
            places=places,
        ),
        checks=(percent,),
        tolerance=10.0**-places,
    )


def draw_printed_rank(rng: Random) -> DrawnNumbers:
    """Draw a question about the rank behind a line that PEFT printed."""
    model, parts, rank = choose_model(rng), rng.choice(TARGETS), rng.choice(RANKS)
    count = build_check("lora_parameters", model=model.id, rank=rank, targets=list(parts))
    percent = build_check("trainable_percent", model=model.id, rank=rank, targets=list(parts)).expect
    base = build_check("base_parameters", model=model.id).expect
    each = round(count.expect / rank)
    return DrawnNumbers(
        right=rank,
        slips={
            "counted-twice": rank / 2,
            "one-factor": 2 * rank,
            "one-target": rank * len(parts),
            "one-factor-of-one-target": 2 * rank * len(parts),
        },
        values=dict(
            model=model.name,
            targets=with_sides(model, parts),
            layers=model.layers,
            count=count.expect,
            total=base + count.expect,
            percent=percent,
            each=each,
            half=rank // 2,
            half_count=round(each * rank / 2),
            twice_count=2 * each * rank,
            count_by_targets=each * rank * len(parts),
            targets_number=len(parts),
            twice_count_by_targets=2 * each * rank * len(parts),
            matrices=_format_matrix_steps(model, parts, 1),
            per_layer=each // model.layers,
        ),
        checks=(count,),
    )


def _format_matrix_steps(model: Model, parts: tuple[Part, ...], rank: int) -> str:
    return "\n".join(
        f"{NAMES[part]}: {rank} × ({d_in:,} + {d_out:,}) = {rank * (d_in + d_out):,}"
        for part in parts
        for d_in, d_out in [model.sides(part)]
    )
