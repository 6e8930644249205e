"""Families about counting over a whole model of the catalogue."""

from random import Random

from quizzes.families.answers import build_answers, format_digits, format_whole, one_percent, sample_slips
from quizzes.families.drawn import DrawnQuestion, QuestionFamily, build_check, keep_distinct
from quizzes.families.models import NAMES, TARGETS, Model, Part, draw_model, format_targets, with_sides

RANKS = (2, 4, 8, 16, 32, 64)


def draw_model_count(dice: Random) -> DrawnQuestion:
    """Draw a question about the parameters of all adapters of a model."""
    model, parts, rank = draw_model(dice), dice.choice(TARGETS), dice.choice(RANKS)
    count = build_check("lora_parameters", model=model.id, rank=rank, targets=list(parts))
    sides = [model.sides(part) for part in parts]
    widths = sum(d_in + d_out for d_in, d_out in sides)
    right, slips = build_answers(
        format_whole,
        count.expect,
        f"Each layer trains {rank} × {widths:,}, and there are {model.layers} layers.",
        (
            "one-layer",
            rank * widths,
            "counts one layer instead of all",
            f"That is one layer. The model has {model.layers} of them, each with its own adapters.",
        ),
        (
            "full-matrices",
            model.layers * sum(d_in * d_out for d_in, d_out in sides),
            "counts the frozen matrices instead of their adapters",
            "Those are the frozen weights of the adapted matrices.",
        ),
        (
            "only-a",
            model.layers * rank * sum(d_in for d_in, _ in sides),
            "counts A and forgets B",
            "That counts every A. Each matrix has a B as well, with d_out rows.",
        ),
        (
            "all-square",
            model.layers * rank * 2 * model.width * len(parts),
            "assumes that every matrix is square",
            f"That takes each matrix to be {model.width:,} × {model.width:,}. Look at its own two sides.",
        ),
        (
            "twice",
            2 * count.expect,
            "counts a gradient as another parameter",
            "That is twice the count. Gradients need memory, but they aren't parameters.",
        ),
    )
    return DrawnQuestion(
        kind="single",
        stem=f"{model.name} has {model.layers} layers. In each, LoRA of rank {rank} adapts"
        f" {with_sides(model, parts)}; the arrow goes from d_in to d_out. How many parameters are trained"
        " in all?",
        right=right,
        wrong=sample_slips(dice, right, slips),
        steps=(
            *_matrix_steps(model, parts, rank),
            f"one layer: {rank * widths:,}",
            f"all: {model.layers} × {rank * widths:,} = {count.expect:,.0f}",
        ),
        hint="Count one layer first: rank × (d_in + d_out) for each adapted matrix.",
        keep="Add rank × (d_in + d_out) over the adapted matrices of a layer, then multiply by the layers.",
        checks=(count,),
    )


def draw_added_targets(dice: Random) -> DrawnQuestion:
    """Draw a question about what the three MLP matrices add to an adapter on attention."""
    model, rank = draw_model(dice), dice.choice(RANKS)
    added = build_check("lora_parameters", model=model.id, rank=rank, targets=["gate", "up", "down"])
    widths = model.width + model.inner
    right, slips = build_answers(
        format_whole,
        added.expect,
        f"Each of the three matrices has sides {model.width:,} and {model.inner:,}.",
        (
            "one-layer",
            rank * 3 * widths,
            "counts one layer instead of all",
            f"That is one layer. There are {model.layers} of them.",
        ),
        (
            "one-matrix",
            model.layers * rank * widths,
            "counts one of the three matrices",
            "That is one matrix per layer. Gate, up and down each get an adapter.",
        ),
        (
            "full-matrices",
            model.layers * 3 * model.width * model.inner,
            "counts the frozen matrices instead of their adapters",
            "Those are the frozen weights. An adapter adds its sides and multiplies the sum by the rank.",
        ),
        (
            "down-forgotten",
            model.layers * rank * 2 * widths,
            "forgets that the way back down is a matrix too",
            "That is gate and up. The down matrix has the same two sides, the other way round.",
        ),
    )
    return DrawnQuestion(
        kind="numeric",
        stem=f"A LoRA adapter of rank {rank} on {model.name} has adapted attention only. Now the MLP of each"
        f" of the {model.layers} layers is adapted as well: gate and up ({model.width:,} → {model.inner:,})"
        f" and down ({model.inner:,} → {model.width:,}). How many trainable parameters does that add?",
        right=right,
        wrong=keep_distinct(right, slips, limit=4),
        steps=(
            f"one matrix: {rank} × ({model.width:,} + {model.inner:,}) = {rank * widths:,}",
            f"three of them: 3 × {rank * widths:,} = {3 * rank * widths:,}",
            f"all layers: {model.layers} × {3 * rank * widths:,} = {added.expect:,.0f}",
        ),
        hint="The three matrices have the same two sides, so they count alike.",
        keep="MLP matrices are wider than attention's, so adapting them adds more parameters.",
        checks=(added,),
        unit="parameters",
    )


def draw_trainable_percent(dice: Random) -> DrawnQuestion:
    """Draw a question about the trainable share that PEFT prints."""
    model, parts, rank = draw_model(dice), dice.choice(TARGETS), dice.choice(RANKS[2:])
    percent = build_check("trainable_percent", model=model.id, rank=rank, targets=list(parts))
    trained = build_check("lora_parameters", model=model.id, rank=rank, targets=list(parts)).expect
    base = build_check("base_parameters", model=model.id).expect
    right, slips = build_answers(
        format_digits,
        percent.expect,
        "The adapter is divided by all parameters, the adapter included.",
        (
            "fraction-for-percent",
            percent.expect / 100,
            "gives the fraction for the percentage",
            "That is the fraction. Per cent is a hundred times as much.",
        ),
        (
            "frozen-share",
            100 - percent.expect,
            "gives the frozen share",
            "That is the share which stays frozen.",
        ),
        (
            "adapter-not-in-total",
            100 * trained / base,
            "divides by the base alone",
            "That divides by the base alone. The total that the question names includes the adapter.",
        ),
        (
            "ten-times",
            10 * percent.expect,
            "moves the decimal point by one place too many",
            "That is ten times too much. Check the decimal point.",
        ),
    )
    return DrawnQuestion(
        kind="numeric",
        stem=f"{model.name} has {base:,.0f} parameters. Its adapter ({format_targets(parts)}, rank "
        f"{rank}) has"
        f" {trained:,.0f} more. What percentage of all parameters, adapter included, is trainable?",
        right=right,
        wrong=keep_distinct(right, slips, tolerance=one_percent(percent.expect), limit=4),
        steps=(
            f"all: {base:,.0f} + {trained:,.0f} = {base + trained:,.0f}",
            f"share: 100 × {trained:,.0f} / {base + trained:,.0f} = {format_digits(percent.expect)} %",
        ),
        hint="Divide what is trained by the sum of both.",
        keep="The printed percentage counts the adapter in the total, so it never reaches 100.",
        checks=(percent,),
        unit="%",
        tolerance=one_percent(percent.expect),
    )


def draw_printed_rank(dice: Random) -> DrawnQuestion:
    """Draw a question about the rank behind a line that PEFT printed."""
    model, parts, rank = draw_model(dice), dice.choice(TARGETS), dice.choice(RANKS)
    count = build_check("lora_parameters", model=model.id, rank=rank, targets=list(parts))
    percent = build_check("trainable_percent", model=model.id, rank=rank, targets=list(parts)).expect
    base = build_check("base_parameters", model=model.id).expect
    each = round(count.expect / rank)
    right, slips = build_answers(
        format_whole,
        rank,
        f"Rank 1 trains {each:,} here, and {count.expect:,.0f} is {rank} times that.",
        (
            "counted-twice",
            rank / 2,
            "counts A and B twice",
            f"Rank {rank // 2} would print {round(each * rank / 2):,}. A and B count once each.",
        ),
        (
            "one-factor",
            2 * rank,
            "forgets one of A and B",
            f"Rank {2 * rank} would print {2 * each * rank:,}. Each unit of rank adds a row to A and a column"
            " to B.",
        ),
        (
            "one-target",
            rank * len(parts),
            "counts one of the adapted matrices",
            f"Rank {rank * len(parts)} would print {each * rank * len(parts):,}. All {len(parts)} adapted"
            " matrices of a layer count.",
        ),
        (
            "one-factor-of-one-target",
            2 * rank * len(parts),
            "counts A of one adapted matrix",
            f"Rank {2 * rank * len(parts)} would print {2 * each * rank * len(parts):,}. Every adapted"
            " matrix has an A and a B.",
        ),
    )
    return DrawnQuestion(
        kind="single",
        stem=f"For {model.name}, with adapters on {with_sides(model, parts)} in each of {model.layers} layers"
        f" (d_in → d_out), PEFT printed: `trainable params: {count.expect:,.0f} || all params:"
        f" {base + count.expect:,.0f} || trainable%: {percent:.4f}`. Which rank was set?",
        right=right,
        wrong=sample_slips(dice, right, slips),
        steps=(
            *_matrix_steps(model, parts, 1),
            f"rank 1 in {model.layers} layers: {model.layers} × {each // model.layers:,} = {each:,}",
            f"rank: {count.expect:,.0f} / {each:,} = {rank}",
        ),
        hint="Work out what rank 1 would print, and divide.",
        keep="The count is proportional to the rank, so with known targets a printed count tells the rank.",
        checks=(count,),
    )


def _matrix_steps(model: Model, parts: tuple[Part, ...], rank: int) -> list[str]:
    return [
        f"{NAMES[part]}: {rank} × ({d_in:,} + {d_out:,}) = {rank * (d_in + d_out):,}"
        for part in parts
        for d_in, d_out in [model.sides(part)]
    ]


FAMILIES = (
    QuestionFamily(
        id="lora-model-count",
        title="Parameters of a whole model's adapters",
        concepts=("counting-parameters", "target-modules"),
        level="intermediate",
        draw=draw_model_count,
    ),
    QuestionFamily(
        id="added-targets",
        title="What the MLP adds",
        concepts=("target-modules", "counting-parameters"),
        level="intermediate",
        draw=draw_added_targets,
    ),
    QuestionFamily(
        id="trainable-percent",
        title="Trainable share",
        concepts=("counting-parameters",),
        level="beginner",
        draw=draw_trainable_percent,
    ),
    QuestionFamily(
        id="printed-rank",
        title="The rank behind a printed line",
        concepts=("lora-rank", "counting-parameters"),
        level="intermediate",
        draw=draw_printed_rank,
    ),
)
