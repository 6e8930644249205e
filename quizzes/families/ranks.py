"""Families about the rank: what it costs, what it could cost, and how ranks add up."""

from random import Random

from quizzes.families.answers import build_answers, format_digits, format_whole, sample_slips
from quizzes.families.drawn import DrawnQuestion, QuestionFamily, build_check, keep_distinct

RANKS = (2, 4, 8, 16, 32, 64)
WIDTHS = (512, 768, 1024, 2048, 4096)


def draw_times_fewer(dice: Random) -> DrawnQuestion:
    """Draw a question about how many times smaller an adapter is than its matrix."""
    d_out, times_wider, rank = dice.choice(WIDTHS), dice.choice((1, 1, 3)), dice.choice(RANKS)
    d_in = d_out * times_wider
    count = build_check("lora_parameters_matrix", d_in=d_in, d_out=d_out, rank=rank)
    full = build_check("linear_parameters", d_in=d_in, d_out=d_out)
    times = full.expect / count.expect
    right, slips = build_answers(
        format_digits,
        times,
        f"The matrix has {full.expect:,.0f} weights, its adapter {count.expect:,.0f} parameters.",
        (
            "only-a",
            d_out / rank,
            "counts A and forgets B",
            "That compares the matrix with A alone. B is trained as well.",
        ),
        (
            "only-b",
            d_in / rank,
            "counts B and forgets A",
            "That compares the matrix with B alone. A is trained as well.",
        ),
        (
            "upside-down",
            count.expect / full.expect,
            "divides the adapter by the matrix",
            "That is the adapter's share of the matrix. The question asks the other way round.",
        ),
        (
            "rank-squared",
            times / rank,
            "multiplies by the rank twice",
            "The rank counts once in A and once in B, not squared.",
        ),
    )
    return DrawnQuestion(
        kind="numeric",
        stem=f"A frozen matrix has d_in = {d_in:,} and d_out = {d_out:,}. Its LoRA adapter has rank {rank}."
        " How many times fewer parameters does the adapter have than the matrix?",
        right=right,
        wrong=keep_distinct(right, slips, tolerance=0.01, limit=4),
        steps=(
            f"matrix: {d_in:,} × {d_out:,} = {full.expect:,.0f}",
            f"adapter: {rank} × ({d_in:,} + {d_out:,}) = {count.expect:,.0f}",
            f"{full.expect:,.0f} / {count.expect:,.0f} = {format_digits(times)} times",
        ),
        hint="Count both, then divide the larger by the smaller.",
        keep="For a square matrix an adapter is d / (2 × rank) times smaller.",
        checks=(full, count),
        unit="times",
        tolerance=0.01,
    )


def draw_other_rank(dice: Random) -> DrawnQuestion:
    """Draw a question about a known parameter count at another rank."""
    rank, other = dice.sample(RANKS, 2)
    width, matrices = dice.choice(WIDTHS), dice.choice((24, 48, 64, 96))
    now = build_check("lora_parameters_matrix", d_in=width, d_out=width, rank=rank, matrices=matrices).expect
    count = build_check("lora_parameters_matrix", d_in=width, d_out=width, rank=other, matrices=matrices)
    factor = other / rank
    right, slips = build_answers(
        format_whole,
        count.expect,
        f"The rank is {format_digits(factor)} times what it was, and so is the count.",
        (
            "rank-is-free",
            now,
            "thinks that the rank does not change the count",
            f"That is the count at rank {rank}. Each row of A and each column of B is trained.",
        ),
        (
            "rank-squared",
            now * factor**2,
            "assumes that the count grows with the square of the rank",
            "A and B each grow with the rank once, and they are added, not multiplied.",
        ),
        (
            "other-way",
            now / factor,
            "turns the ratio of the ranks upside down",
            "The ratio is upside down: a higher rank trains more, a lower one less.",
        ),
        (
            "one-factor-grows",
            (now + now * factor) / 2,
            "lets only one of A and B grow",
            "That changes A and keeps B. The rank is the side that they share, so both change.",
        ),
    )
    return DrawnQuestion(
        kind="single",
        stem=f"At rank {rank} an adapter trains {now:,.0f} parameters. How many does it train at rank"
        f" {other}, on the same target modules?",
        right=right,
        wrong=sample_slips(dice, right, slips),
        steps=(
            f"{now:,.0f} / {rank} = {now / rank:,.0f} for each unit of rank",
            f"{other} × {now / rank:,.0f} = {count.expect:,.0f}",
        ),
        hint="Find out what one unit of rank costs.",
        keep="Trainable parameters are proportional to the rank.",
        checks=(count,),
    )


def draw_break_even(dice: Random) -> DrawnQuestion:
    """Draw a question about the rank at which an adapter is as large as its matrix."""
    # With these ratios d_in × d_out / (d_in + d_out) is a whole number.
    narrow, ratio = dice.choice((512, 768, 1024, 1536, 2048, 4096)), dice.choice((1, 3, 7))
    sides = dice.sample((narrow, narrow * ratio), 2)
    d_in, d_out = sides
    full = build_check("linear_parameters", d_in=d_in, d_out=d_out)
    rank = d_in * d_out // (d_in + d_out)
    count = build_check("lora_parameters_matrix", d_in=d_in, d_out=d_out, rank=rank)
    right, slips = build_answers(
        format_whole,
        rank,
        f"At this rank A and B together have {count.expect:,.0f} numbers, as many as the matrix.",
        (
            "smaller-side",
            narrow,
            "mistakes the highest useful rank for the break-even rank",
            f"An update can have rank {narrow:,} at most, but A and B are as large as the matrix earlier.",
        ),
        (
            "sum-of-sides",
            d_in + d_out,
            "adds the sides instead of comparing counts",
            f"{d_in + d_out:,} is what one unit of rank costs. Divide the weights of the matrix by it.",
        ),
        (
            "counted-twice",
            rank / 2,
            "counts A and B twice",
            f"At rank {rank // 2:,} the adapter has half as many parameters as the matrix.",
        ),
        (
            "larger-side",
            narrow * ratio,
            "mistakes the longer side for the limit",
            "No matrix has a rank above its shorter side, and the counts are equal long before.",
        ),
    )
    return DrawnQuestion(
        kind="single",
        stem=f"A matrix has d_in = {d_in:,} and d_out = {d_out:,}. At which rank does a LoRA adapter have"
        " exactly as many parameters as the matrix itself?",
        right=right,
        wrong=sample_slips(dice, right, slips),
        steps=(
            f"matrix: {d_in:,} × {d_out:,} = {full.expect:,.0f}",
            f"one unit of rank: {d_in:,} + {d_out:,} = {d_in + d_out:,}",
            f"{full.expect:,.0f} / {d_in + d_out:,} = {rank:,}",
        ),
        hint="Set rank × (d_in + d_out) equal to d_in × d_out.",
        keep="For a square matrix LoRA saves parameters below rank d/2 only.",
        checks=(full, count),
    )


def draw_same_budget(dice: Random) -> DrawnQuestion:
    """Draw a question about one budget on fewer matrices at a higher rank, or more at a lower one."""
    before, after = dice.choice(((1, 2), (1, 4), (2, 4), (2, 1), (4, 2), (4, 1), (3, 6), (6, 3)))
    rank, width, layers = dice.choice((16, 32, 64, 128)), dice.choice(WIDTHS), dice.choice((12, 24, 32, 48))
    new_rank = rank * before // after
    budget = build_check(
        "lora_parameters_matrix", d_in=width, d_out=width, rank=rank, matrices=layers * before
    )
    count = build_check(
        "lora_parameters_matrix", d_in=width, d_out=width, rank=new_rank, matrices=layers * after
    )
    right, slips = build_answers(
        format_whole,
        new_rank,
        f"{after} × {new_rank} is {before} × {rank}, so the budget is the same.",
        (
            "same-rank",
            rank,
            "thinks that the number of matrices does not count",
            f"Rank {rank} on {_format_matrices(after)} instead of {before} would change the count.",
        ),
        (
            "other-way",
            rank * after / before,
            "turns the ratio upside down",
            "The ratio is upside down: more matrices leave less rank for each.",
        ),
        (
            "squared",
            rank * (before / after) ** 2,
            "divides by the ratio twice",
            "The ratio of the matrices counts once.",
        ),
        (
            "half-way",
            rank * (1 + before / after) / 2,
            "changes the rank of only half of the budget",
            "That is half way. The product of matrices and rank has to stay what it was.",
        ),
    )
    return DrawnQuestion(
        kind="single",
        stem=f"Each of {layers} layers has square matrices of width {width:,}. With adapters of rank {rank}"
        f" on {_format_matrices(before)} per layer, {budget.expect:,.0f} parameters are trained. "
        "Which rank on "
        f"{_format_matrices(after)} per layer trains exactly as many?",
        right=right,
        wrong=sample_slips(dice, right, slips),
        steps=(
            f"now: {layers} × {before} × {rank} × 2 × {width:,} = {budget.expect:,.0f}",
            f"then: {layers} × {after} × rank × 2 × {width:,}",
            f"equal when {after} × rank = {before} × {rank}, so rank = {new_rank}",
        ),
        hint="The number of matrices times the rank has to stay equal.",
        keep="The same budget buys a higher rank on few matrices or a lower one on many.",
        checks=(count,),
        source="arXiv:2106.09685 table 5, which compares such settings",
    )


def _format_matrices(number: int) -> str:
    return "1 matrix" if number == 1 else f"{number} matrices"


def draw_sum_rank(dice: Random) -> DrawnQuestion:
    """Draw a question about the rank of a sum of updates."""
    first, second = dice.sample((2, 4, 8, 12, 16, 24, 32, 48, 64), 2)
    d_out, d_in = dice.choice((64, 768, 1024)), dice.choice((64, 96, 768, 1024))
    together = first + second
    highest = min(together, d_in, d_out)
    why = (
        "Each update brings at most its own rank, and ranks can add up."
        if highest == together
        else f"The ranks add up to {together}, but no matrix has a rank above its shorter side."
    )
    right, slips = build_answers(
        format_whole,
        highest,
        why,
        (
            "larger-one",
            min(max(first, second), d_in, d_out),
            "mistakes the larger rank for the limit",
            "The two can point in different directions, and then their ranks add up.",
        ),
        (
            "no-side-limit",
            together,
            "forgets that the sides of a matrix limit its rank",
            f"The sum has {d_out:,} rows and {d_in:,} columns, which limits its rank.",
        ),
        (
            "product",
            first * second,
            "multiplies the ranks",
            "Ranks of a sum add up at most; they never multiply.",
        ),
        (
            "shorter-side",
            min(d_in, d_out),
            "thinks that any sum can have full rank",
            "That is the limit for any matrix of this shape. This one is the sum of two thin products.",
        ),
        (
            "smaller-one",
            min(first, second),
            "mistakes the smaller rank for the limit",
            "That would limit a product of the two. A sum can have more.",
        ),
    )
    return DrawnQuestion(
        kind="single",
        stem=f"Two adapters were trained for the same matrix W with {d_out:,} rows and {d_in:,} columns, one"
        f" of rank {first} and one of rank {second}. Both are merged into W. What is the highest rank that"
        " the change to W can have?",
        right=right,
        wrong=sample_slips(dice, right, slips),
        steps=(
            f"the ranks add up to at most {first} + {second} = {together}",
            f"the shorter side of W is {min(d_in, d_out):,}",
            f"the smaller of both: {highest:,}",
        ),
        hint="Put the two B side by side and the two A on top of each other: which rank has that?",
        keep="The rank of a sum is at most the sum of the ranks, and never above the shorter side.",
        source="Strang, Introduction to Linear Algebra: rank(A + B) ≤ rank(A) + rank(B)",
    )


FAMILIES = (
    QuestionFamily(
        id="times-fewer",
        title="How much smaller an adapter is",
        concepts=("counting-parameters", "low-rank-factorization"),
        level="beginner",
        draw=draw_times_fewer,
    ),
    QuestionFamily(
        id="other-rank",
        title="A known count at another rank",
        concepts=("lora-rank", "counting-parameters"),
        level="beginner",
        draw=draw_other_rank,
    ),
    QuestionFamily(
        id="break-even-rank",
        title="As large as the matrix",
        concepts=("low-rank-factorization", "lora-rank"),
        level="advanced",
        draw=draw_break_even,
    ),
    QuestionFamily(
        id="same-budget-rank",
        title="The same budget on more matrices",
        concepts=("target-modules", "lora-rank"),
        level="intermediate",
        draw=draw_same_budget,
    ),
    QuestionFamily(
        id="rank-of-sum",
        title="Rank of a sum of updates",
        concepts=("matrix-rank", "low-rank-factorization"),
        level="intermediate",
        draw=draw_sum_rank,
    ),
)
