"""Families about quantizing by hand: a block's constant, the nearest level, dequantization, the error."""

from random import Random

from quizzes.families.drawn import DrawnNumbers, build_check, compute_tolerance


def draw_block_absmax(rng: Random) -> DrawnNumbers:
    cents = [rng.choice((-1, 1)) * size for size in rng.sample(range(5, 99), 4)]
    if max(cents, key=abs) > 0:
        cents = [-cent for cent in cents]  # else the sign would not matter
    if max(cents) < 0:
        cents = [abs(cent) if cent == max(cents) else cent for cent in cents]
    weights = [cent / 100 for cent in cents]
    largest = max(abs(weight) for weight in weights)
    return DrawnNumbers(
        right=largest,
        slips={
            "largest-signed": max(weights),
            "sign-kept": -largest,
            "mean-size": round(sum(map(abs, weights)) / 4, 4),
            "range": round(max(weights) - min(weights), 2),
        },
        values=dict(weights=weights, lowest=-largest, magnitudes=[abs(weight) for weight in weights]),
    )


def draw_nearest_level(rng: Random) -> DrawnNumbers:
    """Draw a question about the NF4 level that a scaled weight is rounded to."""
    low, side = rng.randrange(1, 14), rng.choice((-1, 1))
    index = low if side == 1 else low + 1  # the weight lies between the levels `low` and `low + 1`
    levels = [build_check("nf4_level", index=i) for i in range(16)]
    level, neighbour = levels[index].expect, levels[index + side].expect
    # Between a seventh and two fifths of the way to the neighbour: near enough to look at both.
    scaled = round(level + rng.uniform(0.15, 0.4) * (neighbour - level), 3)
    other, far = levels[index - side].expect, levels[index + 2 * side].expect
    return DrawnNumbers(
        right=level,
        slips={"other-neighbour": neighbour, "one-too-far": other, "two-too-far": far},
        values=dict(
            levels=[level.expect for level in levels[low - 1 : low + 3]],
            scaled=scaled,
            distance=abs(scaled - level),
            to_neighbour=abs(scaled - neighbour),
            to_other=abs(scaled - other),
            to_far=abs(scaled - far),
            neighbour=neighbour,
            other=other,
        ),
        checks=(levels[index],),
        tolerance=0.002,
        in_order=True,
    )


def draw_dequantized_weight(rng: Random) -> DrawnNumbers:
    """Draw a question about dequantization: level × constant."""
    index, constant = rng.randrange(8, 15), rng.randrange(10, 60) / 100
    level = build_check("nf4_level", index=index)
    value = round(level.expect, 4) * constant
    return DrawnNumbers(
        right=value,
        slips={
            "level-alone": round(level.expect, 4),
            "divided": round(round(level.expect, 4) / constant, 4),
            "code-times-constant": index * constant,
            "added": round(round(level.expect, 4) + constant, 4),
        },
        values=dict(index=index, level=level.expect, constant=constant),
        checks=(level,),
        tolerance=compute_tolerance(value, 2),
    )


def draw_rounding_error(rng: Random) -> DrawnNumbers:
    """Draw a question about the rounding error of 4-bit integers from −7 to 7."""
    step, code, off = rng.choice((2, 5, 10, 20)), rng.randrange(1, 6), rng.choice((-0.4, -0.3, 0.3, 0.4))
    largest, weight = 7 * step / 100, step * (code + off) / 100
    width, restored = step / 100, step * code / 100
    error = abs(off) * width
    return DrawnNumbers(
        right=round(error, 6),
        slips={
            "no-error": 0.0,
            "largest-error": round(width / 2, 6),
            "whole-step": round(width, 6),
            "other-side": round((1 - abs(off)) * width, 6),
            "in-steps": abs(off),
        },
        values=dict(largest=largest, weight=weight, restored=restored, scaled=code + off, code=code),
        tolerance=0.0001,
    )


def draw_level_spacing(rng: Random) -> DrawnNumbers:
    """Draw a question about the spacing of even levels from −c to c."""
    bits = rng.choice((2, 3, 4, 8))
    levels = build_check("quantization_levels", bits=bits)
    gaps = round(levels.expect) - 1
    width = rng.randrange(1, 40 if bits < 8 else 5) / 100
    largest = round(width * gaps / 2, 4)
    return DrawnNumbers(
        right=width,
        slips={
            "half-range": round(largest / gaps, 4),
            "levels-for-bits": round(2 * largest / bits, 4),
            "levels-for-gaps": round(2 * largest / levels.expect, 4),
            "doubled-bits": round(2 * largest / (2 * bits), 4),  # with 2 bits the same number
        },
        values=dict(bits=bits, largest=largest, levels=levels.expect, gaps=gaps),
        checks=(levels,),
        tolerance=compute_tolerance(width, 0.1),  # of 256 levels, one more or less is 0.4 %
    )
