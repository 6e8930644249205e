"""Families about caches, padding, several GPUs and the error of a score."""

from dataclasses import dataclass
from random import Random

from quizzes.families.answers import build_answers, format_digits, format_size, sample_slips
from quizzes.families.drawn import DrawnQuestion, QuestionFamily, build_check, keep_distinct
from quizzes.kinds.numbers import format_number

BYTES_PER_VALUE = 2  # keys and values in 16 bits


@dataclass(frozen=True, kw_only=True)
class Heads:
    """The layers and heads of a catalogue model; a test compares them with the lab's shape of that id."""

    id: str
    name: str
    layers: int
    heads: int
    kv_heads: int
    head_dim: int


MODELS = (
    Heads(id="llama-2-7b", name="Llama-2-7B", layers=32, heads=32, kv_heads=32, head_dim=128),
    Heads(id="llama-3.1-8b", name="Llama-3.1-8B", layers=32, heads=32, kv_heads=8, head_dim=128),
    Heads(id="llama-3.2-3b", name="Llama-3.2-3B", layers=28, heads=24, kv_heads=8, head_dim=128),
    Heads(id="qwen3-8b", name="Qwen3-8B", layers=36, heads=32, kv_heads=8, head_dim=128),
    Heads(id="qwen3-14b", name="Qwen3-14B", layers=40, heads=40, kv_heads=8, head_dim=128),
    Heads(id="qwen3-32b", name="Qwen3-32B", layers=64, heads=64, kv_heads=8, head_dim=128),
    Heads(id="phi-4", name="Phi-4", layers=40, heads=40, kv_heads=10, head_dim=128),
)
TOKENS = (1024, 2048, 4096, 8192, 16_384, 32_768)

BILLIONS = (1, 2, 3, 4, 7, 8, 13, 14, 32, 70)
GPUS = (2, 4, 8, 16)
SPLIT = {1: "the optimizer state", 2: "the optimizer state and the gradients", 3: "all three"}

RIGHT_PERCENT = (50, 55, 60, 65, 70, 75, 80, 85, 90)
QUESTIONS = (50, 100, 164, 200, 250, 400, 500, 1000, 1319, 2500)

LENGTHS = tuple(range(40, 521, 20))
ROWS = 4


def draw_kv_cache(dice: Random) -> DrawnQuestion:
    """Draw a question about the bytes of keys and values."""
    model, tokens = dice.choice(MODELS), dice.choice(TOKENS)
    cache = build_check("kv_cache_bytes", model=model.id, tokens=tokens)
    numbers = f"2 × {model.layers} × {model.kv_heads} × {model.head_dim} × {BYTES_PER_VALUE}"
    per_token = 2 * model.layers * model.kv_heads * model.head_dim * BYTES_PER_VALUE
    right, slips = build_answers(
        format_size,
        cache.expect,
        "A key and a value for every layer, key-value head and token, at 2 bytes per number.",
        (
            "key-without-value",
            cache.expect / 2,
            "counts keys and forgets values",
            "That is the keys alone. The values need as much again.",
        ),
        (
            "cache-counts-query-heads",
            cache.expect * model.heads / model.kv_heads,
            "counts query heads instead of key-value heads",
            f"That is for {model.heads} heads. Only the {model.kv_heads} key-value heads are kept.",
        ),
        (
            "cache-in-one-layer",
            cache.expect / model.layers,
            "thinks that one layer keeps keys and values",
            f"That is a single layer. Each of the {model.layers} keeps its own.",
        ),
        (
            "cache-in-fp32",
            cache.expect * 2,
            "takes the numbers to have 32 bits",
            "That would be 4 bytes per number. These have 16 bits, so 2 bytes.",
        ),
        (
            "one-byte-each",
            cache.expect / 4,
            "counts one byte for a key and a value together",
            "Both the key and the value have 2 bytes per number.",
        ),
    )
    return DrawnQuestion(
        kind="single",
        stem=f"{model.name} has {model.layers} layers with {model.heads} query heads and {model.kv_heads} "
        f"key-value heads of {model.head_dim} numbers each. How large is its KV cache for one text of "
        f"{tokens:,} "
        "tokens, in 16 bits?",
        right=right,
        wrong=sample_slips(dice, right, slips, near=cache.expect / 50),
        steps=(
            f"bytes per token: {numbers} = {per_token:,}",
            f"bytes: {per_token:,} × {tokens:,} = {cache.expect:,.0f}",
            f"that is {format_size(cache.expect)}",
        ),
        hint="Work out one token first: key and value, every layer, every key-value head.",
        keep="The cache is 2 × layers × key-value heads × head size × bytes, for each token.",
        checks=(cache,),
    )


def draw_zero_stage(dice: Random) -> DrawnQuestion:
    """Draw a question about the bytes on each GPU at a stage of ZeRO."""
    billions, gpus, stage = dice.choice(BILLIONS), dice.choice(GPUS), dice.choice(tuple(SPLIT))
    held = [
        build_check("zero_bytes_per_gpu", parameters=billions * 10**9, gpus=gpus, stage=one)
        for one in range(4)
    ]
    each = held[stage].expect / (billions * 10**9)
    whole = {1: "2 + 2", 2: "2", 3: ""}[stage]
    shared = {1: "12", 2: "(2 + 12)", 3: "(2 + 2 + 12)"}[stage]
    named = {
        0: ("nothing-is-split", "forgets that anything is split", "That is with copies of everything."),
        1: (
            "stage-1-for-another",
            "splits the optimizer state only",
            "Stage 1 splits the optimizer state alone.",
        ),
        2: (
            "stage-2-for-another",
            "keeps only the weights whole",
            "Stage 2 keeps copies of the weights alone.",
        ),
        3: ("stage-3-for-another", "splits everything", "Stage 3 splits the weights as well."),
    }
    right, slips = build_answers(
        format_size,
        held[stage].expect,
        f"Stage {stage} splits {SPLIT[stage]}; the rest is copied.",
        *((named[one][0], held[one].expect, *named[one][1:]) for one in named if one != stage),
        (
            "without-fp32-weights",
            held[stage].expect - billions * 10**9 * 4 / gpus,
            "forgets the fp32 copy of the weights",
            "That counts 8 bytes of optimizer state. The fp32 copy of the weights belongs to it too.",
        ),
    )
    return DrawnQuestion(
        kind="single",
        stem="Mixed-precision Adam keeps 2 bytes of weight, 2 of gradient and 12 of optimizer state per "
        "parameter. "
        f"How much of it does each of {gpus} GPUs hold for {billions} billion parameters, with ZeRO "
        f"stage {stage}?",
        right=right,
        wrong=sample_slips(dice, right, slips, near=held[stage].expect / 50),
        steps=(
            f"bytes per parameter and GPU: {f'{whole} + ' if whole else ''}{shared} / {gpus} = "
            f"{format_digits(each)}",
            f"gigabytes: {billions} × {format_digits(each)} = {format_digits(billions * each)}",
            f"that is {format_size(held[stage].expect)}",
        ),
        hint=f"Stage {stage} splits {SPLIT[stage]}.",
        keep="ZeRO splits the optimizer state first, then the gradients, then the weights.",
        checks=(held[stage],),
    )


def draw_score_error(dice: Random) -> DrawnQuestion:
    """Draw a question about the standard error of a share of right answers."""
    percent, questions = dice.choice(RIGHT_PERCENT), dice.choice(QUESTIONS)
    share = percent / 100
    error = build_check("accuracy_standard_error", accuracy=share, questions=questions)
    spread = round(share * (1 - share), 6)
    right, slips = build_answers(
        format_digits,
        error.expect,
        "The root of p × (1 − p) / n, in percent.",
        (
            "interval-for-error",
            1.96 * error.expect,
            "gives the half width of the 95 percent interval",
            "That is 1.96 standard errors. One was asked for.",
        ),
        (
            "forgets-the-root",
            100 * spread / questions,
            "leaves the root out",
            "That is the variance in percent. Take its root.",
        ),
        (
            "error-without-n",
            100 * spread**0.5,
            "forgets to divide by the number of questions",
            "That is the spread of a single question. A mean of many is less uncertain.",
        ),
    )
    return DrawnQuestion(
        kind="numeric",
        stem=f"A model answers {percent} percent of {questions:,} independent questions right. How large is "
        "the standard error of this score, in percentage points?",
        right=right,
        wrong=keep_distinct(right, slips, tolerance=_two_percent(error.expect), limit=3),
        steps=(
            f"p × (1 − p): {format_digits(share)} × {format_digits(round(1 - share, 2))} = "
            f"{format_digits(spread)}",
            f"divided by n: {format_digits(spread)} / {questions:,} = {format_digits(spread / questions)}",
            f"its root, in percentage points: {format_number(error.expect)}",
        ),
        hint="p times 1 - p over n, and then the root.",
        keep="The error of a score falls with the root of the number of questions.",
        checks=(error,),
        tolerance=_two_percent(error.expect),
    )


def draw_padding(dice: Random) -> DrawnQuestion:
    """Draw a question about the share of padding in a batch."""
    lengths = dice.sample(LENGTHS, ROWS)
    padding = build_check("padding_percent", lengths=lengths)
    longest, real = max(lengths), sum(lengths)
    all_tokens = ROWS * longest
    right, slips = build_answers(
        format_digits,
        padding.expect,
        "The empty places over all places of the batch.",
        (
            "real-for-padding",
            100 - padding.expect,
            "gives the share of real tokens",
            "That is what is real. The rest is padding.",
        ),
        (
            "padding-over-real",
            100 * (all_tokens - real) / real,
            "divides the padding by the real tokens",
            "That compares padding with real tokens. Compare it with all places.",
        ),
        (
            "longest-row-left-out",
            100 * (all_tokens - real) / (all_tokens - longest),
            "leaves the longest row out of the batch",
            "The longest row has no padding, but it is part of the batch.",
        ),
    )
    return DrawnQuestion(
        kind="numeric",
        stem=f"A batch has rows of {', '.join(map(str, lengths[:-1]))} and {lengths[-1]} tokens, all padded "
        "to the longest. Which share of its places is padding?",
        right=right,
        wrong=keep_distinct(right, slips, tolerance=_two_percent(padding.expect), limit=3),
        steps=(
            f"places: {ROWS} × {longest} = {all_tokens:,}",
            f"padding: {all_tokens:,} − {real:,} = {all_tokens - real:,}",
            f"share: 100 × {all_tokens - real:,} / {all_tokens:,} = {format_number(padding.expect)} %",
        ),
        hint="How many places would be full if all rows were as long as the longest?",
        keep="Padding is the empty places over all places; sort by length or pack to avoid it.",
        checks=(padding,),
        unit="%",
        tolerance=_two_percent(padding.expect),
    )


def _two_percent(value: float) -> float:
    return float(f"{value / 50:.0e}")


FAMILIES = (
    QuestionFamily(
        id="kv-cache-size",
        title="The size of a KV cache",
        concepts=("kv-cache", "transformer-block"),
        level="intermediate",
        draw=draw_kv_cache,
    ),
    QuestionFamily(
        id="zero-stage-bytes",
        title="What each GPU holds",
        concepts=("multi-gpu-training", "trainable-state"),
        level="advanced",
        draw=draw_zero_stage,
    ),
    QuestionFamily(
        id="score-error",
        title="The error of a score",
        concepts=("model-evaluation",),
        level="intermediate",
        draw=draw_score_error,
    ),
    QuestionFamily(
        id="padding-share",
        title="Padding in a batch",
        concepts=("chat-data",),
        level="beginner",
        draw=draw_padding,
    ),
)
