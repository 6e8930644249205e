"""Families about the rank: what it costs, what it could cost, and how ranks add up."""

from random import Random

from quizzes.families.drawn import RANKS, WIDTHS, DrawnNumbers, build_check


def draw_times_fewer(rng: Random) -> DrawnNumbers:
    """Draw a question about how many times smaller an adapter is than its matrix."""
    d_out, times_wider, rank = rng.choice(WIDTHS), rng.choice((1, 1, 3)), rng.choice(RANKS)
    d_in = d_out * times_wider
    count = build_check("lora_parameters_matrix", d_in=d_in, d_out=d_out, rank=rank)
    full = build_check("linear_parameters", d_in=d_in, d_out=d_out)
    times = full.expect / count.expect
    return DrawnNumbers(
        right=times,
        slips={
            "only-a": d_out / rank,
            "only-b": d_in / rank,
            "upside-down": count.expect / full.expect,
            "rank-squared": times / rank,
        },
        values=dict(d_in=d_in, d_out=d_out, rank=rank, full=full.expect, count=count.expect),
        checks=(full, count),
        tolerance=0.01,
    )


def draw_other_rank(rng: Random) -> DrawnNumbers:
    """Draw a question about a known parameter count at another rank."""
    rank, other = rng.sample(RANKS, 2)
    width, matrices = rng.choice(WIDTHS), rng.choice((24, 48, 64, 96))
    now = build_check("lora_parameters_matrix", d_in=width, d_out=width, rank=rank, matrices=matrices).expect
    count = build_check("lora_parameters_matrix", d_in=width, d_out=width, rank=other, matrices=matrices)
    factor = other / rank
    return DrawnNumbers(
        right=count.expect,
        slips={
            "rank-is-free": now,
            "rank-squared": now * factor**2,
            "other-way": now / factor,
            "one-factor-grows": (now + now * factor) / 2,
        },
        values=dict(rank=rank, now=now, other=other, factor=factor, per_rank=now / rank),
        checks=(count,),
    )


def draw_break_even_rank(rng: Random) -> DrawnNumbers:
    """Draw a question about the rank at which an adapter is as large as its matrix."""
    # With these ratios d_in × d_out / (d_in + d_out) is a whole number.
    narrow, ratio = rng.choice((512, 768, 1024, 1536, 2048, 4096)), rng.choice((1, 3, 7))
    sides = rng.sample((narrow, narrow * ratio), 2)
    d_in, d_out = sides
    full = build_check("linear_parameters", d_in=d_in, d_out=d_out)
    rank = d_in * d_out // (d_in + d_out)
    count = build_check("lora_parameters_matrix", d_in=d_in, d_out=d_out, rank=rank)
    return DrawnNumbers(
        right=rank,
        slips={
            "smaller-side": narrow,
            "sum-of-sides": d_in + d_out,
            "counted-twice": rank / 2,
            "larger-side": narrow * ratio,
        },
        values=dict(
            d_in=d_in,
            d_out=d_out,
            count=count.expect,
            narrow=narrow,
            half=rank // 2,
            full=full.expect,
            per_rank=d_in + d_out,
        ),
        checks=(full, count),
    )


def draw_same_budget_rank(rng: Random) -> DrawnNumbers:
    """Draw a question about one budget on fewer matrices at a higher rank, or more at a lower one."""
    before, after = rng.choice(((1, 2), (1, 4), (2, 4), (2, 1), (4, 2), (4, 1), (3, 6), (6, 3)))
    rank, width, layers = rng.choice((16, 32, 64, 128)), rng.choice(WIDTHS), rng.choice((12, 24, 32, 48))
    new_rank = rank * before // after
    width = max(width, 4 * new_rank)  # at a higher rank the adapter would be more than half of its matrix
    budget = build_check(
        "lora_parameters_matrix", d_in=width, d_out=width, rank=rank, matrices=layers * before
    )
    count = build_check(
        "lora_parameters_matrix", d_in=width, d_out=width, rank=new_rank, matrices=layers * after
    )
    return DrawnNumbers(
        right=new_rank,
        slips={
            "same-rank": rank,
            "other-way": rank * after / before,
            "squared": rank * (before / after) ** 2,
            "half-way": rank * (1 + before / after) / 2,
        },
        values=dict(layers=layers, width=width, rank=rank, before=before, budget=budget.expect, after=after),
        checks=(count,),
    )


def draw_rank_of_sum(rng: Random) -> DrawnNumbers:
    first, second = rng.sample((2, 4, 8, 12, 16, 24, 32, 48, 64), 2)
    d_out, d_in = rng.choice((64, 768, 1024)), rng.choice((64, 96, 768, 1024))
    together = first + second
    highest = min(together, d_in, d_out)
    return DrawnNumbers(
        right=highest,
        slips={
            "larger-one": min(max(first, second), d_in, d_out),
            "no-side-limit": together,
            "product": first * second,
            "shorter-side": min(d_in, d_out),
            "smaller-one": min(first, second),
        },
        values=dict(
            d_out=d_out,
            d_in=d_in,
            first=first,
            second=second,
            why="sum" if highest == together else "side",
            together=together,
            shorter=min(d_in, d_out),
        ),
    )
