"""Families about quantizing by hand: a block's constant, the nearest level, dequantization, the error."""

from random import Random

from quizzes.families.answers import build_answers, format_digits, sample_slips
from quizzes.families.drawn import DrawnQuestion, QuestionFamily, build_check, keep_distinct

ABSMAX = "arXiv:2305.14314 section 2, block-wise k-bit quantization"


def draw_absmax(dice: Random) -> DrawnQuestion:
    """Draw a question about the absmax constant of a small block."""
    cents = [dice.choice((-1, 1)) * size for size in dice.sample(range(5, 99), 4)]
    if max(cents, key=abs) > 0:
        cents = [-cent for cent in cents]  # else the sign would not matter
    if max(cents) < 0:
        cents = [abs(cent) if cent == max(cents) else cent for cent in cents]
    weights = [cent / 100 for cent in cents]
    largest = max(abs(weight) for weight in weights)
    right, slips = build_answers(
        _format_number,
        largest,
        "It is the largest magnitude, whatever the sign.",
        (
            "largest-signed",
            max(weights),
            "uses the largest value and ignores negative ones",
            f"{_format_number(-largest)} is further from zero, so it decides.",
        ),
        (
            "sign-kept",
            -largest,
            "keeps the sign of the largest weight",
            "The constant is a magnitude. Signs are kept in the codes.",
        ),
        (
            "mean-size",
            round(sum(map(abs, weights)) / 4, 4),
            "uses the mean magnitude",
            "With the mean, larger weights would fall outside the levels.",
        ),
        (
            "range",
            round(max(weights) - min(weights), 2),
            "uses the distance from lowest to highest",
            "Absmax scaling looks at magnitudes, not at the range.",
        ),
    )
    return DrawnQuestion(
        kind="single",
        stem=f"A block holds the weights {', '.join(map(_format_number, weights))}. Which constant "
        "does absmax"
        " quantization store for it?",
        right=right,
        wrong=sample_slips(dice, right, slips),
        steps=(
            f"magnitudes: {', '.join(_format_number(abs(weight)) for weight in weights)}",
            f"the largest of them: {_format_number(largest)}",
        ),
        hint="Every weight of the block is divided by it, and the results have to lie between −1 and 1.",
        keep="The constant of a block is its largest absolute value.",
        source=ABSMAX,
    )


def draw_nearest_level(dice: Random) -> DrawnQuestion:
    """Draw a question about the NF4 level that a scaled weight is rounded to."""
    low, side = dice.randrange(1, 14), dice.choice((-1, 1))
    index = low if side == 1 else low + 1  # the weight lies between the levels `low` and `low + 1`
    levels = [build_check("nf4_level", index=i) for i in range(16)]
    level, neighbour = levels[index].expect, levels[index + side].expect
    # Between a seventh and two fifths of the way to the neighbour: near enough to look at both.
    scaled = round(level + dice.uniform(0.15, 0.4) * (neighbour - level), 3)
    other = levels[index - side].expect
    even = round(7.5 * (scaled + 1)) / 7.5 - 1
    right, slips = build_answers(
        _format_level,
        level,
        f"It is {abs(scaled - level):.4f} away, and no other level is nearer.",
        (
            "other-neighbour",
            neighbour,
            "rounds in a fixed direction instead of to the nearest",
            f"That level is {abs(scaled - neighbour):.4f} away, on the other side. The nearest is"
            f" {abs(scaled - level):.4f} away.",
        ),
        (
            "one-too-far",
            other,
            "goes one level too far",
            f"That level is {abs(scaled - other):.4f} away, with a nearer one in between.",
        ),
        (
            "evenly-spaced",
            even,
            "assumes that the levels of NF4 are evenly spaced",
            "That would be a level if the 16 were evenly spaced. NF4 follows the normal distribution.",
        ),
    )
    listed = ", ".join(_format_level(levels[i].expect) for i in range(low - 1, low + 3))
    return DrawnQuestion(
        kind="single",
        stem=f"Four neighbouring levels of NF4 are {listed}. A weight divided by the constant of its block"
        f" gives {_format_number(scaled)}. As which level is it stored?",
        right=right,
        wrong=keep_distinct(right, slips, tolerance=0.002),
        steps=(
            f"distance to {_format_level(neighbour)}: {abs(scaled - neighbour):.4f}",
            f"distance to {_format_level(other)}: {abs(scaled - other):.4f}",
            f"the smallest distance is {abs(scaled - level):.4f}, to {_format_level(level)}",
        ),
        hint="Compare distances to the levels on both sides.",
        keep="A weight is stored as the level that is nearest after scaling.",
        checks=(levels[index],),
    )


def draw_dequantized(dice: Random) -> DrawnQuestion:
    """Draw a question about dequantization: level × constant."""
    index, constant = dice.randrange(8, 15), dice.randrange(10, 60) / 100
    level = build_check("nf4_level", index=index)
    value = round(level.expect, 4) * constant
    right, slips = build_answers(
        format_digits,
        value,
        "Going back, the level is multiplied by the constant of the block.",
        (
            "level-alone",
            round(level.expect, 4),
            "forgets the constant of the block",
            "That is the level. It is a share of the largest weight in the block.",
        ),
        (
            "divided",
            round(round(level.expect, 4) / constant, 4),
            "divides by the constant again",
            "Quantizing divides. Dequantizing multiplies.",
        ),
        (
            "code-times-constant",
            index * constant,
            "multiplies the number of the code instead of its level",
            f"{index} is the code. What counts is the level that it stands for.",
        ),
        (
            "added",
            round(round(level.expect, 4) + constant, 4),
            "adds the constant",
            "The constant is a factor, just as in quantizing.",
        ),
    )
    tolerance = float(f"{abs(value) / 50:.0e}")
    return DrawnQuestion(
        kind="numeric",
        stem=f"A weight is stored as NF4 code {index}, which stands for the level "
        f"{_format_level(level.expect)}. The"
        f" constant of its block is {_format_number(constant)}. Which value does dequantizing give?",
        right=right,
        wrong=keep_distinct(right, slips, tolerance=tolerance, limit=5),
        steps=(
            "value: level × constant",
            f"{_format_level(level.expect)} × {_format_number(constant)} = {format_digits(value)}",
        ),
        hint="Quantizing divided the weight by the constant. Undo that.",
        keep="Dequantizing is looking up the level and multiplying by the constant of the block.",
        checks=(level,),
        tolerance=tolerance,
    )


def draw_rounding_error(dice: Random) -> DrawnQuestion:
    """Draw a question about the rounding error of 4-bit integers from −7 to 7."""
    step, code, off = dice.choice((2, 5, 10, 20)), dice.randrange(1, 6), dice.choice((-0.4, -0.3, 0.3, 0.4))
    largest, weight = 7 * step / 100, step * (code + off) / 100
    width, restored = step / 100, step * code / 100
    error = abs(off) * width
    right, slips = build_answers(
        format_digits,
        round(error, 6),
        f"{_format_number(weight)} comes back as {_format_number(restored)}.",
        (
            "no-error",
            0.0,
            "thinks that quantizing loses nothing",
            "Only a weight that sits on a level comes back exactly.",
        ),
        (
            "largest-error",
            round(width / 2, 6),
            "gives the largest error there can be",
            "That is half a step, the most that rounding can cost. This weight lies nearer to a level.",
        ),
        (
            "whole-step",
            round(width, 6),
            "gives the distance of two levels",
            "That is the step between levels. The nearest level is never that far away.",
        ),
        (
            "other-side",
            round((1 - abs(off)) * width, 6),
            "rounds to the further of the two levels",
            "That is the distance to the level on the other side.",
        ),
        (
            "in-steps",
            abs(off),
            "gives the error before scaling back",
            "That is the error in steps. Multiply by the step to get it in weights.",
        ),
    )
    return DrawnQuestion(
        kind="single",
        stem=f"Weights are quantized to the whole numbers from −7 to 7: divided by the largest absolute"
        f" value in the block, {_format_number(largest)}, times 7, and rounded. A weight of "
        f"{_format_number(weight)} is"
        " stored and read back. How large is its rounding error?",
        right=right,
        wrong=sample_slips(dice, right, slips, near=0.0001),
        steps=(
            f"in: {_format_number(weight)} / {_format_number(largest)} × 7 = "
            f"{_format_number(code + off)}, rounded {code}",
            f"back: {code} / 7 × {_format_number(largest)} = {_format_number(restored)}",
            f"error: the distance of {_format_number(weight)} and {_format_number(restored)} is "
            f"{format_digits(round(error, 6))}",
        ),
        hint="Find the code first, then the weight that it gives back.",
        keep="Rounding costs at most half a step, and the step grows with the largest weight of the block.",
        source=ABSMAX,
    )


def draw_level_spacing(dice: Random) -> DrawnQuestion:
    """Draw a question about the spacing of even levels from −c to c."""
    bits = dice.choice((2, 3, 4, 8))
    levels = build_check("quantization_levels", bits=bits)
    gaps = round(levels.expect) - 1
    width = dice.randrange(1, 40 if bits < 8 else 5) / 100
    largest = round(width * gaps / 2, 4)
    right, slips = build_answers(
        format_digits,
        width,
        f"{levels.expect:.0f} levels leave {gaps} gaps between −{_format_number(largest)} and "
        f"{_format_number(largest)}.",
        (
            "half-range",
            round(largest / gaps, 4),
            "takes half of the range",
            f"That divides {_format_number(largest)}. The levels go from "
            f"−{_format_number(largest)} to {_format_number(largest)},"
            " twice as far.",
        ),
        (
            "levels-for-bits",
            round(2 * largest / bits, 4),
            "divides by the number of bits",
            f"{bits} bits name {levels.expect:.0f} values, not {bits}.",
        ),
        (
            "doubled-bits",
            round(2 * largest / (2 * bits), 4),
            "doubles the bits instead of raising 2 to them",
            f"Each bit doubles the number of codes: {bits} bits give {levels.expect:.0f}.",
        ),
        (
            "levels-for-gaps",
            round(2 * largest / levels.expect, 4),
            "divides by the number of levels",
            f"{levels.expect:.0f} levels have {gaps} gaps between them, one fewer.",
        ),
    )
    return DrawnQuestion(
        kind="numeric",
        stem=f"A code of {bits} bits names evenly spaced levels, the lowest at "
        f"−{_format_number(largest)} and the"
        f" highest at {_format_number(largest)}. How far apart are two neighbouring levels?",
        right=right,
        wrong=keep_distinct(right, slips, tolerance=0.01 * width, limit=4),
        steps=(
            f"levels: 2 to the power of {bits}, {levels.expect:.0f}",
            f"gaps: {levels.expect:.0f} − 1 = {gaps}",
            f"step: 2 × {_format_number(largest)} / {gaps} = {format_digits(width)}",
        ),
        hint="How many levels are there, and how many gaps lie between them?",
        keep="Each further bit doubles the levels and so about halves the step.",
        checks=(levels,),
        tolerance=float(f"{0.01 * width:.0e}"),
    )


def _format_number(value: float) -> str:
    return format_digits(round(value, 6)).replace("-", "−")


def _format_level(value: float) -> str:
    return f"{value:.4f}".replace("-", "−")


FAMILIES = (
    QuestionFamily(
        id="block-absmax",
        title="The constant of a block",
        concepts=("blockwise-absmax",),
        level="beginner",
        draw=draw_absmax,
    ),
    QuestionFamily(
        id="nearest-level",
        title="The nearest level",
        concepts=("quantization-levels", "nf4"),
        level="intermediate",
        draw=draw_nearest_level,
    ),
    QuestionFamily(
        id="dequantized-weight",
        title="Back from a code",
        concepts=("dequantization", "blockwise-absmax"),
        level="intermediate",
        draw=draw_dequantized,
    ),
    QuestionFamily(
        id="rounding-error",
        title="Rounding error by hand",
        concepts=("quantization-levels", "blockwise-absmax"),
        level="advanced",
        draw=draw_rounding_error,
    ),
    QuestionFamily(
        id="level-spacing",
        title="Distance of two levels",
        concepts=("quantization-levels",),
        level="beginner",
        draw=draw_level_spacing,
    ),
)
