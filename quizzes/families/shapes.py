"""Families about shapes: A and B, their product, and a layer after merging."""

from random import Random

from quizzes.families.answers import build_answers, format_digits, format_whole, sample_slips
from quizzes.families.drawn import DrawnQuestion, QuestionFamily, build_check, keep_distinct

LORA = "arXiv:2106.09685 section 4.1"
WIDTHS = (512, 768, 1024, 1536, 2048, 4096)
RANKS = (2, 4, 8, 16, 32, 64)
_APART = 1_000_000  # more than any side here


def _encode_shape(rows: int, columns: int) -> float:
    """Encode a shape as one number, so shapes compare like other answers."""
    return float(rows * _APART + columns)


def _format_shape(value: float) -> str:
    rows, columns = divmod(round(value), _APART)
    return f"{rows:,} × {columns:,}"


def draw_factor_shape(dice: Random) -> DrawnQuestion:
    """Draw a question about the shape of A or B."""
    (d_in, d_out), rank, factor = dice.sample(WIDTHS, 2), dice.choice(RANKS), dice.choice("AB")
    shape_a, shape_b = _encode_shape(rank, d_in), _encode_shape(d_out, rank)
    asked, other = (shape_a, shape_b) if factor == "A" else (shape_b, shape_a)
    rows, columns = divmod(round(asked), _APART)
    role = "takes the input down to rank numbers" if factor == "A" else "takes rank numbers up to the output"
    right, slips = build_answers(
        _format_shape,
        asked,
        f"{factor} {role}, so it has one row for each number that comes out and one column for each that"
        " goes in.",
        (
            "other-factor",
            other,
            "mixes up A and B",
            f"That is {'B' if factor == 'A' else 'A'}. The input meets A first, then B.",
        ),
        (
            "transposed",
            _encode_shape(columns, rows),
            "swaps rows and columns",
            "Rows and columns are swapped. Rows are what comes out, columns what goes in.",
        ),
        (
            "wrong-side",
            _encode_shape(rank, d_out) if factor == "A" else _encode_shape(d_in, rank),
            "puts the factor on the wrong side of the layer",
            f"{factor} meets the layer's {'input' if factor == 'A' else 'output'}, so its long side is"
            f" {'d_in' if factor == 'A' else 'd_out'}.",
        ),
        (
            "full-size",
            _encode_shape(d_out, d_in),
            "gives the adapter the shape of W",
            "That is the shape of W and of the product B·A. The factors are thin.",
        ),
    )
    return DrawnQuestion(
        kind="single",
        stem=f"A layer has a weight W with d_out = {d_out:,} rows and d_in = {d_in:,} columns. LoRA of rank"
        f" {rank} adds B·A to it. What is the shape of {factor} (rows × columns)?",
        right=right,
        wrong=sample_slips(dice, right, slips),
        steps=(
            f"A: rank × d_in = {_format_shape(shape_a)}",
            f"B: d_out × rank = {_format_shape(shape_b)}",
            f"the question asks for {factor}: {_format_shape(asked)}",
        ),
        hint="In B·A·x the input x meets A first.",
        keep="A is rank × d_in, flat and wide; B is d_out × rank, tall and thin.",
        source=LORA,
    )


def draw_product_shape(dice: Random) -> DrawnQuestion:
    """Draw a question about the shape of the product B·A."""
    (d_in, d_out), rank = dice.sample(WIDTHS, 2), dice.choice(RANKS)
    right, slips = build_answers(
        _format_shape,
        _encode_shape(d_out, d_in),
        "The shared side, the rank, disappears in the product: rows come from B, columns from A.",
        (
            "inner-sides",
            _encode_shape(rank, rank),
            "keeps the shared side of the two factors",
            f"The shared side {rank} is summed over, so it does not show in the product.",
        ),
        (
            "transposed",
            _encode_shape(d_in, d_out),
            "swaps rows and columns",
            "Rows and columns are swapped. B stands on the left and gives the rows.",
        ),
        (
            "like-b",
            _encode_shape(d_out, rank),
            "thinks that a product keeps the shape of its left factor",
            "That is B. Multiplying by A gives each row as many columns as A has.",
        ),
        (
            "like-a",
            _encode_shape(rank, d_in),
            "thinks that a product keeps the shape of its right factor",
            "That is A. Multiplying by B from the left gives as many rows as B has.",
        ),
        (
            "sides-added",
            _encode_shape(d_out + rank, d_in + rank),
            "stacks the factors instead of multiplying them",
            "Nothing is stacked. The product has to fit W, or it couldn't be added to it.",
        ),
    )
    return DrawnQuestion(
        kind="single",
        stem=f"B has {d_out:,} rows and {rank} columns, and A has {rank} rows and {d_in:,} columns. What "
        "is the shape of B·A (rows × columns)?",
        right=right,
        wrong=sample_slips(dice, right, slips),
        steps=(
            f"({d_out:,} × {rank}) · ({rank} × {d_in:,})",
            f"the inner {rank} and {rank} agree and go; what stays is "
            f"{_format_shape(_encode_shape(d_out, d_in))}",
        ),
        hint="The product is added to W, entry by entry.",
        keep="B·A has the full shape of W, whatever the rank.",
        source=LORA,
    )


def draw_two_step_cost(dice: Random) -> DrawnQuestion:
    """Draw a question about the multiplications of A and then B, without forming the product."""
    d_in, d_out, rank = dice.choice(WIDTHS), dice.choice(WIDTHS), dice.choice(RANKS)
    cost = build_check("lora_parameters_matrix", d_in=d_in, d_out=d_out, rank=rank)
    right, slips = build_answers(
        format_whole,
        cost.expect,
        "Each number in A and in B is used once for each token.",
        (
            "product-first",
            d_in * d_out,
            "forms B·A first",
            "That is what a full matrix costs: B·A as one matrix, or W itself.",
        ),
        (
            "forming-too",
            rank * d_in * d_out,
            "counts what it costs to form B·A",
            "That is the work of multiplying B by A. Done in two steps, the product is never formed.",
        ),
        (
            "one-step",
            rank * d_in,
            "stops after A",
            f"That is A alone. The {rank} numbers still have to go through B.",
        ),
        (
            "second-step",
            rank * d_out,
            "counts B alone",
            f"That is B alone. Before it, A takes the {d_in:,} inputs to {rank} numbers.",
        ),
        (
            "steps-multiplied",
            rank * rank * (d_in + d_out),
            "multiplies by the rank twice",
            "The rank is a side of A and a side of B; it counts once in each.",
        ),
    )
    return DrawnQuestion(
        kind="single",
        stem=f"A layer with d_in = {d_in:,} and d_out = {d_out:,} has an adapter of rank {rank}. A token goes"
        " through A, then the result through B. How many multiplications does the adapter need for it, "
        "without the scale?",
        right=right,
        wrong=sample_slips(dice, right, slips),
        steps=(
            f"A: {rank} × {d_in:,} = {rank * d_in:,}",
            f"B: {d_out:,} × {rank} = {d_out * rank:,}",
            f"together {rank * d_in:,} + {d_out * rank:,} = {cost.expect:,.0f}",
        ),
        hint="A matrix times a vector needs one multiplication for each number in the matrix.",
        keep="B·(A·x) costs rank × (d_in + d_out); forming B·A first would lose that advantage.",
        checks=(cost,),
    )


def draw_merged_weights(dice: Random) -> DrawnQuestion:
    """Draw a question about the weights of a layer after merging."""
    d_in, d_out, rank = dice.choice(WIDTHS), dice.choice(WIDTHS), dice.choice(RANKS)
    full = build_check("linear_parameters", d_in=d_in, d_out=d_out)
    adapter = build_check("lora_parameters_matrix", d_in=d_in, d_out=d_out, rank=rank).expect
    right, slips = build_answers(
        format_whole,
        full.expect,
        "B·A has the shape of W, so their sum has it as well.",
        (
            "adapter-added",
            full.expect + adapter,
            "thinks that merging keeps A and B beside W",
            "That is the layer before merging: W, A and B. Merging leaves one matrix.",
        ),
        (
            "adapter-alone",
            adapter,
            "thinks that the merged layer is the adapter",
            "That is A and B. Their product is added to W, which stays as large as it was.",
        ),
        (
            "doubled",
            2 * full.expect,
            "stores the product beside W",
            "W and B·A are added entry by entry, so one matrix is left.",
        ),
    )
    return DrawnQuestion(
        kind="numeric",
        stem=f"A linear layer has d_in = {d_in:,}, d_out = {d_out:,} and no bias. Its adapter of rank {rank}"
        " is merged and then removed. How many weights does the layer hold now?",
        right=right,
        wrong=keep_distinct(right, slips, limit=4),
        steps=(
            f"B·A has {d_out:,} rows and {d_in:,} columns, like W",
            f"W + scale · B·A: {d_out:,} × {d_in:,} = {full.expect:,.0f}",
        ),
        hint="Two matrices of one shape are added.",
        keep="A merged model has as many weights as its base, and runs as fast.",
        checks=(full,),
        unit="weights",
    )


def draw_merged_entry(dice: Random) -> DrawnQuestion:
    """Draw a question about one entry of W + (alpha / rank) B·A."""
    rank, factor = 2, dice.choice((2, 3, 4))
    alpha = rank * factor
    w, b_1, a_1, b_2, a_2 = (dice.choice((-3, -2, -1, 1, 2, 3)) for _ in range(5))
    if b_1 * a_1 == -b_2 * a_2:
        b_2 = -b_2  # an update of zero would ask nothing
    product = b_1 * a_1 + b_2 * a_2
    scale = build_check("lora_scaling", alpha=alpha, rank=rank)
    merged = w + factor * product
    right, slips = build_answers(
        _format_signed,
        merged,
        "The entry of B·A is scaled, then added to that of W.",
        (
            "scale-forgotten",
            w + product,
            "adds B·A without the scale",
            f"That ignores the factor alpha / rank = {factor}.",
        ),
        (
            "alpha-for-scale",
            w + alpha * product,
            "multiplies by alpha alone",
            f"That multiplies by alpha. The factor is alpha / rank = {factor}.",
        ),
        (
            "base-forgotten",
            factor * product,
            "forgets W",
            "That is the update alone. Merging adds it to W.",
        ),
        (
            "base-scaled",
            factor * (w + product),
            "scales W as well",
            "The factor belongs to B·A only. W is added as it is.",
        ),
        (
            "first-term-only",
            w + factor * b_1 * a_1,
            "multiplies the first pair only",
            "The row and the column have two numbers each, and both pairs count.",
        ),
    )
    return DrawnQuestion(
        kind="single",
        stem=f"An adapter has rank {rank} and alpha {alpha}. One entry of W is {_format_signed(w)}; "
        "the row of B"
        f" that belongs to it is ({_format_signed(b_1)}, {_format_signed(b_2)}), and the column "
        f"of A is ({_format_signed(a_1)},"
        f" {_format_signed(a_2)}). What is this entry after merging?",
        right=right,
        wrong=sample_slips(dice, right, slips),
        steps=(
            f"B·A: {_format_factor(b_1)} × {_format_factor(a_1)} + {_format_factor(b_2)} × "
            f"{_format_factor(a_2)} = {_format_signed(product)}",
            f"scale: {alpha} / {rank} = {factor}",
            f"merged: {_format_signed(w)} + {factor} × {_format_factor(product)} = {_format_signed(merged)}",
        ),
        hint="Multiply row by column, then scale, then add.",
        keep="Merging computes W + (alpha / rank) · B·A once, entry by entry.",
        checks=(scale,),
    )


def _format_signed(value: float) -> str:
    return format_digits(value).replace("-", "−")


def _format_factor(value: int) -> str:
    return f"({_format_signed(value)})" if value < 0 else str(value)


FAMILIES = (
    QuestionFamily(
        id="factor-shape",
        title="Shape of A and B",
        concepts=("lora-update", "low-rank-factorization"),
        level="beginner",
        draw=draw_factor_shape,
    ),
    QuestionFamily(
        id="product-shape",
        title="Shape of the product",
        concepts=("low-rank-factorization", "lora-update"),
        level="beginner",
        draw=draw_product_shape,
    ),
    QuestionFamily(
        id="two-step-cost",
        title="First A, then B",
        concepts=("low-rank-factorization", "lora-update"),
        level="advanced",
        draw=draw_two_step_cost,
    ),
    QuestionFamily(
        id="merged-weights",
        title="Weights after merging",
        concepts=("adapter-merging",),
        level="beginner",
        draw=draw_merged_weights,
    ),
    QuestionFamily(
        id="merged-entry",
        title="One merged entry by hand",
        concepts=("adapter-merging", "lora-alpha", "lora-update"),
        level="intermediate",
        draw=draw_merged_entry,
    ),
)
