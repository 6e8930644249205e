"""Families about caches, padding, several GPUs and the error of a score."""

from dataclasses import dataclass
from random import Random

from quizzes.families.drawn import DrawnNumbers, build_check, compute_tolerance

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
STAGES = (1, 2, 3)
STAGE_SLIPS = ("nothing-is-split", "stage-1-for-another", "stage-2-for-another", "stage-3-for-another")

RIGHT_PERCENT = (50, 55, 60, 65, 70, 75, 80, 85, 90)
QUESTIONS = (50, 100, 164, 200, 250, 400, 500, 1000, 1319, 2500)

LENGTHS = tuple(range(40, 521, 20))
ROWS = 4


def draw_kv_cache_size(rng: Random) -> DrawnNumbers:
    """Draw a question about the bytes of keys and values."""
    model, tokens = rng.choice(MODELS), rng.choice(TOKENS)
    cache = build_check("kv_cache_bytes", model=model.id, tokens=tokens)
    per_token = 2 * model.layers * model.kv_heads * model.head_dim * BYTES_PER_VALUE
    return DrawnNumbers(
        right=cache.expect,
        slips={
            "key-without-value": cache.expect / 2,
            "cache-counts-query-heads": cache.expect * model.heads / model.kv_heads,
            "cache-in-one-layer": cache.expect / model.layers,
            "cache-in-fp32": cache.expect * 2,
            "one-byte-each": cache.expect / 4,
        },
        values=dict(
            model=model.name,
            layers=model.layers,
            heads=model.heads,
            kv_heads=model.kv_heads,
            head_dim=model.head_dim,
            tokens=tokens,
            per_token=per_token,
        ),
        checks=(cache,),
        tolerance=cache.expect / 50,
    )


def draw_zero_stage_bytes(rng: Random) -> DrawnNumbers:
    """Draw a question about the bytes on each GPU at a stage of ZeRO."""
    billions, gpus, stage = rng.choice(BILLIONS), rng.choice(GPUS), rng.choice(STAGES)
    held = [
        build_check("zero_bytes_per_gpu", parameters=billions * 10**9, gpus=gpus, stage=one)
        for one in range(4)
    ]
    each = held[stage].expect / (billions * 10**9)
    return DrawnNumbers(
        right=held[stage].expect,
        slips={
            **{slip: held[one].expect for one, slip in enumerate(STAGE_SLIPS) if one != stage},
            "without-fp32-weights": held[stage].expect - billions * 10**9 * 4 / gpus,
        },
        values=dict(
            gpus=gpus,
            billions=billions,
            stage=stage,
            split=stage,
            bytes_each=stage,
            each=each,
            gigabytes=billions * each,
        ),
        checks=(held[stage],),
        tolerance=held[stage].expect / 50,
    )


def draw_score_error(rng: Random) -> DrawnNumbers:
    """Draw a question about the standard error of a share of right answers."""
    percent, questions = rng.choice(RIGHT_PERCENT), rng.choice(QUESTIONS)
    share = percent / 100
    error = build_check("accuracy_standard_error", accuracy=share, questions=questions)
    spread = round(share * (1 - share), 6)
    return DrawnNumbers(
        right=error.expect,
        slips={
            "interval-for-error": 1.96 * error.expect,
            "forgets-the-root": 100 * spread / questions,
            "error-without-n": 100 * spread**0.5,
        },
        values=dict(
            percent=percent,
            questions=questions,
            share=share,
            rest=round(1 - share, 2),
            spread=spread,
            variance=spread / questions,
        ),
        checks=(error,),
        tolerance=compute_tolerance(error.expect, 2),
    )


def draw_padding_share(rng: Random) -> DrawnNumbers:
    lengths = rng.sample(LENGTHS, ROWS)
    padding = build_check("padding_percent", lengths=lengths)
    longest, real = max(lengths), sum(lengths)
    all_tokens = ROWS * longest
    return DrawnNumbers(
        right=padding.expect,
        slips={
            "real-for-padding": 100 - padding.expect,
            "padding-over-real": 100 * (all_tokens - real) / real,
            "longest-row-left-out": 100 * (all_tokens - real) / (all_tokens - longest),
            "fraction-for-percent": padding.expect / 100,
        },
        values=dict(
            first=lengths[:-1],
            last=lengths[-1],
            rows=ROWS,
            longest=longest,
            all_tokens=all_tokens,
            real=real,
            empty=all_tokens - real,
        ),
        checks=(padding,),
        tolerance=compute_tolerance(padding.expect, 2),
    )
